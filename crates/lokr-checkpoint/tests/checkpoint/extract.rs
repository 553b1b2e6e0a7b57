//! Extraction against plain dense arithmetic.

use crate::support::build::{Folder, cause, go_on, random, raw, stop};
use lokr_checkpoint::{
    BaseModel, CheckpointError as E, Dtype, ExtractOptions, Extraction, FactorSize, FileError, FloatType, JobError,
    Module, ModuleError, NotAdaptedReason, Progress, Strength, Tensor, W1, W2, extract,
};
use ndarray::{Array2, ArrayD, IxDyn};

fn model(folder: &Folder, name: &str, tensors: &[(&str, Tensor)]) -> BaseModel {
    BaseModel::open(folder.tensors(name, tensors)).unwrap()
}

/// Extracts from one weight `m.weight` and its change.
fn one(base: &ArrayD<f64>, change: &ArrayD<f64>, dtype: FloatType, options: &ExtractOptions) -> Extraction {
    let folder = Folder::new();
    let first = model(&folder, "base.safetensors", &[("m.weight", Tensor::from_array(base, dtype))]);
    let second = model(&folder, "tuned.safetensors", &[("m.weight", Tensor::from_array(&(base + change), dtype))]);
    extract(&first, &second, options, &mut go_on).unwrap()
}

/// The sum of the terms.
fn rebuilt(found: &Extraction, weight: &[usize]) -> ArrayD<f64> {
    found.terms.iter().fold(ArrayD::zeros(weight), |sum, term| sum + term["m"].delta::<f64>(weight, 1.0).unwrap())
}

fn squares(x: &ArrayD<f64>) -> f64 {
    x.iter().map(|x| x * x).sum()
}

/// The share of `‖change‖²` that the terms capture, from the dense difference.
fn captured(found: &Extraction, change: &ArrayD<f64>) -> f64 {
    1.0 - squares(&(rebuilt(found, change.shape()) - change)) / squares(change)
}

/// Squared singular values of the rearranged matrix by power iteration with deflation: the slow, plain way.
fn spectrum(change: &ArrayD<f64>, (m, n): (usize, usize), count: usize) -> Vec<f64> {
    let (out, columns) = (change.shape()[0], change.len() / change.shape()[0]);
    let (p, q) = (out / m, columns / n);
    let flat = change.to_shape((out, columns)).unwrap();
    let mut r = Array2::from_shape_fn((m * n, p * q), |(ij, kl)| flat[[ij / n * p + kl / q, ij % n * q + kl % q]]);
    (0..count)
        .map(|_| {
            let mut v = random(&[p * q], 3).into_dimensionality::<ndarray::Ix1>().unwrap();
            for _ in 0..3000 {
                v = r.t().dot(&r.dot(&v));
                v /= v.dot(&v).sqrt();
            }
            let u = r.dot(&v);
            let sigma = u.dot(&u);
            let outer = Array2::from_shape_fn(r.dim(), |(i, j)| u[i] * v[j]);
            r -= &outer;
            sigma
        })
        .collect()
}

#[test]
fn what_was_merged_comes_back() {
    // Plain, prime, one-sized and convolutional; factor, the adapter's (m, n) and its rank.
    #[allow(clippy::type_complexity)] // A table, read once.
    let shapes: [(&[usize], i64, (usize, usize), Option<usize>); 8] = [
        (&[24, 36], -1, (4, 6), None),
        (&[24, 36], 2, (2, 2), Some(3)),
        (&[32, 64], 4, (4, 4), Some(2)),
        (&[7, 12], -1, (1, 3), None),
        (&[1, 30], -1, (1, 5), None),
        (&[13, 11], -1, (1, 1), Some(2)),
        (&[12, 8, 3, 2], -1, (3, 2), None),
        (&[16, 24, 3], 4, (4, 4), Some(2)),
    ];
    for (seed, (weight, factor, (m, n), rank)) in shapes.into_iter().enumerate() {
        let seed = seed as u64;
        let (p, q) = (weight[0] / m, weight[1] / n);
        let kernel = &weight[2..];
        let tensor = |shape: &[usize], seed| Tensor::from_array(&random(shape, seed), FloatType::F32);
        let w2 = match rank {
            None => W2::Full(tensor(&[&[p, q][..], kernel].concat(), seed + 10)),
            Some(r) => {
                let columns = q * kernel.iter().product::<usize>();
                W2::LowRank { a: tensor(&[p, r], seed + 20), b: tensor(&[r, columns], seed + 30) }
            }
        };
        let adapter = Module::new("m", W1::Full(tensor(&[m, n], seed + 40)), w2, 0.7).unwrap();
        let base = random(weight, seed + 50).mapv(|x| x as f32);
        let mut merged = base.clone();
        adapter.merge_into(&mut merged, &Strength::default()).unwrap();

        let folder = Folder::new();
        let first = model(&folder, "a.safetensors", &[("m.weight", Tensor::from_array(&base, FloatType::F32))]);
        let second = model(&folder, "b.safetensors", &[("m.weight", Tensor::from_array(&merged, FloatType::F32))]);
        let size = rank.map_or(FactorSize::Full, FactorSize::Rank);
        let options = ExtractOptions { factor: Some(factor), size, ..ExtractOptions::default() };
        let found = extract(&first, &second, &options, &mut go_on).unwrap();

        let delta = adapter.delta::<f64>(weight, 0.7).unwrap();
        let module = &found.terms[0]["m"];
        assert_eq!((module.w1().dim(), module.rank()), ((m, n), rank), "{weight:?}");
        let error = (squares(&(rebuilt(&found, weight) - &delta)) / squares(&delta)).sqrt();
        assert!(error <= 1e-5, "{weight:?}: {error:e}");
        assert!(found.report.energy > 1.0 - 1e-6, "{weight:?}: {}", found.report.energy);
        assert!(found.report.modules[0].converged);
    }
}

#[test]
fn the_energy_is_that_of_the_singular_values() {
    for (weight, factor, (m, n)) in
        [(&[12, 20][..], -1, (3, 4)), (&[7, 10], 2, (1, 2)), (&[6, 4, 3, 3], -1, (2, 2)), (&[5, 1], -1, (1, 1))]
    {
        let (base, change) = (random(weight, 1), random(weight, 2));
        let terms = if m * n > 1 { 2 } else { 1 };
        let values = spectrum(&change, (m, n), terms);
        for count in 1..=terms {
            let options = ExtractOptions { factor: Some(factor), terms: count, ..ExtractOptions::default() };
            let found = one(&base, &change, FloatType::F64, &options);
            assert_eq!(found.terms.len(), count);
            let best = values[..count].iter().sum::<f64>() / squares(&change);
            let energy = found.report.energy;
            assert!((energy - best).abs() < 1e-7, "{weight:?}, {count}: {energy} {best}");
            assert!((captured(&found, &change) - energy).abs() < 1e-9);
            let line = &found.report.modules[0];
            assert!((line.norm - squares(&change).sqrt()).abs() < 1e-9);
            assert!((line.relative_change - (squares(&change) / squares(&base)).sqrt()).abs() < 1e-9);
            assert_eq!(line.parameters, found.terms.iter().map(|term| term["m"].parameter_count()).sum::<usize>());
        }
    }
}

#[test]
fn a_rank_is_searched_for_beyond_cutting_the_nearest_product() {
    let (base, change) = (random(&[24, 40], 4), random(&[24, 40], 5));
    let options = |size| ExtractOptions { factor: Some(2), size, ..ExtractOptions::default() };
    let full = one(&base, &change, FloatType::F64, &options(FactorSize::Full));
    let nearest = full.terms[0]["m"].kron::<f64>().unwrap();
    for rank in [1, 3, 7] {
        let found = one(&base, &change, FloatType::F64, &options(FactorSize::Rank(rank)));
        assert_eq!(found.terms[0]["m"].rank(), Some(rank));
        let energy = found.report.energy;
        assert!((captured(&found, &change) - energy).abs() < 1e-9, "{rank}");
        let svd = nearest.svd().unwrap();
        let (left, right) = lokr_core::Kron::new(ndarray::array![[1.0]], nearest.b().view())
            .unwrap()
            .svd()
            .unwrap()
            .low_rank(rank)
            .unwrap();
        let cut = lokr_core::Kron::new(nearest.a().view(), left.dot(&right)).unwrap().to_dense();
        let missing: f64 = cut.iter().zip(&change).map(|(a, b)| (a - b).powi(2)).sum();
        assert!(svd.values().len() > rank);
        assert!(energy >= 1.0 - missing / squares(&change) - 1e-9, "{rank}");
        assert!(energy < full.report.energy);
    }
    // Not a rank to LyCORIS and PEFT: max(12, 20)/2 = 10.
    let found = one(&base, &change, FloatType::F64, &options(FactorSize::Rank(10)));
    assert_eq!(found.terms[0]["m"].rank(), None);
}

#[test]
fn a_share_of_energy_chooses_split_and_rank() {
    let (base, change) = (random(&[24, 40], 6), random(&[24, 40], 7));
    let mut parameters = 0;
    for share in [0.01, 0.2, 0.6] {
        let options = ExtractOptions { size: FactorSize::Energy(share), ..ExtractOptions::default() };
        let found = one(&base, &change, FloatType::F64, &options);
        let line = &found.report.modules[0];
        assert!(!line.reached || line.energy >= share - 1e-9, "{share}");
        assert!((captured(&found, &change) - line.energy).abs() < 1e-9);
        assert!(line.parameters >= parameters);
        parameters = line.parameters;
    }
    // One fixed split may not be enough, and the report says so.
    let options = ExtractOptions { factor: Some(-1), size: FactorSize::Energy(0.99), ..ExtractOptions::default() };
    let found = one(&base, &change, FloatType::F64, &options);
    assert!(!found.report.modules[0].reached);
    assert_eq!(found.terms[0]["m"].rank(), None);
    // Two terms of full rank carry the whole of a sum of two products.
    let term = |seed| {
        let (a, b) = (random(&[2, 2], seed), random(&[12, 20], seed + 1));
        ArrayD::from_shape_fn(IxDyn(&[24, 40]), |i| a[[i[0] / 12, i[1] / 20]] * b[[i[0] % 12, i[1] % 20]])
    };
    let change = term(70) + term(80);
    let options = ExtractOptions { factor: Some(2), terms: 2, size: FactorSize::Energy(1.0), ..options };
    let found = one(&base, &change, FloatType::F64, &options);
    assert!(found.report.modules[0].reached, "{:?}", found.report);
    assert!(found.report.energy > 1.0 - 1e-9);
}

#[test]
fn half_types_in_and_out() {
    let (base, change) = (random(&[16, 24], 8), random(&[16, 24], 9));
    for dtype in [FloatType::F16, FloatType::Bf16] {
        let found = one(&base, &change, dtype, &ExtractOptions::default());
        let module = &found.terms[0]["m"];
        assert!(module.tensors().iter().all(|(_, tensor)| tensor.dtype() == dtype.dtype()));
        assert!((captured(&found, &change) - found.report.energy).abs() < 0.02);
        let wide = ExtractOptions { dtype: Some(FloatType::F32), ..ExtractOptions::default() };
        let module = &one(&base, &change, dtype, &wide).terms[0]["m"];
        assert!(module.tensors().iter().all(|(_, tensor)| tensor.dtype() == Dtype::F32));
    }
}

#[test]
fn everything_else_that_differs_is_reported() {
    let folder = Folder::new();
    let t = |shape: &[usize], seed| Tensor::from_array(&random(shape, seed), FloatType::F32);
    let same = t(&[4, 6], 1);
    let values = same.to_array::<f32>("same").unwrap();
    let base = model(
        &folder,
        "a.safetensors",
        &[
            ("a.bias", t(&[4], 2)),
            ("a.weight", t(&[4, 6], 3)),
            ("b.weight", t(&[4, 6], 4)),
            ("embed.weight", t(&[9, 4], 5)),
            ("head.weight", t(&[9, 4], 6)),
            ("norm.weight", t(&[6], 7)),
            ("old.weight", t(&[2, 2], 8)),
            ("packed.weight", raw(Dtype::I8, &[4, 4], 16)),
            ("same.weight", same.clone()),
            ("wider.weight", Tensor::from_array(&values, FloatType::F64)),
        ],
    );
    let mut packed = vec![0; 16];
    packed[3] = 1;
    let tuned = model(
        &folder,
        "b.safetensors",
        &[
            ("a.bias", t(&[4], 12)),
            ("a.weight", t(&[4, 6], 13)),
            ("b.weight", t(&[4, 6], 14)),
            ("embed.weight", t(&[9, 4], 15)),
            ("head.weight", t(&[10, 4], 16)),
            ("new.weight", t(&[2, 2], 18)),
            ("norm.weight", t(&[6], 17)),
            ("packed.weight", Tensor::new("packed", Dtype::I8, vec![4, 4], packed).unwrap()),
            ("same.weight", same.clone()),
            ("wider.weight", same),
        ],
    );
    let options = ExtractOptions {
        include: vec![r"^[a-z]+$".to_owned()],
        exclude: vec!["embed".to_owned(), "^b$".to_owned()],
        ..ExtractOptions::default()
    };
    let mut seen = Vec::new();
    let mut note = |event: Progress<'_>| {
        let Progress::Module { done, total, name } = event else { panic!("{event:?}") };
        seen.push((done, total, name.to_owned()));
        go_on(event)
    };
    let found = extract(&base, &tuned, &options, &mut note).unwrap();
    assert_eq!(found.terms[0].keys().collect::<Vec<_>>(), ["a"]);
    // Every tensor is told of: comparing those that are the same takes its time too.
    let names: std::collections::BTreeSet<_> = base.names().chain(tuned.names()).collect();
    let told = seen.iter().map(|(_, _, name)| name.as_str());
    assert!(told.eq(names.into_iter().chain([""])), "{seen:?}");
    assert!(seen.iter().enumerate().all(|(i, &(done, total, _))| (done, total) == (i, 11)));
    let others: Vec<_> = found.report.not_adapted.iter().map(|other| (other.tensor.as_str(), other.reason)).collect();
    use NotAdaptedReason as R;
    let expected = [
        ("a.bias", R::NotAWeight),
        ("b.weight", R::Excluded),
        ("embed.weight", R::Excluded),
        ("head.weight", R::Shape),
        ("new.weight", R::OnlyInTuned),
        ("norm.weight", R::NotAWeight),
        ("old.weight", R::OnlyInBase),
        ("packed.weight", R::ElementType),
    ];
    assert_eq!(others, expected);
    assert_eq!(found.report.unchanged, 2);
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let (base, change) = (random(&[90, 96], 21), random(&[90, 96], 22));
    let options = ExtractOptions { size: FactorSize::Rank(2), seed: 5, ..ExtractOptions::default() };
    let bytes = |found: &Extraction| -> Vec<Vec<u8>> {
        found.terms[0]["m"].tensors().iter().map(|(_, tensor)| tensor.bytes().to_vec()).collect()
    };
    let (first, second) =
        (one(&base, &change, FloatType::F32, &options), one(&base, &change, FloatType::F32, &options));
    assert_eq!(bytes(&first), bytes(&second));
}

#[test]
fn errors_by_name() {
    let folder = Folder::new();
    let t = |seed| Tensor::from_array(&random(&[4, 6], seed), FloatType::F32);
    let base = model(&folder, "a.safetensors", &[("m.weight", t(1))]);
    let tuned = model(&folder, "b.safetensors", &[("m.weight", t(2))]);
    let other = model(&folder, "c.safetensors", &[("x.weight", t(2))]);
    let mut values = random(&[4, 6], 2);
    (values[[1, 1]], values[[2, 2]]) = (f64::NAN, f64::INFINITY);
    let broken = model(&folder, "d.safetensors", &[("m.weight", Tensor::from_array(&values, FloatType::F32))]);
    let run = |tuned: &BaseModel, options: &ExtractOptions| extract(&base, tuned, options, &mut go_on);
    let plain = ExtractOptions::default();
    cause(run(&other, &plain), |e| matches!(e, E::Job(JobError::NothingShared { example }) if example == "x.weight"));
    cause(run(&base, &plain), |e| matches!(e, E::Job(JobError::NothingChanged { compared: 0, .. })));
    let strict = ExtractOptions { min_change: 100.0, ..plain.clone() };
    cause(run(&tuned, &strict), |e| matches!(e, E::Job(JobError::NothingChanged { compared: 1, .. })));
    cause(extract(&base, &tuned, &plain, &mut stop), |e| matches!(e, E::Job(JobError::Interrupted)));
    cause(
        run(&broken, &plain),
        |e| matches!(e, E::Module(ModuleError::NonFinite { module, count: 2, .. }) if module == "m"),
    );
    let pattern = ExtractOptions { include: vec!["(".to_owned()], ..plain.clone() };
    cause(run(&tuned, &pattern), |e| matches!(e, E::Job(JobError::Pattern { option: "include", .. })));
    for (options, name) in [
        (ExtractOptions { terms: 0, ..plain.clone() }, "terms"),
        (ExtractOptions { size: FactorSize::Rank(0), ..plain.clone() }, "rank"),
        (ExtractOptions { min_change: f64::NAN, ..plain.clone() }, "min_change"),
    ] {
        cause(run(&tuned, &options), |e| matches!(e, E::Job(JobError::Option { option, .. }) if *option == name));
    }
}

/// PEFT splits the channels, not the flattened sizes; the extraction knows the kernel.
#[test]
fn low_rank_convolutions_are_written_for_peft() {
    let folder = Folder::new();
    let base = random(&[20, 12, 3, 3], 31);
    let tuned = &base + &random(&[20, 12, 3, 3], 32);
    let first = model(&folder, "base.safetensors", &[("cv.weight", Tensor::from_array(&base, FloatType::F32))]);
    let second = model(&folder, "tuned.safetensors", &[("cv.weight", Tensor::from_array(&tuned, FloatType::F32))]);
    let options = ExtractOptions { size: FactorSize::Rank(2), ..ExtractOptions::default() };
    let adapter = extract(&first, &second, &options, &mut go_on).unwrap().into_adapter(lokr_checkpoint::Dialect::Peft);
    let adapter = adapter.unwrap();
    let module = &adapter.modules()["cv"];
    assert_eq!((module.w1().dim(), module.w2().dim(), module.rank()), ((4, 3), (5, 36), Some(2)));
    assert_eq!(adapter.config().unwrap().fields()["decompose_factor"], -1);
}

#[test]
fn a_type_that_cannot_hold_the_factors_is_an_error() {
    let options = ExtractOptions { dtype: Some(FloatType::F16), ..ExtractOptions::default() };
    for (size, too_large) in [(1e12, true), (1e-20, false)] {
        let change = random(&[4, 6], 33) * size;
        let folder = Folder::new();
        let zeros = Tensor::from_array(&ArrayD::<f64>::zeros(IxDyn(&[4, 6])), FloatType::F64);
        let first = model(&folder, "base.safetensors", &[("m.weight", zeros)]);
        let second = model(&folder, "tuned.safetensors", &[("m.weight", Tensor::from_array(&change, FloatType::F64))]);
        cause(
            extract(&first, &second, &options, &mut go_on),
            |e| matches!(e, E::File(FileError::OutOfRange { dtype: Dtype::F16, too_large: found, .. }) if *found == too_large),
        );
    }
}
