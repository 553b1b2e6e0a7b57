//! Weighted sums of adapters against dense arithmetic.

use crate::support::build::{CONFIG, Folder, cause, filled, go_on, lycoris, peft, random, read, stop, tensor};
use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError as E, CombineOptions, FactorSize, FloatType, JobError, Overwrite, Progress,
    ReadOptions, Tensor, combine,
};
use ndarray::{Array2, ArrayD};

/// Module `m` of dotted names, rank 2 or full, with an `alpha`.
fn adapter(seed: u64, alpha: f64, w1: [usize; 2], w2: &[usize], rank: Option<usize>, dtype: FloatType) -> Adapter {
    let stored = |shape: &[usize], seed| Tensor::from_array(&random(shape, seed), dtype);
    let mut tensors = vec![("m.alpha", filled(&[], alpha)), ("m.lokr_w1", stored(&w1, seed))];
    match rank {
        None => tensors.push(("m.lokr_w2", stored(w2, seed + 1))),
        Some(r) => {
            tensors.push(("m.lokr_w2_a", stored(&[w2[0], r], seed + 1)));
            tensors.push(("m.lokr_w2_b", stored(&[r, w2[1..].iter().product()], seed + 2)));
        }
    }
    read(&tensors).unwrap()
}

fn dense(adapter: &Adapter, weight: &[usize]) -> ArrayD<f64> {
    let module = &adapter.modules()["m"];
    module.delta(weight, module.scale().unwrap()).unwrap()
}

/// The best share a single product captures: power iteration on the dense rearranged sum.
fn best(sum: &ArrayD<f64>, (m, n): (usize, usize)) -> f64 {
    let (out, columns) = (sum.shape()[0], sum.len() / sum.shape()[0]);
    let (p, q) = (out / m, columns / n);
    let flat = sum.to_shape((out, columns)).unwrap();
    let r = Array2::from_shape_fn((m * n, p * q), |(ij, kl)| flat[[ij / n * p + kl / q, ij % n * q + kl % q]]);
    let mut v = r.row(0).to_owned();
    for _ in 0..2000 {
        v = r.t().dot(&r.dot(&v));
        v /= v.dot(&v).sqrt();
    }
    let u = r.dot(&v);
    u.dot(&u) / sum.iter().map(|x| x * x).sum::<f64>()
}

fn captured(found: &ArrayD<f64>, sum: &ArrayD<f64>) -> f64 {
    1.0 - (found - sum).iter().map(|x| x * x).sum::<f64>() / sum.iter().map(|x| x * x).sum::<f64>()
}

#[test]
fn the_best_single_product_of_a_weighted_sum() {
    for (w1, w2, weight, rank) in [
        ([2, 3], &[7, 5][..], &[14, 15][..], None),
        ([2, 3], &[8, 9], &[16, 27], Some(2)),
        ([1, 3], &[5, 1], &[5, 3], None),
        ([2, 2], &[3, 2, 3, 2], &[6, 4, 3, 2], None),
    ] {
        let make = |seed, alpha| adapter(seed, alpha, w1, w2, rank, FloatType::F64);
        let adapters = [make(1, 2.0), make(11, 1.0), make(21, 5.0)];
        let weights = [0.7, -1.3, 2.0];
        let sum = adapters
            .iter()
            .zip(weights)
            .fold(ArrayD::zeros(weight), |sum, (adapter, w)| sum + dense(adapter, weight) * w);
        let pairs: Vec<_> = adapters.iter().zip(weights).collect();
        let found = combine(&pairs, None, &CombineOptions::default(), &mut go_on).unwrap();
        let energy = found.report.energy;
        let delta = found.adapter.modules()["m"].delta::<f64>(weight, 1.0).unwrap();
        assert!((energy - best(&sum, (w1[0], w1[1]))).abs() < 1e-8, "{weight:?} {energy}");
        assert!((energy - captured(&delta, &sum)).abs() < 1e-10, "{weight:?}");
        let norm = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
        assert!((found.report.modules[0].norm - norm).abs() < 1e-9 * norm);
        assert_eq!(found.report.modules[0].summands, 3);

        let options = CombineOptions { size: Some(FactorSize::Rank(1)), ..CombineOptions::default() };
        let small = combine(&pairs, None, &options, &mut go_on).unwrap();
        let delta = small.adapter.modules()["m"].delta::<f64>(weight, 1.0).unwrap();
        assert!((small.report.energy - captured(&delta, &sum)).abs() < 1e-10, "{weight:?}");
        assert!(small.report.energy <= energy + 1e-12);
    }
}

#[test]
fn multiples_of_one_adapter_add_up_exactly_and_stay_low_rank() {
    let make = |alpha| adapter(3, alpha, [2, 3], &[20, 30], Some(2), FloatType::F32);
    let (one, three) = (make(2.0), make(6.0));
    let found = combine(&[(&one, 0.5), (&three, 0.5)], None, &CombineOptions::default(), &mut go_on).unwrap();
    let module = &found.adapter.modules()["m"];
    assert_eq!(module.rank(), Some(4));
    assert!(found.report.energy > 1.0 - 1e-12);
    let (delta, expected) = (module.delta::<f64>(&[40, 90], 1.0).unwrap(), dense(&one, &[40, 90]) * 2.0);
    assert!(captured(&delta, &expected) > 1.0 - 1e-12);
    // They cancel.
    let found = combine(&[(&one, 3.0), (&three, -1.0)], None, &CombineOptions::default(), &mut go_on).unwrap();
    let delta = found.adapter.modules()["m"].delta::<f64>(&[40, 90], 1.0).unwrap();
    let size = dense(&one, &[40, 90]).iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
    assert!(delta.iter().all(|x| x.abs() < 1e-12 * size));
}

#[test]
fn a_module_of_one_adapter_is_passed_on_with_its_weight() {
    let t = tensor;
    let alpha = || filled(&[], 4.0);
    let first = read(&[
        ("a.alpha", alpha()),
        ("a.lokr_w1", t(&[2, 2])),
        ("a.lokr_w2_a", t(&[9, 2])),
        ("a.lokr_w2_b", t(&[2, 9])),
    ])
    .unwrap();
    let second = read(&[("b.alpha", alpha()), ("b.lokr_w1", t(&[2, 2])), ("b.lokr_w2", t(&[3, 2]))]).unwrap();
    let mut seen = 0;
    let mut count = |event: Progress<'_>| {
        seen += 1;
        go_on(event)
    };
    let found = combine(&[(&first, 0.5), (&second, 3.0)], None, &CombineOptions::default(), &mut count).unwrap();
    let (a, b) = (&found.adapter.modules()["a"], &found.adapter.modules()["b"]);
    assert_eq!((a.scale(), b.scale()), (Some(1.0), Some(1.0)));
    assert_eq!(a.w1().tensors()[0].1.bytes(), first.modules()["a"].w1().tensors()[0].1.bytes());
    // Beside two full factors this dialect has no scale, so it is in the first one.
    let (now, before) =
        (b.delta::<f64>(&[6, 4], 1.0).unwrap(), second.modules()["b"].delta::<f64>(&[6, 4], 3.0).unwrap());
    assert!(now.iter().zip(&before).all(|(now, before)| (now - before).abs() < 1e-6));
    assert_eq!((found.report.energy, seen), (1.0, 3));
}

#[test]
fn the_widest_type_is_kept() {
    let make = |seed, dtype| adapter(seed, 1.0, [2, 2], &[3, 3], None, dtype);
    for (a, b, expected) in [
        (FloatType::F16, FloatType::F16, FloatType::F16),
        (FloatType::F16, FloatType::Bf16, FloatType::F32),
        (FloatType::Bf16, FloatType::F64, FloatType::F64),
    ] {
        let (first, second) = (make(1, a), make(5, b));
        let found = combine(&[(&first, 1.0), (&second, 1.0)], None, &CombineOptions::default(), &mut go_on).unwrap();
        assert!(found.adapter.modules()["m"].tensors().iter().all(|(_, tensor)| tensor.dtype() == expected.dtype()));
    }
}

#[test]
fn errors_by_name() {
    let run = |pairs: &[(&Adapter, f64)]| combine(pairs, None, &CombineOptions::default(), &mut go_on);
    let one = adapter(1, 1.0, [2, 2], &[3, 3], None, FloatType::F32);
    let other = adapter(1, 1.0, [3, 2], &[2, 3], None, FloatType::F32);
    cause(run(&[]), |e| matches!(e, E::Job(JobError::Option { option: "adapters", .. })));
    cause(run(&[(&one, f64::NAN)]), |e| matches!(e, E::Job(JobError::Option { option: "weight", .. })));
    cause(run(&[(&one, 1.0), (&other, 1.0)]), |e| {
        matches!(e, E::Job(JobError::CombineShapes { first_w1: (2, 2), w1: (3, 2), .. }))
    });
    let lycoris_file = read(&lycoris(&[])).unwrap();
    cause(run(&[(&one, 1.0), (&lycoris_file, 1.0)]), |e| matches!(e, E::Job(JobError::CombineDialects { .. })));

    let dora = read(&lycoris(&[("lycoris_m.dora_scale", filled(&[6, 1], 1.0))])).unwrap();
    cause(run(&[(&dora, 1.0), (&lycoris_file, 1.0)]), |e| {
        matches!(e, E::Job(JobError::Dora { operation: "combined", .. }))
    });
    cause(combine(&[(&one, 1.0)], None, &CombineOptions::default(), &mut stop), |e| {
        matches!(e, E::Job(JobError::Interrupted))
    });
    cause(run(&[(&dora, 0.5)]), |e| matches!(e, E::Job(JobError::Dora { operation: "weighted", .. })));
    assert!(run(&[(&dora, 1.0)]).unwrap().adapter.modules()["lycoris_m"].dora_scale().is_some());

    let (folder, folder2) = (Folder::new(), Folder::new());
    let whole = |seed| [("base_model.model.head.weight", Tensor::from_array(&random(&[3, 2], seed), FloatType::F32))];
    let (first, second) = (peft(&folder, CONFIG, &whole(1)).unwrap(), peft(&folder2, CONFIG, &whole(2)).unwrap());
    assert_eq!(run(&[(&first, 1.0), (&first, 1.0)]).unwrap().adapter.modules_to_save().len(), 1);
    cause(
        run(&[(&first, 1.0), (&second, 1.0)]),
        |e| matches!(e, E::Job(JobError::CombineModulesToSave { key }) if key == "head.weight"),
    );
    cause(run(&[(&first, 0.5)]), |e| matches!(e, E::Job(JobError::CombineModulesToSave { .. })));
}

#[test]
fn the_configuration_of_the_first_adapter_is_kept_as_far_as_it_holds() {
    let (folder, folder2) = (Folder::new(), Folder::new());
    let mine = r#"{"peft_type": "LOKR", "r": 2, "alpha": 4, "mine": [1], "base_model_name_or_path": "a/b"}"#;
    let first = peft(&folder, mine, &[]).unwrap();
    let second = peft(&folder2, CONFIG, &[("base_model.model.head.weight", tensor(&[3, 2]))]).unwrap();
    let found = combine(&[(&first, 1.0), (&second, 1.0)], None, &CombineOptions::default(), &mut go_on).unwrap();
    let fields = found.adapter.config().unwrap().fields();
    assert_eq!((&fields["mine"][0], &fields["base_model_name_or_path"]), (&1.into(), &"a/b".into()));
    assert_eq!(fields["modules_to_save"], serde_json::json!(["head"]));
    // Twice the same, with both scales 2: rank 4 is not low-rank for sides of 3 and 2, so w2 is full with scale 1.
    let module = &found.adapter.modules()["m"];
    assert_eq!((module.rank(), module.scale()), (None, Some(1.0)));
    assert_eq!(found.adapter.config().unwrap().scale("m", None).unwrap(), 1.0);
    assert!(fields["r"].as_u64().unwrap() >= 2, "PEFT makes full factors from r = 2 on");
    found.adapter.write(folder.path("sum"), Overwrite::Refuse).unwrap();
    let back = Adapter::read(folder.path("sum"), &ReadOptions::default()).unwrap();
    assert_eq!(back.modules_to_save().keys().collect::<Vec<_>>(), ["head.weight"]);
}

#[test]
fn the_base_model_tells_the_kernel_of_a_flat_factor() {
    let folder = Folder::new();
    let base = BaseModel::open(folder.tensors("conv.safetensors", &[("m.weight", tensor(&[6, 5, 2]))])).unwrap();
    let adapter = read(&lycoris(&[])).unwrap();
    let pairs = [(&adapter, 1.0), (&adapter, 2.0)];
    // Rank 4 is not low-rank for sides of 3 and 1, so the sum is full, with an axis for the kernel.
    let found = combine(&pairs, Some(&base), &CombineOptions::default(), &mut go_on).unwrap();
    let module = &found.adapter.modules()["lycoris_m"];
    assert_eq!((module.rank(), module.w2().kernel()), (None, Some(&[2][..])));
    let delta = |module: &lokr_checkpoint::Module, s| module.delta::<f64>(&[6, 5, 2], s).unwrap();
    assert!(captured(&delta(module, 1.0), &delta(&adapter.modules()["lycoris_m"], 6.0)) > 1.0 - 1e-12);
}
