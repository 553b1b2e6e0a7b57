//! Resized adapters against dense arithmetic.

use crate::support::build::{Folder, cause, filled, go_on, lycoris, read, stop, tensor, typed};
use crate::support::{Case, fixtures};
use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError as E, Dtype, FactorSize, FileError, FloatType, JobError, ReadOptions,
    ResizeOptions, Resized, resize,
};
use ndarray::{Array2, ArrayD};

fn run(adapter: &Adapter, options: &ResizeOptions) -> Resized {
    resize(adapter, None, options, &mut go_on).unwrap()
}

fn delta(resized: &Resized, weight: &[usize]) -> ArrayD<f64> {
    let module = &resized.adapter.modules()["m"];
    module.delta(weight, module.scale().unwrap()).unwrap()
}

fn dense(adapter: &Adapter, weight: &[usize]) -> ArrayD<f64> {
    let module = &adapter.modules()["m"];
    module.delta(weight, module.scale().unwrap()).unwrap()
}

fn captured(found: &ArrayD<f64>, all: &ArrayD<f64>) -> f64 {
    1.0 - (found - all).iter().map(|x| x * x).sum::<f64>() / all.iter().map(|x| x * x).sum::<f64>()
}

/// `w1 (4, 6)`, `w2 (10, 12)` full or of rank 4, scale 1 or 3/4.
fn adapter(rank: Option<usize>) -> Adapter {
    let mut tensors = vec![("m.alpha", filled(&[], 3.0)), ("m.lokr_w1", typed(&[4, 6], FloatType::F64))];
    match rank {
        None => tensors.push(("m.lokr_w2", typed(&[10, 12], FloatType::F64))),
        Some(r) => {
            let wavy = |shape: [usize; 2], step: f64| {
                let array = Array2::from_shape_fn(shape, |(i, j)| ((i * 5 + j * 3) as f64 * step).sin());
                lokr_checkpoint::Tensor::from_array(&array, FloatType::F64)
            };
            tensors.push(("m.lokr_w2_a", wavy([10, r], 0.9)));
            tensors.push(("m.lokr_w2_b", wavy([r, 12], 1.3)));
        }
    }
    read(&tensors).unwrap()
}

/// The best share of a single product of another split: power iteration on the dense rearranged matrix.
fn best(all: &ArrayD<f64>, (m, n): (usize, usize)) -> f64 {
    let (p, q) = (all.shape()[0] / m, all.shape()[1] / n);
    let r = Array2::from_shape_fn((m * n, p * q), |(ij, kl)| all[[ij / n * p + kl / q, ij % n * q + kl % q]]);
    let mut v = r.row(0).to_owned();
    for _ in 0..3000 {
        v = r.t().dot(&r.dot(&v));
        v /= v.dot(&v).sqrt();
    }
    let u = r.dot(&v);
    u.dot(&u) / all.iter().map(|x| x * x).sum::<f64>()
}

#[test]
fn a_lower_rank_keeps_what_it_says() {
    for old in [None, Some(4)] {
        let adapter = adapter(old);
        let all = dense(&adapter, &[40, 72]);
        let mut last = 0.0;
        for rank in 1..=3 {
            let options = ResizeOptions { size: Some(FactorSize::Rank(rank)), ..ResizeOptions::default() };
            let resized = run(&adapter, &options);
            assert_eq!(resized.adapter.modules()["m"].rank(), Some(rank));
            let energy = resized.report.energy;
            assert!((captured(&delta(&resized, &[40, 72]), &all) - energy).abs() < 1e-12, "{old:?} {rank}");
            assert!(energy >= last);
            last = energy;
            let line = &resized.report.modules[0];
            assert!((line.norm - all.iter().map(|x| x * x).sum::<f64>().sqrt()).abs() < 1e-9 * line.norm);
            assert_eq!(line.rank, [old, Some(rank)]);
        }
        let options = ResizeOptions { size: Some(FactorSize::Energy(0.9)), ..ResizeOptions::default() };
        assert!(run(&adapter, &options).report.energy >= 0.9);
    }
}

#[test]
fn a_rank_that_is_there_already_keeps_every_byte() {
    let adapter = adapter(Some(4));
    for size in [None, Some(FactorSize::Rank(4))] {
        let resized = run(&adapter, &ResizeOptions { size, ..ResizeOptions::default() });
        let bytes = |(_, tensor): &(_, &lokr_checkpoint::Tensor)| tensor.bytes().to_vec();
        let (old, new) = (&adapter.modules()["m"], &resized.adapter.modules()["m"]);
        assert!(old.tensors().iter().map(bytes).eq(new.tensors().iter().map(bytes)));
        assert_eq!((resized.report.energy, resized.report.parameters), (1.0, resized.report.parameters_before));
    }
    let full = run(&adapter, &ResizeOptions { size: Some(FactorSize::Full), ..ResizeOptions::default() });
    assert_eq!(full.adapter.modules()["m"].rank(), None);
    assert!(captured(&delta(&full, &[40, 72]), &dense(&adapter, &[40, 72])) > 1.0 - 1e-14);
}

#[test]
fn another_split_is_the_nearest_product() {
    let all = |rank| dense(&adapter(rank), &[40, 72]);
    for (factor, split) in [(2, (2, 2)), (8, (5, 8)), (1, (1, 1)), (-1, (5, 8)), (4, (4, 4))] {
        for rank in [None, Some(4)] {
            let resized = run(&adapter(rank), &ResizeOptions { factor: Some(factor), ..ResizeOptions::default() });
            assert_eq!(resized.adapter.modules()["m"].w1().dim(), split);
            let energy = resized.report.energy;
            assert!((energy - best(&all(rank), split)).abs() < 1e-8, "{factor} {rank:?} {energy}");
            assert!((captured(&delta(&resized, &[40, 72]), &all(rank)) - energy).abs() < 1e-8, "{factor} {rank:?}");
        }
    }
}

#[test]
fn splits_that_divide_need_one_factor_only() {
    // 4 × 6 to 2 × 2 splits w1; to 8 × 12 splits w2: (40, 72) by factor 8 would be (5, 8), so other sizes.
    let t = |shape: &[usize]| typed(shape, FloatType::F64);
    let adapter =
        read(&[("m.alpha", filled(&[], 1.0)), ("m.lokr_w1", t(&[2, 2])), ("m.lokr_w2", t(&[16, 12]))]).unwrap();
    let all = dense(&adapter, &[32, 24]);
    for (factor, split) in [(4, (4, 4)), (1, (1, 1))] {
        let resized = run(&adapter, &ResizeOptions { factor: Some(factor), ..ResizeOptions::default() });
        assert_eq!(resized.adapter.modules()["m"].w1().dim(), split);
        assert!((resized.report.energy - best(&all, split)).abs() < 1e-8);
        assert!((captured(&delta(&resized, &[32, 24]), &all) - resized.report.energy).abs() < 1e-8);
    }
}

#[test]
fn convolutions_keep_their_kernels() {
    let t = |shape: &[usize]| typed(shape, FloatType::F64);
    let full =
        read(&[("m.alpha", filled(&[], 1.0)), ("m.lokr_w1", t(&[2, 3])), ("m.lokr_w2", t(&[4, 2, 3, 2]))]).unwrap();
    let weight = [8, 6, 3, 2];
    let resized = run(&full, &ResizeOptions { factor: Some(-1), ..ResizeOptions::default() });
    assert_eq!(resized.adapter.modules()["m"].w2().kernel(), Some(&[3, 2][..]));
    assert_eq!(resized.adapter.modules()["m"].w1().dim(), (2, 2));
    assert!((captured(&delta(&resized, &weight), &dense(&full, &weight)) - resized.report.energy).abs() < 1e-9);

    // A flat low-rank factor: the base model knows the kernel.
    let folder = Folder::new();
    let base = BaseModel::open(folder.tensors("conv.safetensors", &[("m.weight", tensor(&[6, 5, 2]))])).unwrap();
    let adapter = read(&lycoris(&[])).unwrap();
    let options = ResizeOptions { size: Some(FactorSize::Full), ..ResizeOptions::default() };
    let resized = resize(&adapter, Some(&base), &options, &mut go_on).unwrap();
    assert_eq!(resized.adapter.modules()["lycoris_m"].w2().dim(), (3, 2));
    assert_eq!(resized.adapter.modules()["lycoris_m"].w2().kernel(), Some(&[2][..]));
    // Beside two full factors this dialect has no scale, so it is in the first one.
    assert_eq!(resized.adapter.modules()["lycoris_m"].scale(), Some(1.0));
    let delta = |adapter: &Adapter, s| adapter.modules()["lycoris_m"].delta::<f64>(&[6, 5, 2], s).unwrap();
    assert!(captured(&delta(&resized.adapter, 1.0), &delta(&adapter, 2.0)) > 1.0 - 1e-12);
}

#[test]
fn pefts_configuration_makes_the_new_factors() {
    // `decompose_both`, and a `w1` that is full at rank 6 but that PEFT would make low-rank at rank 1.
    let folder = fixtures().join("peft_linear_prime_in");
    let adapter = Adapter::read(&folder, &ReadOptions::default()).unwrap();
    let both = |adapter: &Adapter| adapter.config().unwrap().fields()["decompose_both"] == true;
    assert!(both(&adapter));
    let options = ResizeOptions { size: Some(FactorSize::Rank(1)), ..ResizeOptions::default() };
    let resized = run(&adapter, &options);
    assert!(!both(&resized.adapter));
    let module = resized.adapter.modules().values().next().unwrap();
    assert_eq!((module.w1().rank(), module.w2().rank()), (None, Some(1)));
    assert_eq!(resized.adapter.config().unwrap().fields()["r"], 1);
}

#[test]
fn types_dora_and_errors() {
    let dora = read(&lycoris(&[("lycoris_m.dora_scale", filled(&[6, 1], 1.0))])).unwrap();
    let options =
        ResizeOptions { size: Some(FactorSize::Full), dtype: Some(FloatType::Bf16), ..ResizeOptions::default() };
    let resized = run(&dora, &options);
    let module = &resized.adapter.modules()["lycoris_m"];
    assert_eq!(module.w1().tensors()[0].1.dtype(), Dtype::BF16);
    assert!(module.dora_scale().is_some());
    cause(resize(&dora, None, &options, &mut stop), |e| matches!(e, E::Job(JobError::Interrupted)));
    let bad = ResizeOptions { size: Some(FactorSize::Rank(0)), ..ResizeOptions::default() };
    cause(resize(&dora, None, &bad, &mut go_on), |e| matches!(e, E::Job(JobError::Option { option: "rank", .. })));
}

#[test]
fn another_type_alone_rounds_and_nothing_else() {
    for name in ["lycoris_conv2d_tucker", "peft_conv2d_3x3_effective", "lycoris_linear_decompose_both"] {
        let case = Case::load(name);
        let adapter = Adapter::read(case.adapter_path(), &ReadOptions::default()).unwrap();
        let options = ResizeOptions { dtype: Some(FloatType::Bf16), ..ResizeOptions::default() };
        let resized = run(&adapter, &options);
        assert_eq!(resized.report.parameters, resized.report.parameters_before, "{name}");
        for (key, module) in resized.adapter.modules() {
            for ((suffix, new), (old_suffix, old)) in module.tensors().iter().zip(adapter.modules()[key].tensors()) {
                assert_eq!((*suffix, new.shape(), new.dtype()), (old_suffix, old.shape(), Dtype::BF16), "{name}");
            }
        }
    }
}

#[test]
fn a_type_that_cannot_hold_the_factors_is_an_error() {
    for (value, too_large) in [(1e30, true), (1e-30, false)] {
        let adapter = read(&lycoris(&[("lycoris_m.lokr_w1", filled(&[2, 5], value))])).unwrap();
        for size in [None, Some(FactorSize::Full)] {
            let options = ResizeOptions { size, dtype: Some(FloatType::F16), ..ResizeOptions::default() };
            cause(
                resize(&adapter, None, &options, &mut go_on),
                |e| matches!(e, E::File(FileError::OutOfRange { key, too_large: found, .. }) if key == "lycoris_m.lokr_w1" && *found == too_large),
            );
        }
    }
}

#[test]
fn a_rank_above_that_of_the_factors_changes_nothing() {
    let case = Case::load("lycoris_linear_lowrank");
    let adapter = Adapter::read(case.adapter_path(), &ReadOptions::default()).unwrap();
    let options = ResizeOptions { size: Some(FactorSize::Rank(64)), ..ResizeOptions::default() };
    let resized = run(&adapter, &options);
    for (name, module) in adapter.modules() {
        let new = resized.adapter.modules()[name].tensors();
        for (key, tensor) in module.tensors() {
            assert!(new.iter().any(|(k, t)| *k == key && t.bytes() == tensor.bytes()), "{key}");
        }
    }
}

/// PEFT's configuration tells that these factors are no linear layer's: without the base model nothing is guessed.
#[test]
fn kernels_that_only_the_base_model_tells() {
    let folder = Folder::new();
    folder.write("adapter_config.json", r#"{"peft_type": "LOKR", "r": 2, "alpha": 2, "decompose_factor": -1}"#);
    let tensors = [
        ("base_model.model.cv.lokr_w1", tensor(&[4, 3])),
        ("base_model.model.cv.lokr_w2_a", tensor(&[5, 2])),
        ("base_model.model.cv.lokr_w2_b", tensor(&[2, 36])),
    ];
    folder.tensors("adapter_model.safetensors", &tensors);
    let adapter = Adapter::read(folder.root(), &ReadOptions::default()).unwrap();
    let is_open = |e: &E| matches!(e, E::Job(JobError::KernelUnknown { module }) if module == "cv");
    let options = ResizeOptions { size: Some(FactorSize::Rank(1)), ..ResizeOptions::default() };
    cause(resize(&adapter, None, &options, &mut go_on), is_open);
    cause(lokr_checkpoint::to_lora(&adapter, None, &lokr_checkpoint::LoraOptions::default(), &mut go_on), is_open);
    let twice = [(&adapter, 0.5), (&adapter, 0.5)];
    cause(lokr_checkpoint::combine(&twice, None, &lokr_checkpoint::CombineOptions::default(), &mut go_on), is_open);
    let base = crate::support::build::base(&folder, &[("cv.weight", tensor(&[20, 12, 3, 3]))]);
    assert_eq!(resize(&adapter, Some(&base), &options, &mut go_on).unwrap().adapter.modules()["cv"].rank(), Some(1));
}
