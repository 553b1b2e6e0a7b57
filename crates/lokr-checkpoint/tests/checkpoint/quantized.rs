//! Weights of eight bits: every layout read, merged into, taken out of, verified, extracted from, and left for floats.

use std::collections::BTreeMap;

use crate::support::build::{Folder, cause, go_on, random, read, tensor};
use crate::support::quantized::{Cells, KINDS, Kind, matrix};
use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError as E, Dtype, ExtractOptions, FactorSize, FloatType, JobError, MergeOptions,
    MergeReport, QuantizedOptions, QuantizedRounding, Run, Strength, Tensor, Verdict, VerifyOptions, extract, merge,
    unmerge, verify,
};
use ndarray::{Array2, ArrayD, linalg::kron};

/// Factors of a weight with partial blocks, whose columns divide into groups of 16.
const W1: [usize; 2] = [5, 4];
const W2: [usize; 2] = [28, 36];

/// A weight, and the change of an adapter.
fn weight(seed: u64) -> Array2<f64> {
    matrix(random(&[W1[0] * W2[0], W1[1] * W2[1]], seed)) * 0.05
}

fn change(size: f64) -> (Array2<f64>, Array2<f64>) {
    (matrix(random(&W1, 7)).mapv(|x| (x as f32).into()), matrix(random(&W2, 8) * size).mapv(|x| f64::from(x as f32)))
}

fn adapter(size: f64) -> Adapter {
    let (a, b) = change(size);
    let stored = |array: &Array2<f64>| Tensor::from_array(array, FloatType::F32);
    read(&[("lycoris_m.lokr_w1", stored(&a)), ("lycoris_m.lokr_w2", stored(&b))]).unwrap()
}

/// A model of two weights, one of which the adapter changes, with a bias and, where the layout has one, a mark.
fn tensors(kind: &Kind) -> Vec<(String, Tensor)> {
    let mut tensors = kind.store("m", &weight(1));
    tensors.extend(kind.store("other", &weight(2)));
    tensors.push(("m.bias".to_owned(), tensor(&[140])));
    if kind.scales == ".scale_weight" {
        tensors.push(("scaled_fp8".to_owned(), Tensor::new("", Dtype::F8_E4M3, vec![2], vec![0, 0]).unwrap()));
    }
    tensors
}

fn write(folder: &Folder, name: &str, tensors: &[(String, Tensor)], metadata: &[(&str, &str)]) -> BaseModel {
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())).collect();
    BaseModel::open(folder.tensors_with(name, &tensors, metadata)).unwrap()
}

fn model(folder: &Folder, kind: &Kind) -> BaseModel {
    write(folder, "base.safetensors", &tensors(kind), &[])
}

fn with(quantized: QuantizedOptions<'_>) -> MergeOptions<'_> {
    MergeOptions { quantized, ..MergeOptions::default() }
}

fn merged(
    folder: &Folder,
    name: &str,
    base: &BaseModel,
    adapter: &Adapter,
    options: &MergeOptions<'_>,
) -> (BaseModel, MergeReport) {
    let out = folder.path(name);
    let report = merge(base, &[(adapter, Strength::default())], &out, options, &mut go_on).unwrap();
    (BaseModel::open(out).unwrap(), report)
}

/// Each code is the nearest, and scales are made for the largest values.
fn assert_nearest(what: &str, kind: &Kind, model: &BaseModel, exact: &Array2<f64>) {
    let (codes, scales) = kind.stored(model, "m");
    let tolerance = match kind.scales_dtype {
        Dtype::BF16 => 1e-2,
        Dtype::F16 => 1e-3,
        Dtype::F8_E8M0 => 0.0,
        _ => 1e-5,
    };
    for (scale, right) in scales.iter().zip(kind.scales_for(exact)) {
        assert!((scale / right - 1.0).abs() <= tolerance, "{what}: scale {scale} instead of {right}");
    }
    let right = kind.values(&kind.codes(exact, &scales), &scales);
    let found = kind.values(&codes, &scales);
    let largest = exact.iter().fold(0f64, |max, x| max.max(x.abs()));
    // In another basis errors mix: there, codes are compared.
    let (exact, right, found) = (kind.rotated(exact), kind.rotated(&right), kind.rotated(&found));
    for ((at, &x), (right, found)) in exact.indexed_iter().zip(right.iter().zip(&found)) {
        assert!((found - x).abs() <= (right - x).abs() + 1e-5 * largest, "{what} {at:?}: {found}, {right}, {x}");
    }
}

fn bits(model: &BaseModel) -> BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> {
    let tensor = |name: &str| {
        let tensor = model.tensor(name).unwrap();
        (name.to_owned(), (tensor.dtype(), tensor.shape().to_vec(), tensor.bytes().to_vec()))
    };
    model.names().map(tensor).collect()
}

#[test]
fn every_layout_is_read() {
    for (what, kind) in KINDS {
        let folder = Folder::new();
        let base = model(&folder, &kind);
        let right = kind.read(&base, "m");
        let found = matrix(base.weight::<f64>("m.weight").unwrap());
        let norm = right.mapv(|x| x * x).sum().sqrt();
        assert!((&found - &right).iter().all(|x| x.abs() < 1e-9), "{what}");
        assert!((base.frobenius_norm("m.weight").unwrap() / norm - 1.0).abs() < 1e-9, "{what}");
    }
}

/// ComfyUI's files before safetensors had such types.
#[test]
fn codes_may_be_stored_as_bytes() {
    let (kind, folder) = (KINDS.iter().find(|(what, _)| *what == "comfy, new").unwrap().1, Folder::new());
    let bytes = |tensor: Tensor| match tensor.dtype() {
        Dtype::F8_E4M3 => Tensor::new("", Dtype::U8, tensor.shape().to_vec(), tensor.bytes().to_vec()).unwrap(),
        _ => tensor,
    };
    let tensors: Vec<_> = tensors(&kind).into_iter().map(|(name, tensor)| (name, bytes(tensor))).collect();
    let (base, (a, b)) = (write(&folder, "base.safetensors", &tensors, &[]), change(0.05));
    assert_eq!(base.info("m.weight").unwrap().0, Dtype::U8);
    let (out, _) = merged(&folder, "out.safetensors", &base, &adapter(0.05), &MergeOptions::default());
    assert_eq!(out.info("m.weight").unwrap().0, Dtype::U8);
    assert_nearest("bytes", &kind, &out, &(kind.read(&base, "m") + kron(&a, &b)));
}

#[test]
fn a_merge_keeps_the_layout_and_makes_scales_anew() {
    for (what, kind) in KINDS {
        let folder = Folder::new();
        let (base, adapter) = (model(&folder, &kind), adapter(0.05));
        let (a, b) = change(0.05);
        let exact = kind.read(&base, "m") + kron(&a, &b);
        let dry = MergeOptions { run: Run::Dry, ..MergeOptions::default() };
        let planned = merge(&base, &[(&adapter, Strength::default())], folder.path("out"), &dry, &mut go_on).unwrap();
        let (out, report) = merged(&folder, "out.safetensors", &base, &adapter, &MergeOptions::default());
        assert_nearest(what, &kind, &out, &exact);
        let kept = report.weights[0].measured.unwrap().kept.unwrap();
        assert!((kept - 1.0).abs() < 0.05, "{what}: {kept}");
        assert_eq!((planned.bytes, planned.unchanged), (report.bytes, report.unchanged), "{what}");
        // The rest is as it was, and nothing is new.
        let (before, after) = (bits(&base), bits(&out));
        assert!(before.keys().eq(after.keys()), "{what}");
        let changed: Vec<_> =
            before.iter().filter(|(name, bits)| after[*name] != **bits).map(|(name, _)| name).collect();
        let scales = format!("m{}", kind.scales);
        let right = if kind.cells == Cells::None { vec!["m.weight"] } else { vec![&*scales, "m.weight"] };
        let mut right = right;
        right.sort_unstable();
        assert_eq!(changed, right, "{what}");
    }
}

#[test]
fn floats_take_the_place_of_what_changes() {
    for (what, kind) in KINDS {
        for dtype in [FloatType::Bf16, FloatType::F16, FloatType::F32] {
            let folder = Folder::new();
            let (base, adapter) = (model(&folder, &kind), adapter(0.05));
            let (a, b) = change(0.05);
            let exact = kind.read(&base, "m") + kron(&a, &b);
            let options = with(QuantizedOptions { out_dtype: Some(dtype), ..QuantizedOptions::default() });
            let (out, report) = merged(&folder, "out.safetensors", &base, &adapter, &options);
            let found = out.tensor("m.weight").unwrap();
            assert_eq!(found.dtype(), dtype.dtype(), "{what}");
            for (x, right) in found.to_array::<f64>("").unwrap().iter().zip(&exact) {
                assert!((x - right).abs() <= 0.51 * dtype.epsilon() * right.abs() + 1e-6, "{what} {x} {right}");
            }
            // No scale and no mark of it; the other weight keeps its own.
            let names: Vec<_> =
                base.names().filter(|name| !name.starts_with("m.") || ["m.weight", "m.bias"].contains(name)).collect();
            assert_eq!(out.names().collect::<Vec<_>>(), names, "{what}");
            assert_eq!(report.left_out_tensors.len(), base.names().len() - names.len(), "{what}");
            let (before, after) = (bits(&base), bits(&out));
            assert!(names.iter().all(|&name| name == "m.weight" || before[name] == after[name]), "{what}");
        }
    }
}

#[test]
fn marks_and_lists_go_with_the_last_weight() {
    let list = r#"{"format_version": "1.0", "layers": {"m": {"format": "float8_e4m3fn"}, "other": {"format": "float8_e4m3fn"}}}"#;
    let [old, new] = ["comfy, old", "comfy, new"].map(|what| KINDS.iter().find(|(name, _)| *name == what).unwrap().1);
    let (folder, adapter) = (Folder::new(), adapter(0.05));
    let options = with(QuantizedOptions { out_dtype: Some(FloatType::Bf16), ..QuantizedOptions::default() });
    let layers = |model: &BaseModel| {
        let text = model.files()[0].metadata().get("_quantization_metadata")?;
        let list: serde_json::Value = serde_json::from_str(text).unwrap();
        Some(list["layers"].as_object().unwrap().keys().cloned().collect::<Vec<_>>())
    };
    let base = write(&folder, "two.safetensors", &tensors(&new), &[("_quantization_metadata", list), ("a", "b")]);
    let (out, _) = merged(&folder, "two.out.safetensors", &base, &adapter, &options);
    assert_eq!(layers(&out), Some(vec!["other".to_owned()]));
    let base = write(&folder, "one.safetensors", &new.store("m", &weight(1)), &[("_quantization_metadata", list)]);
    let (out, _) = merged(&folder, "one.out.safetensors", &base, &adapter, &options);
    assert_eq!(layers(&out).unwrap(), ["other"]);

    let mut only = old.store("m", &weight(1));
    only.push(("scaled_fp8".to_owned(), Tensor::new("", Dtype::F8_E4M3, vec![2], vec![0, 0]).unwrap()));
    let base = write(&folder, "old.safetensors", &only, &[]);
    let (out, _) = merged(&folder, "old.out.safetensors", &base, &adapter, &options);
    assert_eq!(out.names().collect::<Vec<_>>(), ["m.weight"]);
}

#[test]
fn unmerge_takes_out_what_was_merged() {
    for (what, kind) in KINDS {
        let folder = Folder::new();
        let (base, adapter) = (model(&folder, &kind), adapter(0.05));
        let (out, _) = merged(&folder, "out.safetensors", &base, &adapter, &MergeOptions::default());
        let back = folder.path("back.safetensors");
        unmerge(&out, &[(&adapter, Strength::default())], &back, &MergeOptions::default(), &mut go_on).unwrap();
        let (a, b) = change(0.05);
        let exact = kind.read(&out, "m") - kron(&a, &b);
        assert_nearest(what, &kind, &BaseModel::open(back).unwrap(), &exact);
    }
}

#[test]
fn verify_compares_what_codes_stand_for() {
    for (what, kind) in KINDS {
        let folder = Folder::new();
        let (base, large, small) = (model(&folder, &kind), adapter(0.05), adapter(0.0005));
        let check = |adapter: &Adapter, model: &BaseModel| {
            let adapters = [(adapter, Strength::default())];
            verify(&base, &adapters, model, &VerifyOptions::default(), &mut go_on).unwrap()
        };
        let (out, _) = merged(&folder, "out.safetensors", &base, &large, &MergeOptions::default());
        let report = check(&large, &out);
        assert_eq!(report.verdict, Verdict::Match, "{what}: {report:?}");
        let floats = with(QuantizedOptions { out_dtype: Some(FloatType::Bf16), ..QuantizedOptions::default() });
        let (out, _) = merged(&folder, "floats.safetensors", &base, &large, &floats);
        let report = check(&large, &out);
        assert_eq!(report.verdict, Verdict::Match, "{what}: {report:?}");
        // A change that each value alone could have lost to rounding.
        for adapter in [&large, &small] {
            let report = check(adapter, &base);
            assert_eq!(report.verdict, Verdict::Mismatch, "{what}: {report:?}");
            assert!(
                report.tensors.iter().find(|t| t.name == "m.weight").unwrap().share.unwrap().abs() < 1e-4,
                "{what}"
            );
        }
        let strong = [(&large, Strength { multiplier: 3.0, ..Strength::default() })];
        merge(&base, &strong, folder.path("thrice.safetensors"), &MergeOptions::default(), &mut go_on).unwrap();
        let thrice = BaseModel::open(folder.path("thrice.safetensors")).unwrap();
        assert_eq!(check(&large, &thrice).verdict, Verdict::Mismatch, "{what}");
    }
}

#[test]
fn extraction_sees_what_codes_stand_for() {
    for (what, kind) in KINDS {
        let folder = Folder::new();
        let (a, b) = change(0.05);
        let [before, after] = [weight(1), weight(1) + kron(&a, &b)];
        let plain = |values: &Array2<f64>| vec![("m.weight".to_owned(), Tensor::from_array(values, FloatType::F32))];
        let base = write(&folder, "base.safetensors", &plain(&before), &[]);
        let tuned = write(&folder, "tuned.safetensors", &kind.store("m", &after), &[]);
        let options = ExtractOptions { factor: Some(4), size: FactorSize::Full, ..ExtractOptions::default() };
        let found = extract(&base, &tuned, &options, &mut go_on).unwrap();
        let module = &found.report.modules[0];
        let difference: ArrayD<f64> = (kind.read(&tuned, "m") - &before).into_dyn();
        let norm = difference.mapv(|x| x * x).sum().sqrt();
        assert!((module.norm / norm - 1.0).abs() < 1e-3, "{what}: {} {norm}", module.norm);
        assert!(found.report.not_adapted.is_empty(), "{what}: {:?}", found.report.not_adapted);
        assert_eq!(found.terms[0]["m"].tensors()[0].1.dtype(), Dtype::BF16, "{what}");
        // The same values in another layout are no change; in another basis, they are sums.
        let same = write(&folder, "same.safetensors", &plain(&kind.read(&tuned, "m")), &[]);
        match extract(&same, &tuned, &options, &mut go_on) {
            Err(error) => assert!(matches!(error.cause(), E::Job(JobError::NothingChanged { .. })), "{what}: {error}"),
            Ok(found) => assert!(kind.group.is_some() && found.report.modules[0].relative_change < 1e-6, "{what}"),
        }
    }
}

/// A change of one part in a hundred, on values as they are in real weights: few are near zero.
#[test]
fn a_change_lost_to_rounding_is_refused_and_there_are_ways_to_keep_it() {
    let kind = KINDS[0].1;
    let folder = Folder::new();
    let values = weight(1).mapv(|x| x + 0.02 * x.signum());
    let base = write(&folder, "base.safetensors", &kind.store("m", &values), &[]);
    let original = write(
        &folder,
        "original.safetensors",
        &[("m.weight".to_owned(), Tensor::from_array(&values, FloatType::Bf16))],
        &[],
    );
    let adapter = adapter(0.001);
    let adapters = [(&adapter, Strength::default())];
    let run = |name: &str, quantized| merge(&base, &adapters, folder.path(name), &with(quantized), &mut go_on);
    let defaults = QuantizedOptions::default();
    cause(
        run("a", defaults),
        |e| matches!(e, E::Job(JobError::ChangeLost { key, kept, least }) if key == "m.weight" && *kept < 0.8 && *least == 0.9),
    );
    assert!(!folder.path("a").exists());
    let kept = |name: &str, quantized| run(name, quantized).unwrap().weights[0].measured.unwrap().kept.unwrap();
    assert!(kept("b", QuantizedOptions { min_kept: 0.0, ..defaults }) < 0.8);
    let share = kept("c", QuantizedOptions { rounding: QuantizedRounding::Stochastic, ..defaults });
    assert!((share - 1.0).abs() < 0.2, "{share}");
    let share = kept("d", QuantizedOptions { original: Some(&original), ..defaults });
    assert!((share - 1.0).abs() < 0.2, "{share}");
    let share = kept("e", QuantizedOptions { out_dtype: Some(FloatType::F32), ..defaults });
    assert!((share - 1.0).abs() < 1e-3, "{share}");

    // What is rounded once is the sum of the original and the change.
    let (a, b) = change(0.001);
    let exact = original.weight::<f64>("m.weight").unwrap() + kron(&a, &b).into_dyn();
    assert_nearest("original", &kind, &BaseModel::open(folder.path("d")).unwrap(), &matrix(exact));
}

#[test]
fn stochastic_rounding_is_the_same_for_any_number_of_threads() {
    for (what, kind) in KINDS {
        let folder = Folder::new();
        let (base, adapter) = (model(&folder, &kind), adapter(0.05));
        let options = with(QuantizedOptions { rounding: QuantizedRounding::Stochastic, ..QuantizedOptions::default() });
        let files = [1, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| merged(&folder, &format!("{threads}.safetensors"), &base, &adapter, &options));
            std::fs::read(folder.path(&format!("{threads}.safetensors"))).unwrap()
        });
        assert!(files[0] == files[1], "{what}");
        // Neighbours of the exact value, and not always the nearer one.
        let out = BaseModel::open(folder.path("1.safetensors")).unwrap();
        let (a, b) = change(0.05);
        let exact = kind.read(&base, "m") + kron(&a, &b);
        let (codes, scales) = kind.stored(&out, "m");
        let differ = codes.iter().zip(&kind.codes(&exact, &scales)).filter(|(x, y)| x != y).count();
        assert!(differ > codes.len() / 8 && differ < codes.len() / 2, "{what}: {differ} of {}", codes.len());
    }
}
