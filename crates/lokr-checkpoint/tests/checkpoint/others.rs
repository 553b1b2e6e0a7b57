//! What other algorithms change beside LoKr: each kind by its own rule, against dense arithmetic written out here.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::build::{Folder, cause, filled, go_on, random, read, read_with, tensor};
use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError as E, CombineOptions, ConfigError, ConvertOptions, Dialect, FloatType,
    ForeignTensors, JobError, LoraOptions, MergeOptions, ModuleError, NameError, NonFinite, Overwrite, Parameter,
    ReadOptions, ResizeOptions, ScaleRule, Strength, Tensor, TensorFile, Unmatched, Verdict, VerifyOptions, Warning,
    ZeroAlpha, combine, merge, resize, to_lora, unmerge, verify,
};
use ndarray::{ArrayD, Axis, IxDyn};

type Named = Vec<(String, ArrayD<f64>)>;

/// A kind of module: its tensors behind the module's name, and what it adds to the weight and the bias.
struct Kind {
    what: &'static str,
    dotted: bool,
    tensors: Vec<(&'static str, ArrayD<f64>)>,
    weight: Option<ArrayD<f64>>,
    bias: Option<ArrayD<f64>>,
}

/// An array by a function of its indices.
fn array(shape: &[usize], of: impl Fn(&[usize]) -> f64) -> ArrayD<f64> {
    ArrayD::from_shape_fn(IxDyn(shape), |index| of(ndarray::Dimension::slice(&index)))
}

/// `Σ_r up[o, r]·down[r, i, k…]`, for a `down` of any shape of those elements.
fn product(up: &ArrayD<f64>, down: &ArrayD<f64>, shape: &[usize]) -> ArrayD<f64> {
    let (rank, columns) = (down.shape()[0], shape[1..].iter().product::<usize>());
    let (up, down) = (up.as_slice().unwrap(), down.as_slice().unwrap());
    let of = |o: usize, c: usize| (0..rank).map(|r| up[o * rank + r] * down[r * columns + c]).sum::<f64>();
    let values = (0..shape[0] * columns).map(|place| of(place / columns, place % columns)).collect();
    ArrayD::from_shape_vec(IxDyn(shape), values).unwrap()
}

/// `Σ_ab a[a, o]·b[b, i]·core[a, b, k…]`, where `a` is stored as it is in the rule.
fn tucker(a: impl Fn(usize, usize) -> f64, b: &ArrayD<f64>, core: &ArrayD<f64>, shape: &[usize]) -> ArrayD<f64> {
    array(shape, |index| {
        let mut sum = 0.0;
        for x in 0..core.shape()[0] {
            for y in 0..core.shape()[1] {
                let place: Vec<_> = [x, y].into_iter().chain(index[2..].iter().copied()).collect();
                let b = b.as_slice().unwrap()[y * shape[1] + index[1]];
                sum += a(x, index[0]) * b * core[IxDyn(&place)];
            }
        }
        sum
    })
}

fn lora(
    what: &'static str,
    keys: [&'static str; 2],
    up: &[usize],
    down: &[usize],
    alpha: Option<f64>,
    weight: &[usize],
) -> Kind {
    let (u, d) = (random(up, 3), random(down, 4));
    let scale = alpha.map_or(1.0, |alpha| alpha / down[0] as f64);
    let delta = product(&u, &d, weight) * scale;
    let mut tensors = vec![(keys[0], u), (keys[1], d)];
    tensors.extend(alpha.map(|alpha| ("alpha", ArrayD::from_elem(IxDyn(&[]), alpha))));
    Kind { what, dotted: !keys[0].starts_with("lora_up"), tensors, weight: Some(delta), bias: None }
}

fn kinds() -> Vec<Kind> {
    let kohya = ["lora_up.weight", "lora_down.weight"];
    let peft = ["lora_B.weight", "lora_A.weight"];
    let mut kinds = vec![
        lora("LoRA, kohya", kohya, &[6, 2], &[2, 10], Some(1.0), &[6, 10]),
        lora("LoRA, kohya, of more than one block", kohya, &[13, 7], &[7, 523], Some(3.5), &[13, 523]),
        lora("LoRA, PEFT's names without alpha", peft, &[7, 3], &[3, 13], None, &[7, 13]),
        lora("LoRA, PEFT's names with alpha", peft, &[7, 3], &[3, 13], Some(6.0), &[7, 13]),
        lora(
            "LoRA, a live model's names",
            ["lora_B.default.weight", "lora_A.default.weight"],
            &[1, 1],
            &[1, 1],
            None,
            &[1, 1],
        ),
        lora("LoRA, dotted", ["lora.up.weight", "lora.down.weight"], &[5, 1], &[1, 3], Some(2.0), &[5, 3]),
        lora("LoRA, Mochi's names", ["lora_B", "lora_A"], &[5, 1], &[1, 3], None, &[5, 3]),
        lora("LoCon", kohya, &[6, 2, 1, 1], &[2, 5, 3, 3], Some(1.0), &[6, 5, 3, 3]),
        lora("LoCon, flat as of ComfyUI's trainer", kohya, &[6, 2], &[2, 45], Some(1.0), &[6, 5, 3, 3]),
        lora("LoCon of one axis", kohya, &[4, 2, 1], &[2, 3, 5], Some(4.0), &[4, 3, 5]),
        lora("LoCon of three axes", kohya, &[4, 2, 1, 1, 1], &[2, 3, 1, 2, 2], Some(4.0), &[4, 3, 1, 2, 2]),
        lora("LoCon of 1×1 on a linear layer", kohya, &[6, 2, 1, 1], &[2, 5, 1, 1], Some(1.0), &[6, 5]),
    ];
    let (up, down, mid) = (random(&[6, 2, 1, 1], 1), random(&[3, 5, 1, 1], 2), random(&[2, 3, 3, 2], 3));
    let delta = tucker(|x, o| up[[o, x, 0, 0]], &down, &mid, &[6, 5, 3, 2]) * (1.5 / 3.0);
    let alpha = |alpha: f64| ("alpha", ArrayD::from_elem(IxDyn(&[]), alpha));
    kinds.push(Kind {
        what: "LoCon, Tucker",
        dotted: false,
        tensors: vec![(kohya[0], up), (kohya[1], down), ("lora_mid.weight", mid), alpha(1.5)],
        weight: Some(delta),
        bias: None,
    });
    for (what, weight) in [("LoHa", &[6, 10][..]), ("LoHa of a convolution", &[3, 2, 3, 3])] {
        let columns = weight[1..].iter().product();
        let [a1, a2] = [5, 6].map(|seed| random(&[weight[0], 2], seed));
        let [b1, b2] = [7, 8].map(|seed| random(&[2, columns], seed));
        let delta = product(&a1, &b1, weight) * product(&a2, &b2, weight) * 1.5;
        let tensors = vec![("hada_w1_a", a1), ("hada_w1_b", b1), ("hada_w2_a", a2), ("hada_w2_b", b2), alpha(3.0)];
        kinds.push(Kind { what, dotted: false, tensors, weight: Some(delta), bias: None });
    }
    let weight = [3, 5, 2, 3];
    let [a1, a2] = [5, 6].map(|seed| random(&[2, 3], seed));
    let [b1, b2] = [7, 8].map(|seed| random(&[2, 5], seed));
    let [t1, t2] = [9, 10].map(|seed| random(&[2, 2, 2, 3], seed));
    let first = tucker(|x, o| a1[[x, o]], &b1, &t1, &weight);
    let delta = first * tucker(|x, o| a2[[x, o]], &b2, &t2, &weight) * 0.5;
    let tensors = vec![
        ("hada_w1_a", a1),
        ("hada_w1_b", b1),
        ("hada_w2_a", a2),
        ("hada_w2_b", b2),
        ("hada_t1", t1),
        ("hada_t2", t2),
        alpha(1.0),
    ];
    kinds.push(Kind { what: "LoHa, Tucker", dotted: false, tensors, weight: Some(delta), bias: None });
    let whole = |what, keys: [&'static str; 2], weight: &[usize], dotted| {
        let (delta, bias) = (random(weight, 11), random(&weight[..1], 12));
        let tensors = vec![(keys[0], delta.clone()), (keys[1], bias.clone())];
        Kind { what, dotted, tensors, weight: Some(delta), bias: Some(bias) }
    };
    kinds.push(whole("differences", ["diff", "diff_b"], &[7, 5], true));
    kinds.push(whole("differences of a convolution", ["diff", "diff_b"], &[7, 5, 3, 3], false));
    kinds.push(whole("differences of a norm", ["w_norm", "b_norm"], &[301], false));
    kinds.push(whole("ComfyUI's of a norm", ["diff", "diff_b"], &[31], true));
    let bias = random(&[6], 13);
    kinds.push(Kind {
        what: "a bias alone",
        dotted: false,
        tensors: vec![("diff_b", bias.clone())],
        weight: None,
        bias: Some(bias),
    });
    // PEFT's `lora_bias`: the bias of the second half is scaled with it.
    let mut biased = lora("LoRA with a bias", peft, &[6, 2], &[2, 10], Some(1.0), &[6, 10]);
    let bias = random(&[6], 14);
    biased.bias = Some(&bias * 0.5);
    biased.tensors.push(("lora_B.bias", bias));
    kinds.push(biased);
    kinds
}

fn stored(tensors: &Named, dtype: FloatType) -> Vec<(&str, Tensor)> {
    tensors.iter().map(|(name, values)| (name.as_str(), Tensor::from_array(values, dtype))).collect()
}

/// The adapter of a kind beside a LoKr module, the base, and what is right for it at a multiplier.
struct Files {
    folder: Folder,
    adapter: Adapter,
    base: BaseModel,
    before: BTreeMap<String, ArrayD<f64>>,
    delta: BTreeMap<String, ArrayD<f64>>,
}

impl Files {
    fn new(kind: &Kind, dtype: FloatType, with_lokr: bool) -> Self {
        let folder = Folder::new();
        let (prefix, shape) =
            (if kind.dotted { "diffusion_model." } else { "lora_unet_" }, |x: &Option<ArrayD<f64>>| {
                x.as_ref().map(|x| x.shape().to_vec())
            });
        let bias = shape(&kind.bias).unwrap_or(vec![6]);
        let weight = shape(&kind.weight).unwrap_or(vec![6, 10]);
        let base: Named = vec![
            ("k.weight".to_owned(), random(&[6, 10], 20)),
            ("m.bias".to_owned(), random(&bias, 21)),
            ("m.weight".to_owned(), random(&weight, 22)),
            ("n.weight".to_owned(), random(&[3], 23)),
        ];
        let mut adapter: Named = kind.tensors.iter().map(|(key, x)| (format!("{prefix}m.{key}"), x.clone())).collect();
        let mut delta = BTreeMap::new();
        delta.extend(kind.weight.clone().map(|x| ("m.weight".to_owned(), x)));
        delta.extend(kind.bias.clone().map(|x| ("m.bias".to_owned(), x)));
        if with_lokr {
            let (w1, w2) = (random(&[2, 5], 24), random(&[3, 2], 25));
            delta.insert(
                "k.weight".to_owned(),
                array(&[6, 10], |i| w1[[i[0] / 3, i[1] / 2]] * w2[[i[0] % 3, i[1] % 2]]),
            );
            adapter.push((format!("{prefix}k.lokr_w1"), w1));
            adapter.push((format!("{prefix}k.lokr_w2"), w2));
        }
        let adapter = folder.tensors("adapter.safetensors", &stored(&adapter, FloatType::F32));
        let adapter = Adapter::read(adapter, &ReadOptions::default()).unwrap_or_else(|e| panic!("{}: {e}", kind.what));
        let path = folder.tensors("base.safetensors", &stored(&base, dtype));
        let file = TensorFile::open(&path).unwrap();
        // As they are stored.
        let before = base.iter().map(|(name, _)| (name.clone(), file.tensor(name).unwrap().to_array(name).unwrap()));
        Self { before: before.collect(), base: BaseModel::open(path).unwrap(), folder, adapter, delta }
    }

    /// Whether a file holds `W + μ·Δ` for each changed tensor, and the bits of the base for the others.
    fn check(&self, out: &Path, mu: f64, dtype: FloatType, what: &str) {
        let file = TensorFile::open(out).unwrap();
        for (name, before) in &self.before {
            let found = file.tensor(name).unwrap();
            let Some(delta) = self.delta.get(name) else {
                assert_eq!(found.bytes(), self.base.tensor(name).unwrap().bytes(), "{what}: {name}");
                continue;
            };
            let right = before + &(delta * mu);
            let largest = right.iter().fold(0f64, |max, x| max.max(x.abs()));
            let arithmetic = if dtype == FloatType::F64 { 1e-6 } else { 4e-6 };
            for (found, right) in found.to_array::<f64>(name).unwrap().iter().zip(&right) {
                let allowed = 0.51 * dtype.epsilon() * right.abs() + arithmetic * largest;
                assert!((found - right).abs() <= allowed, "{what}: {name}: {found} instead of {right}");
            }
        }
    }
}

#[test]
fn each_kind_is_merged_checked_and_taken_out_by_its_rule() {
    for (number, kind) in kinds().iter().enumerate() {
        // Also alone, and on models of other types.
        let dtype = [FloatType::F32, FloatType::Bf16, FloatType::F64, FloatType::F16][number % 4];
        for (dtype, with_lokr) in [(FloatType::F32, true), (dtype, number % 3 > 0)] {
            let (what, files) = (kind.what, Files::new(kind, dtype, with_lokr));
            for multiplier in [1.0, 0.5] {
                let adapters = [(&files.adapter, Strength { multiplier, ..Strength::default() })];
                let out = files.folder.path(&format!("out{multiplier}.safetensors"));
                let report = merge(&files.base, &adapters, &out, &MergeOptions::default(), &mut go_on).unwrap();
                assert_eq!(report.weights.len(), files.delta.len(), "{what}");
                assert_eq!(report.adapters[0].modules, files.delta.len(), "{what}");
                files.check(&out, multiplier, dtype, what);

                let merged = BaseModel::open(&out).unwrap();
                let options = VerifyOptions::default();
                let report = verify(&files.base, &adapters, &merged, &options, &mut go_on).unwrap();
                assert_eq!(report.verdict, Verdict::Match, "{what}: {report:?}");
                let left_out = verify(&files.base, &adapters, &files.base, &options, &mut go_on).unwrap();
                let wrong = left_out.tensors.iter().filter(|tensor| tensor.verdict == Verdict::Mismatch);
                assert_eq!(wrong.count(), files.delta.len(), "{what}");

                let back = files.folder.path(&format!("back{multiplier}.safetensors"));
                unmerge(&merged, &adapters, &back, &MergeOptions::default(), &mut go_on).unwrap();
                if dtype == FloatType::F32 || dtype == FloatType::F64 {
                    files.check(&back, 0.0, dtype, what);
                }
            }
        }
    }
}

/// DoRA beside LoRA: over outputs, over inputs, and in the spellings that mean outputs whatever their shape.
#[test]
fn norms_beside_a_lora() {
    for (key, shape, weight) in [
        ("dora_scale", &[6, 1][..], &[6, 10][..]),
        ("dora_scale", &[1, 10], &[6, 10]),
        ("lora_magnitude_vector", &[6], &[6, 10]),
        ("lora_magnitude_vector.weight", &[6], &[6, 6]),
        ("magnitude", &[6], &[6, 6]),
        ("lora_magnitude_vector.weight", &[1, 6, 1, 1], &[6, 4, 3, 3]),
    ] {
        let axes = vec![1; weight.len() - 2];
        let up = random(&[&[6, 2], &axes[..]].concat(), 1);
        let down = random(&[&[2], &weight[1..]].concat(), 2);
        let norms = random(shape, 3).mapv(|x| x.abs() + 0.5);
        let before = random(weight, 4);
        let named = [
            ("x.m.lora_B.weight", &up),
            ("x.m.lora_A.weight", &down),
            ("x.m.alpha", &ArrayD::from_elem(IxDyn(&[]), 1.0)),
        ];
        let key = format!("x.m.{key}");
        let tensors: Named =
            named.into_iter().chain([(&*key, &norms)]).map(|(k, x)| (k.to_owned(), x.clone())).collect();
        let folder = Folder::new();
        let file = folder.tensors("adapter.safetensors", &stored(&tensors, FloatType::F32));
        let adapter = Adapter::read(file, &ReadOptions::default()).unwrap();
        let base = BaseModel::open(
            folder.tensors("b.safetensors", &stored(&vec![("x.m.weight".to_owned(), before.clone())], FloatType::F32)),
        )
        .unwrap();

        let v = &before + &(product(&up, &down, weight) * 0.5);
        let over_inputs = shape == [1, 10];
        let lane = |v: &ArrayD<f64>, index: &[usize]| {
            let (axis, at) = if over_inputs { (1, index[1]) } else { (0, index[0]) };
            v.index_axis(Axis(axis), at).iter().map(|x| x * x).sum::<f64>().sqrt()
        };
        let norms = norms.as_slice().unwrap();
        let whole = array(weight, |i| v[IxDyn(i)] * norms[i[usize::from(over_inputs)]] / lane(&v, i));
        for multiplier in [1.0, 0.5] {
            let adapters = [(&adapter, Strength { multiplier, ..Strength::default() })];
            let out = folder.path(&format!("out{multiplier}.safetensors"));
            merge(&base, &adapters, &out, &MergeOptions::default(), &mut go_on).unwrap();
            let found: ArrayD<f64> =
                TensorFile::open(&out).unwrap().tensor("x.m.weight").unwrap().to_array("w").unwrap();
            let right = &before + &((&whole - &before) * multiplier);
            assert!((&found - &right).iter().all(|x| x.abs() < 2e-6), "{key} {shape:?}: {found} instead of {right}");
            let merged = BaseModel::open(&out).unwrap();
            let report = verify(&base, &adapters, &merged, &VerifyOptions::default(), &mut go_on).unwrap();
            assert_eq!(report.verdict, Verdict::Match);
            let back = unmerge(&merged, &adapters, folder.path("back"), &MergeOptions::default(), &mut go_on);
            cause(back, |e| matches!(e, E::Job(JobError::CannotUnmerge { key, .. }) if key == "x.m"));
        }
    }
}

/// A full `lokr_w2` of a convolution as a matrix: whole kernels wide, and cut through them.
#[test]
fn flat_factors_of_a_convolution_build_the_flat_weight() {
    for (w1, w2) in [([2, 2], [3, 18]), ([2, 6], [3, 6]), ([3, 36], [2, 1])] {
        let (a, b) = (random(&w1, 1), random(&w2, 2));
        let adapter: Named =
            vec![("diffusion_model.m.lokr_w1".into(), a.clone()), ("diffusion_model.m.lokr_w2".into(), b.clone())];
        let folder = Folder::new();
        let file = folder.tensors("a.safetensors", &stored(&adapter, FloatType::F32));
        let adapter = Adapter::read(file, &ReadOptions::default()).unwrap();
        let before = random(&[6, 4, 3, 3], 3);
        let base = vec![("m.weight".to_owned(), before.clone())];
        let base = BaseModel::open(folder.tensors("b.safetensors", &stored(&base, FloatType::F32))).unwrap();
        let flat = |i: &[usize]| (i[0], (i[1] * 3 + i[2]) * 3 + i[3]);
        let right = array(&[6, 4, 3, 3], |i| {
            let (row, column) = flat(i);
            before[IxDyn(i)] + a[[row / w2[0], column / w2[1]]] * b[[row % w2[0], column % w2[1]]]
        });
        let out = folder.path("out.safetensors");
        let adapters = [(&adapter, Strength::default())];
        merge(&base, &adapters, &out, &MergeOptions::default(), &mut go_on).unwrap();
        let values = |path: &Path| -> ArrayD<f64> {
            TensorFile::open(path).unwrap().tensor("m.weight").unwrap().to_array("w").unwrap()
        };
        assert!((&values(&out) - &right).iter().all(|x| x.abs() < 1e-6), "{w1:?} {w2:?}");

        // In other dialects and of other sizes it means the same.
        for dialect in [Dialect::Kohya, Dialect::Dotted, Dialect::Lycoris] {
            let converted = adapter.convert(&ConvertOptions::to(dialect), Some(&base)).unwrap().adapter;
            let again = folder.path(&format!("{dialect}.safetensors"));
            merge(&base, &[(&converted, Strength::default())], &again, &MergeOptions::default(), &mut go_on).unwrap();
            assert_eq!(values(&out), values(&again), "{dialect}");
        }
        let resized = resize(&adapter, Some(&base), &ResizeOptions::default(), &mut go_on).unwrap().adapter;
        let again = folder.path("resized.safetensors");
        merge(&base, &[(&resized, Strength::default())], &again, &MergeOptions::default(), &mut go_on).unwrap();
        assert!((&values(&again) - &right).iter().all(|x| x.abs() < 1e-6));
        let _ = to_lora(&adapter, Some(&base), &LoraOptions::default(), &mut go_on).unwrap();
    }
}

/// A parameter that is no layer's weight, in a dotted file under its own name.
#[test]
fn a_difference_may_be_of_a_bare_parameter() {
    let folder = Folder::new();
    let adapter: Named = vec![
        ("diffusion_model.m.lokr_w1".into(), random(&[2, 5], 1)),
        ("diffusion_model.m.lokr_w2".into(), random(&[3, 2], 2)),
        ("diffusion_model.blocks.0.modulation.diff".into(), random(&[1, 6, 5], 3)),
    ];
    let file = folder.tensors("a.safetensors", &stored(&adapter, FloatType::F32));
    let adapter = Adapter::read(file, &ReadOptions::default()).unwrap();
    let base: Named =
        vec![("m.weight".into(), random(&[6, 10], 4)), ("blocks.0.modulation".into(), random(&[1, 6, 5], 5))];
    let right = &base[1].1 + &random(&[1, 6, 5], 3);
    let base = BaseModel::open(folder.tensors("b.safetensors", &stored(&base, FloatType::F32))).unwrap();
    let out = folder.path("out.safetensors");
    merge(&base, &[(&adapter, Strength::default())], &out, &MergeOptions::default(), &mut go_on).unwrap();
    let found: ArrayD<f64> =
        TensorFile::open(&out).unwrap().tensor("blocks.0.modulation").unwrap().to_array("x").unwrap();
    assert!((&found - &right).iter().all(|x| x.abs() < 1e-6));
}

/// Where the target holds them they are carried over and mean the same; elsewhere they are refused by name.
#[test]
fn other_modules_are_converted_or_refused_by_name() {
    for kind in kinds() {
        let files = Files::new(&kind, FloatType::F32, true);
        for dialect in [Dialect::Kohya, Dialect::Lycoris, Dialect::Dotted] {
            let options = ConvertOptions::to(dialect);
            let converted = files.adapter.convert(&options, Some(&files.base)).unwrap().adapter;
            let path = files.folder.path("converted.safetensors");
            converted.write(&path, Overwrite::Replace).unwrap();
            let again = Adapter::read(&path, &ReadOptions::default()).unwrap();
            assert_eq!(
                (again.dialect(), again.others().len()),
                (dialect, files.adapter.others().len()),
                "{}",
                kind.what
            );
            let out = files.folder.path("converted-out.safetensors");
            let options = MergeOptions { overwrite: Overwrite::Replace, ..MergeOptions::default() };
            merge(&files.base, &[(&again, Strength::default())], &out, &options, &mut go_on).unwrap();
            files.check(&out, 1.0, FloatType::F32, kind.what);
        }
        for dialect in [Dialect::Peft, Dialect::Terms] {
            let refused = files.adapter.convert(&ConvertOptions::to(dialect), Some(&files.base));
            cause(refused, |e| matches!(e, E::Module(ModuleError::CannotHold { module, .. }) if module.ends_with('m')));
        }
        let own = ConvertOptions { dtype: Some(FloatType::Bf16), ..ConvertOptions::to(files.adapter.dialect()) };
        let rounded = files.adapter.convert(&own, None).unwrap();
        assert!(rounded.roundings.iter().any(|rounding| rounding.module.ends_with('m')), "{}", kind.what);
        let keys = |adapter: &Adapter| adapter.tensors().unwrap().into_keys().collect::<Vec<_>>();
        assert!(keys(&files.adapter).iter().all(|key| keys(&rounded.adapter).contains(key)), "{}", kind.what);
        let both = [(&files.adapter, 1.0), (&files.adapter, 1.0)];
        for refused in [
            combine(&both, None, &CombineOptions::default(), &mut go_on).map(|_| ()),
            to_lora(&files.adapter, Some(&files.base), &LoraOptions::default(), &mut go_on).map(|_| ()),
        ] {
            cause(refused, |e| matches!(e, E::Job(JobError::OtherAlgorithm { module, .. }) if module.ends_with('m')));
        }
        let resized = resize(&files.adapter, None, &ResizeOptions::default(), &mut go_on).unwrap().adapter;
        assert_eq!(keys(&resized), keys(&files.adapter), "{}", kind.what);
    }
}

fn options(skip: bool) -> ReadOptions {
    let foreign = if skip { ForeignTensors::Skip } else { ForeignTensors::Refuse };
    ReadOptions { foreign, ..ReadOptions::default() }
}

#[test]
fn halves_ranks_and_values_that_are_wrong_are_named() {
    let good = [("lora_unet_m.lora_up.weight", tensor(&[6, 2])), ("lora_unet_m.lora_down.weight", tensor(&[2, 10]))];
    let hadamard = |shapes: [[usize; 2]; 4]| {
        let keys = ["lora_unet_m.hada_w1_a", "lora_unet_m.hada_w1_b", "lora_unet_m.hada_w2_a", "lora_unet_m.hada_w2_b"];
        keys.into_iter().zip(shapes).map(|(key, shape)| (key, tensor(&shape))).collect::<Vec<_>>()
    };
    assert!(read(&good).is_ok());
    for (present, missing, at) in [("lora_up.weight", "lora_down.weight", 0), ("lora_down.weight", "lora_up.weight", 1)]
    {
        cause(read(&good[at..=at]), |e| {
            matches!(e, E::Module(ModuleError::HalfMissing { module, present: p, missing: m })
                if module == "lora_unet_m" && (*p, *m) == (present, missing))
        });
    }
    cause(read(&hadamard([[6, 2], [2, 10], [6, 2], [2, 10]])[..3]), |e| {
        matches!(e, E::Module(ModuleError::HalfMissing { missing: "hada_w2_b", .. }))
    });
    let core =
        [&hadamard([[2, 6], [2, 10], [2, 6], [2, 10]])[..], &[("lora_unet_m.hada_t1", tensor(&[2, 2, 3]))]].concat();
    cause(read(&core), |e| matches!(e, E::Module(ModuleError::HalfMissing { missing: "hada_t2", .. })));
    let ranks = |e: &E| matches!(e, E::Module(ModuleError::InnerRank { module, .. }) if module == "lora_unet_m");
    cause(read(&[("lora_unet_m.lora_up.weight", tensor(&[6, 3])), good[1].clone()]), ranks);
    cause(read(&hadamard([[6, 3], [2, 10], [6, 2], [2, 10]])), ranks);
    cause(read(&hadamard([[6, 3], [3, 10], [6, 2], [2, 10]])), ranks);
    cause(read(&hadamard([[6, 2], [2, 10], [5, 2], [2, 10]])), |e| {
        matches!(e, E::Module(ModuleError::ProductShape { algorithm: "LoHa", .. }))
    });
    let mid = [good[0].clone(), good[1].clone(), ("lora_unet_m.lora_mid.weight", tensor(&[3, 2, 3]))];
    cause(read(&mid), |e| matches!(e, E::Module(ModuleError::InnerRank { .. } | ModuleError::Axes { .. })));
    cause(read(&[("lora_unet_m.lora_up.weight", tensor(&[6, 2, 3])), good[1].clone()]), |e| {
        matches!(e, E::Module(ModuleError::Axes { key: "lora_up.weight", .. }))
    });
    cause(
        read(&[("lora_unet_m.lora_up.weight", tensor(&[6, 0])), ("lora_unet_m.lora_down.weight", tensor(&[0, 10]))]),
        |e| matches!(e, E::Module(ModuleError::ZeroAxis { .. })),
    );
    for (key, shape) in [
        ("lora_unet_m.lora_up.weight", &[6, 2][..]),
        ("lora_unet_m.diff", &[6, 10]),
        ("lora_unet_m.dora_scale", &[6, 1]),
    ] {
        let mut bad: Vec<_> = if key.ends_with("diff") { Vec::new() } else { good.to_vec() };
        bad.retain(|(k, _)| *k != key);
        bad.push((key, filled(shape, f64::NAN)));
        cause(read(&bad), |e| matches!(e, E::Module(ModuleError::NonFinite { module, .. }) if module == "lora_unet_m"));
        assert!(read_with(&bad, &ReadOptions { non_finite: NonFinite::Allow, ..ReadOptions::default() }).is_ok());
    }
    let zero = [good[0].clone(), good[1].clone(), ("lora_unet_m.alpha", filled(&[], 0.0))];
    cause(read(&zero), |e| matches!(e, E::Module(ModuleError::AlphaZero { .. })));
    for (zero_alpha, scale) in [(ZeroAlpha::Rank, 1.0), (ZeroAlpha::Zero, 0.0)] {
        let adapter = read_with(&zero, &ReadOptions { zero_alpha, ..ReadOptions::default() }).unwrap();
        assert_eq!(adapter.others()[0].scale(), scale);
    }
    let nan = [good[0].clone(), good[1].clone(), ("lora_unet_m.alpha", filled(&[], f64::NAN))];
    cause(read(&nan), |e| matches!(e, E::Module(ModuleError::AlphaNotFinite { .. })));
}

#[test]
fn two_changes_of_one_parameter_are_refused() {
    let lokr = [("lora_unet_m.lokr_w1", tensor(&[2, 5])), ("lora_unet_m.lokr_w2", tensor(&[3, 2]))];
    let lora = [("lora_unet_m.lora_up.weight", tensor(&[6, 2])), ("lora_unet_m.lora_down.weight", tensor(&[2, 10]))];
    let (diff, norm) = ([("lora_unet_m.diff", tensor(&[6, 10]))], [("lora_unet_m.w_norm", tensor(&[6]))]);
    let biases = [("lora_unet_m.diff_b", tensor(&[6])), ("lora_unet_m.b_norm", tensor(&[6]))];
    for tensors in [
        [&lokr[..], &lora].concat(),
        [&lokr[..], &diff].concat(),
        [&lora[..], &diff].concat(),
        [&diff[..], &norm].concat(),
        [&lokr[..], &biases].concat(),
    ] {
        for skip in [false, true] {
            cause(
                read_with(&tensors, &options(skip)),
                |e| matches!(e, E::Module(ModuleError::TwoChanges { module, .. }) if module == "lora_unet_m"),
            );
        }
    }
    let adapter = read(&[&lokr[..], &biases[..1]].concat()).unwrap();
    assert_eq!((adapter.modules().len(), adapter.others()[0].parameter()), (1, Parameter::Bias));
}

#[test]
fn what_does_not_fit_the_base_is_named() {
    let folder = Folder::new();
    let model = [("m.weight", tensor(&[6, 10])), ("c.weight", tensor(&[6, 5, 3, 3])), ("c.bias", tensor(&[6]))];
    let base = BaseModel::open(folder.tensors("base.safetensors", &model)).unwrap();
    let resolve = |tensors: &[(&str, Tensor)]| {
        let folder = Folder::new();
        let path = folder.tensors("a.safetensors", tensors);
        Adapter::read(path, &ReadOptions::default()).unwrap().resolve(&base, Unmatched::Refuse)
    };
    let lora = |module: &'static str, up: &[usize], down: &[usize]| {
        let key = |suffix| -> &'static str { format!("{module}.{suffix}").leak() };
        vec![(key("lora_up.weight"), tensor(up)), (key("lora_down.weight"), tensor(down))]
    };
    assert!(resolve(&lora("lora_unet_m", &[6, 2], &[2, 10])).is_ok());
    cause(
        resolve(&lora("lora_unet_m", &[6, 2], &[2, 9])),
        |e| matches!(e, E::Module(ModuleError::ProductShape { module, expected: (6, 10), found: (6, 9), .. }) if module == "lora_unet_m"),
    );
    let fused = resolve(&lora("lora_unet_m", &[18, 2], &[2, 10])).unwrap_err().to_string();
    assert!(fused.contains("fused"), "{fused}");
    cause(resolve(&lora("lora_unet_c", &[6, 2, 1, 1], &[2, 5, 9, 1])), |e| {
        matches!(e, E::Module(ModuleError::Kernel { key: "lora_down.weight", .. }))
    });
    cause(
        resolve(&[("lora_unet_m.diff", tensor(&[10, 6]))]),
        |e| matches!(e, E::Module(ModuleError::DifferenceShape { module, key: "diff", .. }) if module == "lora_unet_m"),
    );
    cause(resolve(&[("lora_unet_c.diff_b", tensor(&[5]))]), |e| {
        matches!(e, E::Module(ModuleError::DifferenceShape { key: "diff_b", .. }))
    });
    let none = resolve(&[("lora_unet_m.diff_b", tensor(&[6]))]);
    cause(
        none,
        |e| matches!(e, E::Module(ModuleError::NoBias { module, key: "diff_b", layer }) if (&**module, &**layer) == ("lora_unet_m", "m")),
    );
    let gone = [&lora("lora_unet_m", &[6, 2], &[2, 10])[..], &lora("lora_unet_gone", &[6, 2], &[2, 10])].concat();
    cause(
        resolve(&gone),
        |e| matches!(e, E::Name(NameError::UnmatchedModules { modules, total: 2, .. }) if *modules == ["lora_unet_gone"]),
    );
    let both = resolve(&[("lora_unet_c.diff_b", tensor(&[6])), ("lora_unet_c_.diff_b", tensor(&[6]))]);
    assert!(both.is_err());
}

/// Scales: `--scale` is for all factors, LyCORIS's merge squares LoHa's but not LoRA's, differences have none.
#[test]
fn rules_of_scale() {
    let adapter = read(&[
        ("lora_unet_a.lora_up.weight", tensor(&[2, 2])),
        ("lora_unet_a.lora_down.weight", tensor(&[2, 2])),
        ("lora_unet_a.alpha", filled(&[], 1.0)),
        ("lora_unet_b.hada_w1_a", tensor(&[2, 2])),
        ("lora_unet_b.hada_w1_b", tensor(&[2, 2])),
        ("lora_unet_b.hada_w2_a", tensor(&[2, 2])),
        ("lora_unet_b.hada_w2_b", tensor(&[2, 2])),
        ("lora_unet_b.alpha", filled(&[], 1.0)),
        ("lora_unet_c.diff", tensor(&[2, 2])),
    ])
    .unwrap();
    let folder = Folder::new();
    let weights = ["a.weight", "b.weight", "c.weight"].map(|name| (name, tensor(&[2, 2])));
    let base = BaseModel::open(folder.tensors("base.safetensors", &weights)).unwrap();
    for (scale, right) in [
        (ScaleRule::Trained, [0.5, 0.5, 1.0]),
        (ScaleRule::LikeLycorisMerge, [0.5, 0.25, 1.0]),
        (ScaleRule::Fixed(3.0), [3.0, 3.0, 1.0]),
    ] {
        let out = folder.path("out.safetensors");
        let options = MergeOptions { overwrite: Overwrite::Replace, ..MergeOptions::default() };
        let strength = Strength { scale, ..Strength::default() };
        let report = merge(&base, &[(&adapter, strength)], &out, &options, &mut go_on).unwrap();
        let scales: Vec<_> = report.weights.iter().map(|weight| weight.applied[0].scale).collect();
        assert_eq!(scales, right);
        let algorithms: Vec<_> = report.weights.iter().map(|weight| weight.applied[0].algorithm).collect();
        assert_eq!(algorithms, ["LoRA", "LoHa", "difference"]);
        let line = &report.adapters[0].convention;
        assert!(line.contains("up·down") && line.contains("∘") && line.contains('Δ') && !line.contains('⊗'), "{line}");
    }
}

/// diffusers, and programs that save through it, keep the alpha of a LoRA in the header; some publishers write one.
#[test]
fn the_alpha_of_a_lora_may_be_in_the_header() {
    let lora = |key: &'static str| {
        let names = ["lora_B.weight", "lora_A.weight"].map(|suffix| &*format!("{key}.{suffix}").leak());
        vec![(names[0], tensor(&[6, 2])), (names[1], tensor(&[2, 10]))]
    };
    let scale = |tensors: &[(&str, Tensor)], metadata: &[(&str, &str)]| {
        let folder = Folder::new();
        let path = folder.tensors_with("a.safetensors", tensors, metadata);
        let adapter = Adapter::read(path, &ReadOptions::default()).unwrap();
        (adapter.others()[0].scale(), adapter.warnings().to_vec())
    };
    let diffusers = r#"{"transformer.r": 2, "transformer.lora_alpha": 8, "transformer.use_rslora": false,
        "transformer.alpha_pattern": {"b.q": 3}, "text_encoder.lora_alpha": 1, "text_encoder.r": 2}"#;
    let header = [("lora_adapter_metadata", diffusers)];
    assert_eq!(scale(&lora("transformer.a.q"), &header), (4.0, vec![]));
    assert_eq!(scale(&lora("transformer.b.q"), &header), (1.5, vec![]));
    assert_eq!(scale(&lora("text_encoder.a.q"), &header), (0.5, vec![]));
    // Several components, none of which is this.
    assert_eq!(scale(&lora("diffusion_model.a.q"), &header), (1.0, vec![]));
    let only = [("transformer.lora_alpha", "8"), ("transformer.r", "2")];
    assert_eq!(scale(&lora("diffusion_model.a.q"), &only), (4.0, vec![]));
    let root = [("lora_adapter_metadata", r#"{"unet.lora_alpha": 4, "unet.use_rslora": true}"#)];
    assert_eq!(scale(&lora("unet.a"), &root), (4.0 / 2f64.sqrt(), vec![]));
    assert_eq!(scale(&lora("diffusion_model.a"), &[("alpha", "8")]), (4.0, vec![]));
    // A tensor comes first, and beside one the header's single alpha says nothing of the others.
    let own = [&lora("diffusion_model.a")[..], &[("diffusion_model.a.alpha", filled(&[], 6.0))]].concat();
    assert_eq!(scale(&own, &[("alpha", "8")]), (3.0, vec![]));
    // What kohya's scripts state there no reader applies.
    let (scale, warnings) = scale(&lora("diffusion_model.a"), &[("ss_network_alpha", "1"), ("ss_network_dim", "2")]);
    assert_eq!(scale, 1.0);
    assert!(matches!(warnings[..], [Warning::AlphaAbsent { other_scale: Some(0.5), .. }]), "{warnings:?}");
}

/// Marks and bare numbers are noted; other algorithms are refused by name, and what leaving them out loses is told.
#[test]
fn marks_are_noted_and_algorithms_named() {
    let lokr = [("diffusion_model.m.lokr_w1", tensor(&[2, 5])), ("diffusion_model.m.lokr_w2", tensor(&[3, 2]))];
    let marks = ["diffusion_model.m.lokr_factor", "diffusion_model.m.lokr_decompose_both", "version"];
    let marked = [&lokr[..], &marks.map(|key| (key, filled(&[1], 8.0)))].concat();
    let adapter = read(&marked).unwrap();
    assert!(
        matches!(adapter.warnings(), [Warning::MarksIgnored { keys }] if keys.len() == 3),
        "{:?}",
        adapter.warnings()
    );
    for (key, name) in [
        ("diffusion_model.x.oft_blocks", "OFT"),
        ("diffusion_model.x.oft_R.weight", "OFT"),
        ("diffusion_model.x.boft_R", "BOFT"),
        ("diffusion_model.x.on_input", "IA3"),
        ("diffusion_model.x.ia3_l", "IA3"),
        ("diffusion_model.x.a1.weight", "GLoRA"),
        ("diffusion_model.x.vera_lambda_b", "VeRA"),
        ("diffusion_model.x.lora_down.0.weight", "LoRA"),
        ("diffusion_model.x.lora_embedding_A", "LoRA of an embedding"),
        ("diffusion_model.x.bias_values", "a sparse rest"),
        ("diffusion_model.x.set_weight", "a whole weight"),
    ] {
        let mixed = [&lokr[..], &[(key, tensor(&[2, 2])), ("diffusion_model.x.alpha", filled(&[], 1.0))]].concat();
        cause(
            read(&mixed),
            |e| matches!(e, E::Name(NameError::OtherAlgorithm { key: k, algorithm, .. }) if k == key && *algorithm == name),
        );
        let adapter = read_with(&mixed, &options(true)).unwrap();
        assert!(matches!(adapter.warnings(), [Warning::Skipped { keys }] if *keys == [(key.to_owned(), Some(name))]));
        let text = adapter.warnings()[0].to_string();
        assert!(text.contains(key) && text.contains(name), "{text}");
    }
}

/// Ranks that differ under one alpha, and a rank that is not the one that was asked for.
#[test]
fn the_scale_that_may_be_meant_is_told() {
    let factors = |module: &str, rank: usize, alpha: f64| -> Vec<(&'static str, Tensor)> {
        let key = |suffix: &str| -> &'static str { format!("lora_unet_{module}.{suffix}").leak() };
        vec![
            (key("lokr_w1"), tensor(&[2, 2])),
            (key("lokr_w2_a"), tensor(&[9, rank])),
            (key("lokr_w2_b"), tensor(&[rank, 9])),
            (key("alpha"), filled(&[], alpha)),
        ]
    };
    let warnings = |tensors: &[(&str, Tensor)], metadata: &[(&str, &str)]| {
        let folder = Folder::new();
        let path = folder.tensors_with("a.safetensors", tensors, metadata);
        Adapter::read(path, &ReadOptions::default()).unwrap().warnings().to_vec()
    };
    let two = [factors("a", 2, 2.0), factors("b", 4, 2.0)].concat();
    assert!(matches!(warnings(&two, &[])[..], [Warning::RanksDiffer { alpha: 2.0, ranks: (2, 4), other_scale: 0.5 }]));
    let stated = [("ss_network_dim", "8"), ("ss_network_alpha", "2")];
    let told = warnings(&two, &stated);
    assert!(matches!(told[..], [Warning::RanksDiffer { other_scale: 0.25, .. }]), "{told:?}");
    assert!(told[0].to_string().contains("0.25"));
    let of_convolutions = [("ss_network_dim", "4"), ("ss_network_args", r#"{"conv_dim": "2"}"#)];
    assert!(warnings(&two, &of_convolutions).is_empty());
    assert!(warnings(&[factors("a", 2, 2.0), factors("b", 4, 4.0)].concat(), &stated[..1]).is_empty());
    assert!(matches!(warnings(&factors("a", 4, 2.0), &stated)[..], [Warning::RanksDiffer { ranks: (4, 4), .. }]));
    assert!(warnings(&factors("a", 4, 4.0), &stated).is_empty(), "an alpha of its own goes with its rank");

    let full = |alpha: f64| {
        [
            ("lora_unet_m.lokr_w1", tensor(&[2, 5])),
            ("lora_unet_m.lokr_w2", tensor(&[3, 2])),
            ("lora_unet_m.alpha", filled(&[], alpha)),
        ]
    };
    let told = warnings(&full(1.0), &[("ss_network_dim", "32")]);
    assert!(
        matches!(told[..], [Warning::AlphaIgnored { other_scale: 0.03125, .. }])
            && told[0].to_string().contains("0.03125")
    );
    // Ranks that ask for full factors, whatever stands there.
    assert!(warnings(&full(1.0), &[("ss_network_dim", "100000")]).is_empty());
    assert!(warnings(&full(1e10), &[("ss_network_dim", "32")]).is_empty());
    assert!(
        matches!(warnings(&full(7f64.powf(1.5)), &[])[..], [Warning::AlphaIgnored { other_scale, .. }] if (other_scale - 7f64.sqrt()).abs() < 1e-6)
    );
}

/// A directory of PEFT's LoRA, as it is saved and as a live model's state.
#[test]
fn a_directory_of_pefts_lora_is_merged() {
    let config =
        r#"{"peft_type": "LORA", "r": 2, "lora_alpha": 1, "rank_pattern": {"c": 3}, "alpha_pattern": {"c": 6}}"#;
    let (up, down) = (random(&[6, 2], 1), random(&[2, 10], 2));
    let (conv_up, conv_down) = (random(&[6, 3, 1, 1], 3), random(&[3, 4, 3, 3], 4));
    let (bias, head) = (random(&[6], 5), random(&[5], 6));
    for live in [false, true] {
        let key = |module: &str, half: &str| match live {
            false => format!("base_model.model.{module}.{half}.weight"),
            true => format!("base_model.model.{module}.{half}.default.weight"),
        };
        let mut tensors: Named = vec![
            (key("a", "lora_B"), up.clone()),
            (key("a", "lora_A"), down.clone()),
            (key("c", "lora_B"), conv_up.clone()),
            (key("c", "lora_A"), conv_down.clone()),
        ];
        if !live {
            tensors.push(("base_model.model.a.lora_B.bias".into(), bias.clone()));
            tensors.push(("base_model.model.head.bias".into(), head.clone()));
        }
        let folder = Folder::new();
        folder.write("adapter_config.json", config);
        folder.tensors("adapter_model.safetensors", &stored(&tensors, FloatType::F32));
        let adapter = Adapter::read(folder.root(), &ReadOptions::default()).unwrap();
        let scales: Vec<_> = adapter.others().iter().map(|module| (module.name(), module.scale())).collect();
        let right = [("a", 0.5), ("a", 0.5), ("c", 2.0)];
        assert_eq!(scales, if live { [right[0], right[2]].to_vec() } else { right.to_vec() });
        assert_eq!(adapter.dialect(), Dialect::Peft);

        let base: Named = vec![
            ("a.bias".into(), random(&[6], 7)),
            ("a.weight".into(), random(&[6, 10], 8)),
            ("c.weight".into(), random(&[6, 4, 3, 3], 9)),
            ("head.bias".into(), random(&[5], 10)),
        ];
        let model = BaseModel::open(folder.tensors("base.safetensors", &stored(&base, FloatType::F32))).unwrap();
        let out = folder.path("out.safetensors");
        merge(&model, &[(&adapter, Strength::default())], &out, &MergeOptions::default(), &mut go_on).unwrap();
        let found = |name: &str| -> ArrayD<f64> {
            TensorFile::open(&out).unwrap().tensor(name).unwrap().to_array(name).unwrap()
        };
        let near =
            |name: &str, right: ArrayD<f64>| assert!((found(name) - right).iter().all(|x| x.abs() < 3e-6), "{name}");
        near("a.weight", &base[1].1 + &(product(&up, &down, &[6, 10]) * 0.5));
        near("c.weight", &base[2].1 + &(product(&conv_up, &conv_down, &[6, 4, 3, 3]) * 2.0));
        near("a.bias", if live { base[0].1.clone() } else { &base[0].1 + &(&bias * 0.5) });
        near("head.bias", if live { base[3].1.clone() } else { head.clone() });
    }
}

#[test]
fn pefts_lora_and_its_configuration_must_be_of_one_kind() {
    let lora =
        [("base_model.model.m.lora_A.weight", tensor(&[2, 10])), ("base_model.model.m.lora_B.weight", tensor(&[6, 2]))];
    let lokr = [("base_model.model.m.lokr_w1", tensor(&[2, 5])), ("base_model.model.m.lokr_w2", tensor(&[3, 2]))];
    let open = |kind: &str, tensors: &[(&str, Tensor)]| {
        let folder = Folder::new();
        folder.write("adapter_config.json", format!(r#"{{"peft_type": "{kind}", "r": 2}}"#));
        folder.tensors("adapter_model.safetensors", tensors);
        Adapter::read(folder.root(), &ReadOptions::default())
    };
    assert!(open("LORA", &lora).is_ok() && open("LOKR", &lokr).is_ok());
    for (kind, tensors) in [("LORA", &lokr), ("LOKR", &lora)] {
        cause(
            open(kind, tensors),
            |e| matches!(e, E::Config(ConfigError::Field { field, .. }) if field == "peft_type"),
        );
    }
    // Beside LoKr PEFT has no place for it.
    let both = [&lokr[..], &lora].concat();
    cause(open("LOKR", &both), |e| matches!(e, E::Name(NameError::OtherAlgorithm { algorithm: "LoRA", .. })));
    let bare = read(&lora).unwrap();
    assert!(matches!(bare.warnings(), [Warning::AlphaAbsent { .. }]) && bare.others()[0].scale() == 1.0);
    let embedding = [("base_model.model.m.lora_embedding_A", tensor(&[2, 10])), lora[0].clone(), lora[1].clone()];
    cause(open("LORA", &embedding), |e| {
        matches!(e, E::Name(NameError::OtherAlgorithm { algorithm: "LoRA of an embedding", .. }))
    });
}

/// diffusion-pipe writes ComfyUI's names without alpha, and PEFT's configuration beside them.
#[test]
fn a_configuration_of_peft_beside_its_file_tells_the_scale_of_dotted_names() {
    let lora =
        [("diffusion_model.m.lora_A.weight", tensor(&[2, 10])), ("diffusion_model.m.lora_B.weight", tensor(&[6, 2]))];
    let lokr = [
        ("diffusion_model.m.lokr_w1", tensor(&[2, 5])),
        ("diffusion_model.m.lokr_w2_a", tensor(&[3, 2])),
        ("diffusion_model.m.lokr_w2_b", tensor(&[2, 2])),
    ];
    let open = |name: &str, config: &str, tensors: &[(&str, Tensor)]| {
        let folder = Folder::new();
        folder.write("adapter_config.json", config);
        Adapter::read(folder.tensors(name, tensors), &ReadOptions::default()).unwrap()
    };
    let pefts = "adapter_model.safetensors";
    let adapter = open(pefts, r#"{"peft_type": "LORA", "r": 2, "lora_alpha": 3}"#, &lora);
    assert_eq!((adapter.dialect(), adapter.others()[0].scale(), adapter.warnings()), (Dialect::Dotted, 1.5, &[][..]));
    let fitting = r#"{"peft_type": "LOKR", "r": 2, "alpha": 3}"#;
    let scale = |adapter: &Adapter| adapter.modules()["diffusion_model.m"].scale();
    assert_eq!(scale(&open(pefts, fitting, &lokr)), Some(1.5));
    assert_eq!(scale(&open("other.safetensors", fitting, &lokr)), Some(1.0));
    for stray in [r#"{"peft_type": "LOKR", "r": 5, "alpha": 3}"#, r#"{"peft_type": "LORA", "r": 2}"#, "{"] {
        assert_eq!(scale(&open(pefts, stray, &lokr)), Some(1.0), "{stray}");
    }
}
