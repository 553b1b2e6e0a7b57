//! Merging through files: recorded cases, types, forms of models, and failures that change nothing.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use crate::support::build::{CONFIG, Folder, base, cause, filled, lycoris, peft, read, tensor, typed};
use crate::support::{Case, values};
use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError, DoraStrength, FileError, FloatType, JobError, MergeOptions, MergeReport,
    NameError, OutputError, Overwrite, Progress, ReadOptions, Run, ScaleRule, Strength, Tensor, TensorFile, Unmatched,
    merge, unmerge, write_tensors,
};
use ndarray::{Array2, ArrayD};

type Adapters<'a> = [(&'a Adapter, Strength)];

fn go_on(_: Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn run(base: &BaseModel, adapters: &Adapters<'_>, out: &Path) -> Result<MergeReport, CheckpointError> {
    merge(base, adapters, out, &MergeOptions::default(), &mut go_on)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The model of a case in another type.
fn as_type(case: &Case, dtype: FloatType, folder: &Folder) -> BaseModel {
    let file = case.file("base");
    let tensors: BTreeMap<_, _> =
        file.names().map(|name| (name.to_owned(), Tensor::from_array(&values(&file, name), dtype))).collect();
    let path = folder.path("base.safetensors");
    write_tensors(&path, &tensors, &BTreeMap::new(), Overwrite::Replace).unwrap();
    BaseModel::open(path).unwrap()
}

fn strength(case: &Case) -> Strength {
    // The one file that does not hold its scale.
    let open = case.name() == "lycoris_linear_rs_lora_full_matrix";
    let scale = if open { ScaleRule::Fixed(7f64.sqrt()) } else { ScaleRule::Trained };
    Strength { multiplier: case.multiplier(), scale, dora: DoraStrength::Lycoris }
}

fn layer_of<'a>(case: &'a Case, weight: &str) -> &'a str {
    let layer = case.targets().iter().map(|target| target["module"].as_str().unwrap());
    layer.into_iter().find(|layer| weight == format!("{layer}.weight")).unwrap()
}

#[test]
fn files_hold_the_recorded_effective_weights() {
    for case in Case::all() {
        let folder = Folder::new();
        let base = as_type(&case, FloatType::F32, &folder);
        let adapter = Adapter::read(case.adapter_path(), &ReadOptions::default()).unwrap();
        let out = folder.path("out.safetensors");
        let report = run(&base, &[(&adapter, strength(&case))], &out).unwrap();
        let recorded = case.file(if case.has("effective") { "effective" } else { "merged" });
        let merged = TensorFile::open(&out).unwrap();
        assert_eq!(report.weights.len(), case.targets().len(), "{}", case.name());
        for weight in &report.weights {
            let layer = layer_of(&case, &weight.weight);
            case.assert_close("effective", layer, &values(&merged, &weight.weight), &values(&recorded, &weight.weight));
            let measured = weight.measured.unwrap();
            assert!(measured.guard_error < 1e-5 && measured.lost < 1e-4, "{}: {measured:?}", case.name());
        }
        for name in base.names().filter(|name| report.weights.iter().all(|weight| weight.weight != *name)) {
            assert_eq!(base.tensor(name).unwrap().bytes(), merged.tensor(name).unwrap().bytes(), "{name}");
        }
        assert_eq!(report.unchanged + report.weights.len(), base.names().len());
    }
}

#[test]
fn the_variant_of_lycoris_is_the_recorded_merge() {
    let case = Case::load("lycoris_linear_lowrank_alpha_ne_dim");
    let folder = Folder::new();
    let base = as_type(&case, FloatType::F32, &folder);
    let adapter = Adapter::read(case.adapter_path(), &ReadOptions::default()).unwrap();
    let like = Strength { scale: ScaleRule::LikeLycorisMerge, ..Strength::default() };
    let report = run(&base, &[(&adapter, like)], &folder.path("out.safetensors")).unwrap();
    assert!(report.adapters[0].convention.contains("squared"), "{}", report.adapters[0].convention);
    let (merged, recorded) = (TensorFile::open(folder.path("out.safetensors")).unwrap(), case.file("merged"));
    for weight in report.weights {
        let layer = layer_of(&case, &weight.weight);
        case.assert_close("merged", layer, &values(&merged, &weight.weight), &values(&recorded, &weight.weight));
    }
}

/// In every type: the exact sum, rounded once.
#[test]
fn every_type_of_base_is_rounded_once() {
    for dtype in [FloatType::F16, FloatType::Bf16, FloatType::F32, FloatType::F64] {
        for name in ["lycoris_linear_full_matrix", "lycoris_conv2d_tucker", "lycoris_linear_dora_in"] {
            let (case, folder) = (Case::load(name), Folder::new());
            let base = as_type(&case, dtype, &folder);
            let adapter = Adapter::read(case.adapter_path(), &ReadOptions::default()).unwrap();
            let out = folder.path("out.safetensors");
            let report = run(&base, &[(&adapter, Strength::default())], &out).unwrap();
            let (merged, resolution) =
                (TensorFile::open(&out).unwrap(), adapter.resolve(&base, Unmatched::Refuse).unwrap());
            for (module, target) in resolution.targets() {
                let mut exact: ArrayD<f64> = base.weight(target).unwrap();
                adapter.modules()[module].merge_into(&mut exact, &Strength::default()).unwrap();
                let got = values(&merged, target);
                let arithmetic = if dtype == FloatType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) };
                let largest = exact.iter().fold(0f64, |max, x| max.max(x.abs()));
                let (mut square, mut worst) = (0.0, 0f64);
                for (got, exact) in got.iter().zip(&exact) {
                    let error = (got - exact).abs();
                    assert!(
                        error <= 0.5 * dtype.epsilon() * exact.abs() + 32.0 * arithmetic * largest,
                        "{name} {dtype:?}"
                    );
                    square += error * error;
                    worst = worst.max(error);
                }
                let measured = report.weights.iter().find(|w| w.weight == target).unwrap().measured.unwrap();
                if matches!(dtype, FloatType::F16 | FloatType::Bf16) {
                    assert!((measured.rounding_norm / square.sqrt() - 1.0).abs() < 1e-2, "{name} {dtype:?}");
                    assert!((measured.largest_error / worst - 1.0).abs() < 1e-2, "{name} {dtype:?}");
                    let change = (&exact - &base.weight::<f64>(target).unwrap()).mapv(|x| x * x).sum().sqrt();
                    assert!((measured.delta_norm / change - 1.0).abs() < 1e-3, "{name} {dtype:?}");
                    assert!((measured.lost / (square.sqrt() / change) - 1.0).abs() < 1e-2, "{name} {dtype:?}");
                }
            }
        }
    }
}

/// A weight of several blocks, whose rows do not come in whole blocks, at 1 thread and at 3: the plain sum, and the
/// same bits.
#[test]
fn blocks_and_threads_do_not_show() {
    let folder = Folder::new();
    let (m, n, p, q) = (5, 7, 97, 331);
    let weight = Array2::from_shape_fn((m * p, n * q), |(i, j)| ((i * 31 + j * 17) % 101) as f32 / 50.0 - 1.0);
    let a = Array2::from_shape_fn((m, n), |(i, j)| (i * n + j) as f32 / 16.0 - 1.0);
    let b = Array2::from_shape_fn((p, q), |(i, j)| ((i * q + j) % 61) as f32 / 32.0 - 1.0);
    let exact = Array2::from_shape_fn(weight.dim(), |(i, j)| weight[[i, j]] + a[[i / p, j / q]] * b[[i % p, j % q]]);
    let stored = |array: &Array2<f32>| Tensor::from_array(array, FloatType::F32);
    let base = base(&folder, &[("m.weight", stored(&weight))]);
    let adapter = read(&[("lycoris_m.lokr_w1", stored(&a)), ("lycoris_m.lokr_w2", stored(&b))]).unwrap();
    let mut files = Vec::new();
    for threads in [1, 3] {
        let out = folder.path(&format!("{threads}.safetensors"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&base, &[(&adapter, Strength::default())], &out)).unwrap();
        let got = TensorFile::open(&out).unwrap().tensor("m.weight").unwrap().to_array::<f32>("w").unwrap();
        assert_eq!(got, exact.clone().into_dyn());
        files.push(std::fs::read(out).unwrap());
    }
    assert_eq!(files[0], files[1]);
}

#[test]
fn several_adapters_are_applied_in_order() {
    let folder = Folder::new();
    let base = base(&folder, &[("m.weight", tensor(&[6, 10])), ("other", tensor(&[3]))]);
    let plain = read(&lycoris(&[])).unwrap();
    let rows = read(&lycoris(&[("lycoris_m.dora_scale", filled(&[6, 1], 2.0))])).unwrap();
    let columns = read(&lycoris(&[("lycoris_m.dora_scale", filled(&[1, 10], 3.0))])).unwrap();
    let with = |multiplier, dora| Strength { multiplier, dora, ..Strength::default() };
    let (ours, theirs) = (DoraStrength::FromBase, DoraStrength::Lycoris);
    let orders: [&Adapters<'_>; 5] = [
        &[(&plain, with(0.5, ours)), (&plain, with(-2.0, ours))],
        &[(&plain, with(1.0, ours)), (&rows, with(0.5, ours)), (&columns, with(0.7, theirs))],
        &[(&columns, with(0.5, ours)), (&plain, with(1.0, ours)), (&rows, with(0.3, theirs))],
        &[(&columns, with(1.0, ours)), (&columns, with(0.25, ours)), (&columns, with(0.5, theirs))],
        &[],
    ];
    for (number, adapters) in orders.into_iter().enumerate() {
        let out = folder.path(&format!("{number}.safetensors"));
        let report = run(&base, adapters, &out).unwrap();
        let mut exact = base.weight::<f64>("m.weight").unwrap();
        for (adapter, strength) in adapters {
            adapter.modules()["lycoris_m"].merge_into(&mut exact, strength).unwrap();
        }
        let got = values(&TensorFile::open(&out).unwrap(), "m.weight");
        let largest = exact.iter().fold(1f64, |max, x| max.max(x.abs()));
        assert!((&got - &exact).iter().all(|x| x.abs() < 1e-5 * largest), "{number}: {got} {exact}");
        assert_eq!(report.weights.len(), usize::from(!adapters.is_empty()));
        assert!(report.weights.iter().all(|weight| weight.applied.len() == adapters.len()));
    }
}

/// A model in two shards beside other files.
fn sharded(folder: &Folder) -> BaseModel {
    std::fs::create_dir(folder.path("model")).unwrap();
    folder.tensors_with(
        "model/model-1.safetensors",
        &[("m.weight", typed(&[6, 10], FloatType::Bf16)), ("m.bias", tensor(&[6]))],
        &[("format", "pt")],
    );
    folder.tensors("model/model-2.safetensors", &[("n.weight", tensor(&[4, 4])), ("ids", tensor(&[0]))]);
    let map = r#""m.weight":"model-1.safetensors","m.bias":"model-1.safetensors","n.weight":"model-2.safetensors""#;
    let index = format!(r#"{{"metadata":{{"total_size":208}},"weight_map":{{{map},"ids":"model-2.safetensors"}}}}"#);
    folder.write("model/model.safetensors.index.json", index);
    folder.write("model/config.json", r#"{"a": 1}"#);
    folder.write("model/tokenizer.json", "{}");
    folder.write("model/pytorch_model.bin", "old weights");
    folder.write("model/.hidden", "");
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere", folder.path("model/dangling")).unwrap();
    std::fs::create_dir(folder.path("model/onnx")).unwrap();
    BaseModel::open(folder.path("model")).unwrap()
}

#[test]
fn shards_stay_shards() {
    let folder = Folder::new();
    let base = sharded(&folder);
    let adapter = read(&lycoris(&[])).unwrap();
    let report = run(&base, &[(&adapter, Strength::default())], &folder.path("out")).unwrap();
    let copied = ["config.json", "model.safetensors.index.json", "tokenizer.json"];
    assert_eq!(report.copied_files, copied);
    let left_out = [".hidden", "dangling", "onnx", "pytorch_model.bin"];
    assert!(report.left_out.iter().eq(left_out.iter().filter(|name| cfg!(unix) || **name != "dangling")));
    assert_eq!(
        names(&folder.path("out")),
        ["config.json", "model-1.safetensors", "model-2.safetensors", "model.safetensors.index.json", "tokenizer.json"]
    );
    let read = |path: &str| std::fs::read(folder.path(path)).unwrap();
    for name in copied.iter().chain(&["model-2.safetensors"]) {
        assert_eq!(read(&format!("model/{name}")), read(&format!("out/{name}")), "{name}");
    }
    let merged = BaseModel::open(folder.path("out")).unwrap();
    assert!(merged.files().iter().any(|file| file.metadata().get("format").is_some_and(|format| format == "pt")));
    assert_ne!(merged.tensor("m.weight").unwrap().bytes(), base.tensor("m.weight").unwrap().bytes());
    assert_eq!(merged.tensor("m.bias").unwrap().bytes(), base.tensor("m.bias").unwrap().bytes());
    // From the index, and over the directory just made: the same again.
    let before = read("out/model-1.safetensors");
    let base = BaseModel::open(folder.path("model/model.safetensors.index.json")).unwrap();
    cause(run(&base, &[(&adapter, Strength::default())], &folder.path("out")), |e| {
        matches!(e, CheckpointError::Output(OutputError::Exists))
    });
    let replace = MergeOptions { overwrite: Overwrite::Replace, ..MergeOptions::default() };
    merge(&base, &[(&adapter, Strength::default())], folder.path("out"), &replace, &mut go_on).unwrap();
    assert_eq!(read("out/model-1.safetensors"), before);
    assert_eq!(names(&folder.root()), ["model", "out"]);
}

#[cfg(not(windows))] // Windows does not let a mapped file be replaced.
#[test]
fn a_model_can_be_merged_in_its_place() {
    let folder = Folder::new();
    let base = base(&folder, &[("m.weight", tensor(&[6, 10]))]);
    let adapter = read(&lycoris(&[])).unwrap();
    let mut exact = base.weight::<f32>("m.weight").unwrap();
    adapter.modules()["lycoris_m"].merge_into(&mut exact, &Strength::default()).unwrap();
    let replace = MergeOptions { overwrite: Overwrite::Replace, ..MergeOptions::default() };
    merge(&base, &[(&adapter, Strength::default())], base.path(), &replace, &mut go_on).unwrap();
    let got = BaseModel::open(base.path()).unwrap().weight::<f32>("m.weight").unwrap();
    assert!((&got - &exact).iter().all(|x| x.abs() < 1e-5));
}

#[test]
fn saved_modules_take_the_place_of_the_base_tensors() {
    let folder = Folder::new();
    let head = [("base_model.model.head.weight", typed(&[2, 3], FloatType::F32))];
    let adapter = peft(&folder, CONFIG, &head).unwrap();
    let bf16 = |shape: &[usize]| Tensor::from_array(&ArrayD::<f32>::zeros(shape), FloatType::Bf16);
    let model = base(&folder, &[("m.weight", tensor(&[6, 10])), ("head.weight", bf16(&[2, 3]))]);
    let report = run(&model, &[(&adapter, Strength::default())], &folder.path("out.safetensors")).unwrap();
    assert_eq!((report.replaced, report.unchanged), (vec!["head.weight".to_owned()], 0));
    let merged = TensorFile::open(folder.path("out.safetensors")).unwrap();
    assert_eq!(merged.tensor("head.weight").unwrap().bytes(), typed(&[2, 3], FloatType::Bf16).bytes());

    let out = folder.path("other.safetensors");
    let model = base(&folder, &[("m.weight", tensor(&[6, 10])), ("head.weight", bf16(&[3, 3]))]);
    cause(
        run(&model, &[(&adapter, Strength::default())], &out),
        |e| matches!(e, CheckpointError::Job(JobError::ReplacementShape { expected, found, .. }) if *expected == [3, 3] && *found == [2, 3]),
    );
    let model = base(&folder, &[("m.weight", tensor(&[6, 10])), ("head.weight", bf16(&[2, 3]))]);
    let twice = [(&adapter, Strength::default()), (&adapter, Strength::default())];
    cause(run(&model, &twice, &out), |e| matches!(e, CheckpointError::Name(NameError::DuplicateTarget { .. })));
    let model = base(&folder, &[("m.weight", tensor(&[6, 10]))]);
    cause(
        run(&model, &[(&adapter, Strength::default())], &out),
        |e| matches!(e, CheckpointError::Job(JobError::NewTensors { tensors }) if *tensors == ["head.weight"]),
    );
    let allow = MergeOptions { unmatched: Unmatched::Allow, ..MergeOptions::default() };
    let report = merge(&model, &[(&adapter, Strength::default())], &out, &allow, &mut go_on).unwrap();
    assert_eq!(report.adapters[0].unmatched, ["head.weight"]);
}

#[test]
fn failures_change_nothing() {
    let folder = Folder::new();
    let base = base(&folder, &[("m.weight", tensor(&[6, 10])), ("half.weight", typed(&[6, 10], FloatType::F16))]);
    let adapter = read(&lycoris(&[])).unwrap();
    let out = folder.write("out.safetensors", "old");
    let replace = MergeOptions { overwrite: Overwrite::Replace, ..MergeOptions::default() };
    let unchanged = || {
        assert_eq!(std::fs::read(&out).unwrap(), b"old");
        assert_eq!(names(&folder.root()), ["model.safetensors", "out.safetensors"]);
    };
    let good = [(&adapter, Strength::default())];
    cause(run(&base, &good, &out), |e| matches!(e, CheckpointError::Output(OutputError::Exists)));
    unchanged();
    cause(run(&base, &good, &folder.path("missing/out.safetensors")), |e| matches!(e, CheckpointError::Io(_)));
    unchanged();
    // Stopped after the first tensor, and just before the end.
    for stop_at_end in [false, true] {
        let mut stop = |event: Progress<'_>| match event {
            Progress::Tensor { .. } if !stop_at_end => ControlFlow::Break(()),
            Progress::Finishing => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        cause(merge(&base, &good, &out, &replace, &mut stop), |e| {
            matches!(e, CheckpointError::Job(JobError::Interrupted))
        });
        unchanged();
    }
    // Nothing of this adapter is in the base.
    let renamed: Vec<_> =
        lycoris(&[]).into_iter().map(|(key, tensor)| (key.replace("_m.", "_other."), tensor)).collect();
    let renamed: Vec<_> = renamed.iter().map(|(key, tensor)| (key.as_str(), tensor.clone())).collect();
    let other = read(&renamed).unwrap();
    let allow = MergeOptions { unmatched: Unmatched::Allow, ..replace };
    cause(merge(&base, &[(&other, Strength::default())], &out, &allow, &mut go_on), |e| {
        matches!(e, CheckpointError::Name(NameError::NothingMatches { .. }))
    });
    unchanged();
    // A change that f16 cannot hold, found while writing.
    let half: Vec<_> = lycoris(&[]).into_iter().map(|(key, tensor)| (key.replace("_m.", "_half."), tensor)).collect();
    let half: Vec<_> = half.iter().map(|(key, tensor)| (key.as_str(), tensor.clone())).collect();
    let half = read(&half).unwrap();
    let strong = Strength { multiplier: 1e9, ..Strength::default() };
    cause(
        merge(&base, &[(&half, strong)], &out, &replace, &mut go_on),
        |e| matches!(e, CheckpointError::File(FileError::OutOfRange { key, count, too_large: true, .. }) if key == "half.weight" && *count > 0),
    );
    unchanged();
}

#[test]
fn replacing_tensors_must_fit_their_type() {
    let folder = Folder::new();
    let large = ArrayD::<f32>::from_elem(vec![2, 3], 1e6);
    let head = [("base_model.model.head.weight", Tensor::from_array(&large, FloatType::F32))];
    let adapter = peft(&folder, CONFIG, &head).unwrap();
    let half = typed(&[2, 3], FloatType::F16);
    let model = base(&folder, &[("m.weight", tensor(&[6, 10])), ("head.weight", half)]);
    cause(
        run(&model, &[(&adapter, Strength::default())], &folder.path("out.safetensors")),
        |e| matches!(e, CheckpointError::File(FileError::OutOfRange { key, count: 6, too_large: true, .. }) if key == "head.weight"),
    );
}

#[test]
fn a_guard_that_could_compare_nothing_says_so() {
    let folder = Folder::new();
    let base = base(&folder, &[("m.weight", tensor(&[6, 10]))]);
    let options = lokr_checkpoint::ReadOptions { non_finite: lokr_checkpoint::NonFinite::Allow, ..Default::default() };
    let tensors = lycoris(&[("lycoris_m.lokr_w1", filled(&[2, 5], f64::NAN))]);
    let adapter = crate::support::build::read_with(&tensors, &options).unwrap();
    let report = run(&base, &[(&adapter, Strength::default())], &folder.path("out.safetensors")).unwrap();
    assert!(report.weights[0].measured.unwrap().guard_error.is_nan());
}

#[test]
fn multipliers_must_fit_the_arithmetic() {
    let folder = Folder::new();
    let base = base(&folder, &[("m.weight", tensor(&[6, 10]))]);
    let adapter = read(&lycoris(&[])).unwrap();
    for (multiplier, scale, name) in [
        (1e60, ScaleRule::Trained, "multiplier"),
        (f64::NAN, ScaleRule::Trained, "multiplier"),
        (1e20, ScaleRule::Fixed(1e20), "multiplier"),
        (1.0, ScaleRule::Fixed(1e60), "scale"),
    ] {
        let strength = Strength { multiplier, scale, ..Strength::default() };
        cause(
            run(&base, &[(&adapter, strength)], &folder.path("out.safetensors")),
            |e| matches!(e, CheckpointError::Job(JobError::Option { option, .. }) if *option == name),
        );
    }
    assert_eq!(names(&folder.root()), ["model.safetensors"]);
}

#[test]
fn a_dry_run_reports_and_writes_nothing() {
    let folder = Folder::new();
    let base = sharded(&folder);
    let adapter = read(&lycoris(&[])).unwrap();
    let dry = MergeOptions { run: Run::Dry, ..MergeOptions::default() };
    let report = merge(&base, &[(&adapter, Strength::default())], folder.path("out"), &dry, &mut go_on).unwrap();
    assert_eq!(names(&folder.root()), ["model"]);
    assert_eq!(report.weights[0].applied[0].scale, 2.0);
    assert_eq!(report.weights[0].measured, None);
    assert_eq!(report.unchanged, 3);
    let real = run(&base, &[(&adapter, Strength::default())], &folder.path("out")).unwrap();
    assert_eq!(real.bytes, report.bytes);
    cause(merge(&base, &[(&adapter, Strength::default())], folder.path("out"), &dry, &mut go_on), |e| {
        matches!(e, CheckpointError::Output(OutputError::Exists))
    });
}

#[test]
fn unmerge_gives_the_base_back() {
    for name in ["lycoris_linear_lowrank", "peft_conv1d_full_w2", "kohya_unet", "lycoris_linear_multiplier"] {
        let (case, folder) = (Case::load(name), Folder::new());
        let base = as_type(&case, FloatType::F32, &folder);
        let adapter = Adapter::read(case.adapter_path(), &ReadOptions::default()).unwrap();
        let adapters = [(&adapter, strength(&case)), (&adapter, Strength { multiplier: 0.3, ..Strength::default() })];
        run(&base, &adapters, &folder.path("merged.safetensors")).unwrap();
        let merged = BaseModel::open(folder.path("merged.safetensors")).unwrap();
        let out = folder.path("out.safetensors");
        unmerge(&merged, &adapters, &out, &MergeOptions::default(), &mut go_on).unwrap();
        let out = TensorFile::open(out).unwrap();
        for name in base.names() {
            let right = base.weight::<f64>(name).unwrap();
            let largest = right.iter().fold(1f64, |max, x| max.max(x.abs()));
            assert!((&values(&out, name) - &right).iter().all(|x| x.abs() < 1e-5 * largest), "{name}");
        }
    }
}

#[test]
fn what_is_lost_cannot_be_unmerged() {
    let folder = Folder::new();
    let dora = read(&lycoris(&[("lycoris_m.dora_scale", filled(&[6, 1], 2.0))])).unwrap();
    let model = base(&folder, &[("m.weight", tensor(&[6, 10])), ("head.weight", tensor(&[2, 3]))]);
    let out = folder.path("out.safetensors");
    let undo = |adapter| unmerge(&model, &[(adapter, Strength::default())], &out, &MergeOptions::default(), &mut go_on);
    cause(
        undo(&dora),
        |e| matches!(e, CheckpointError::Job(JobError::CannotUnmerge { key, .. }) if key == "lycoris_m"),
    );
    let saved = peft(&folder, CONFIG, &[("base_model.model.head.weight", tensor(&[2, 3]))]).unwrap();
    cause(
        undo(&saved),
        |e| matches!(e, CheckpointError::Job(JobError::CannotUnmerge { key, .. }) if key == "head.weight"),
    );
    assert!(!out.exists());
}
