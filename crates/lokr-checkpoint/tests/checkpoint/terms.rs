//! Sums of several Kronecker products: extracted, written, read and merged.

use std::ops::ControlFlow;

use crate::support::build::{Folder, cause, filled, go_on, lora_of, random, tensor};
use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError as E, CombineOptions, ConvertOptions, Dialect, ExtractOptions, Extraction,
    FactorSize, FloatType, JobError, Lora, LoraRank, MergeOptions, ModuleError, NameError, Overwrite, Progress,
    ReadOptions, ResizeOptions, Strength, Tensor, TensorFile, Unmatched, Verdict, VerifyOptions, combine, extract,
    merge, resize, to_lora, unmerge, verify,
};
use ndarray::{ArrayD, IxDyn};

const SHAPES: [(&str, &[usize]); 2] = [("a.fc.weight", &[12, 20]), ("a.conv.weight", &[6, 10, 3, 2])];

fn model(folder: &Folder, name: &str, seed: u64) -> BaseModel {
    let tensors: Vec<_> =
        SHAPES.iter().map(|(name, shape)| (*name, Tensor::from_array(&random(shape, seed), FloatType::F64))).collect();
    BaseModel::open(folder.tensors(name, &tensors)).unwrap()
}

fn extracted(base: &BaseModel, tuned: &BaseModel, terms: usize) -> Extraction {
    extract(base, tuned, &ExtractOptions { terms, ..ExtractOptions::default() }, &mut go_on).unwrap()
}

/// An adapter of three terms, written and read.
fn written(folder: &Folder, base: &BaseModel, tuned: &BaseModel) -> Adapter {
    let path = folder.path("sums.safetensors");
    extracted(base, tuned, 3).into_adapter(Dialect::Terms).unwrap().write(&path, Overwrite::Refuse).unwrap();
    Adapter::read(path, &ReadOptions::default()).unwrap()
}

fn run(_: Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn array(path: impl AsRef<std::path::Path>, name: &str) -> ArrayD<f64> {
    TensorFile::open(path).unwrap().tensor(name).unwrap().to_array(name).unwrap()
}

fn norm(array: &ArrayD<f64>) -> f64 {
    array.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[test]
fn a_file_of_sums_is_read_merged_verified_and_taken_out_again() {
    let folder = Folder::new();
    let (base, tuned) = (model(&folder, "base.safetensors", 1), model(&folder, "tuned.safetensors", 2));
    let report = extracted(&base, &tuned, 3).report;
    let adapter = written(&folder, &base, &tuned);
    assert_eq!((adapter.dialect(), adapter.modules().len()), (Dialect::Terms, 6));
    assert_eq!(adapter.metadata()["lokr_format"], "sum_of_terms");
    let resolution = adapter.resolve(&base, Unmatched::Refuse).unwrap();
    assert_eq!(resolution.target("a.conv.term2"), Some("a.conv.weight"));

    let (merged, again) = (folder.path("merged.safetensors"), folder.path("again.safetensors"));
    let adapters = [(&adapter, Strength::default())];
    merge(&base, &adapters, &merged, &MergeOptions::default(), &mut run).unwrap();
    for (name, _) in SHAPES {
        let before = base.weight::<f64>(name).unwrap();
        let (change, wanted) = (array(&merged, name) - &before, tuned.weight::<f64>(name).unwrap() - &before);
        // The sum of the modules, and as much of the difference as the report says.
        let path = name.trim_end_matches(".weight");
        let terms = (0..3).map(|term| &adapter.modules()[&format!("{path}.term{term}")]);
        let sum = terms.fold(ArrayD::zeros(before.dim()), |sum, term| {
            sum + term.delta::<f64>(before.shape(), term.scale().unwrap()).unwrap()
        });
        assert!(norm(&(&change - &sum)) < 1e-12 * norm(&sum), "{name}");
        let energy = 1.0 - (norm(&(&change - &wanted)) / norm(&wanted)).powi(2);
        let line = report.modules.iter().find(|line| line.name == path).unwrap();
        assert_eq!(line.terms, 3);
        assert!((energy - line.energy).abs() < 1e-9, "{name}: {energy} instead of {}", line.energy);
    }
    let model = BaseModel::open(&merged).unwrap();
    let verdict = verify(&base, &adapters, &model, &VerifyOptions::default(), &mut run).unwrap().verdict;
    assert_eq!(verdict, Verdict::Match);
    unmerge(&model, &adapters, &again, &MergeOptions::default(), &mut run).unwrap();
    for (name, _) in SHAPES {
        let before = base.weight::<f64>(name).unwrap();
        assert!(norm(&(array(&again, name) - &before)) < 1e-12 * norm(&before));
    }
}

#[test]
fn more_terms_capture_more_and_all_of_them_everything() {
    let folder = Folder::new();
    let (base, tuned) = (model(&folder, "base.safetensors", 1), model(&folder, "tuned.safetensors", 2));
    let energies: Vec<_> = [1, 2, 4, 100].map(|terms| extracted(&base, &tuned, terms).report.energy).into();
    assert!(energies.windows(2).all(|pair| pair[0] < pair[1]), "{energies:?}");
    assert!((energies[3] - 1.0).abs() < 1e-9, "{energies:?}");
}

#[test]
fn jobs_on_sums() {
    let folder = Folder::new();
    let (base, tuned) = (model(&folder, "base.safetensors", 1), model(&folder, "tuned.safetensors", 2));
    let adapter = written(&folder, &base, &tuned);
    // Combined it is the best single product: the first term, since the terms are orthogonal.
    let one = combine(&[(&adapter, 1.0)], None, &CombineOptions::default(), &mut go_on).unwrap();
    assert_eq!(one.adapter.modules().keys().collect::<Vec<_>>(), ["a.conv.term0", "a.fc.term0"]);
    for (name, module) in one.adapter.modules() {
        let shape = base.info(&name.replace("term0", "weight")).unwrap().1.to_vec();
        let delta = |module: &lokr_checkpoint::Module| module.delta::<f64>(&shape, module.scale().unwrap()).unwrap();
        let first = delta(&adapter.modules()[name]);
        assert!(norm(&(delta(module) - &first)) < 1e-6 * norm(&first), "{name}");
    }
    // A single term fits every dialect; several do not.
    let peft = one.adapter.convert(&ConvertOptions::to(Dialect::Peft), Some(&base)).unwrap().adapter;
    assert_eq!(peft.modules().keys().collect::<Vec<_>>(), ["a.conv", "a.fc"]);
    assert!(!peft.metadata().contains_key("lokr_format"));
    let back = peft.convert(&ConvertOptions::to(Dialect::Terms), None).unwrap().adapter;
    assert_eq!(back.metadata()["lokr_format"], "sum_of_terms");
    for dialect in [Dialect::Peft, Dialect::Lycoris, Dialect::Kohya, Dialect::Dotted] {
        cause(adapter.convert(&ConvertOptions::to(dialect), None), |e| {
            matches!(e, E::Job(JobError::SeveralTerms { .. }))
        });
        let found = extracted(&base, &tuned, 2);
        cause(
            found.into_adapter(dialect),
            |e| matches!(e, E::Job(JobError::SeveralTerms { module, .. }) if module == "a.conv"),
        );
    }
    let options = ConvertOptions { dtype: Some(FloatType::F32), ..ConvertOptions::to(Dialect::Terms) };
    assert_eq!(adapter.convert(&options, Some(&base)).unwrap().adapter.modules().len(), 6);
    let options = ResizeOptions { size: Some(FactorSize::Rank(1)), ..ResizeOptions::default() };
    let small = resize(&adapter, Some(&base), &options, &mut go_on).unwrap();
    assert_eq!((small.adapter.dialect(), small.adapter.modules().len()), (Dialect::Terms, 6));
    let split = ResizeOptions { factor: Some(2), ..ResizeOptions::default() };
    cause(resize(&adapter, Some(&base), &split, &mut go_on), |e| {
        matches!(e, E::Job(JobError::SeveralTerms { operation: "split otherwise", .. }))
    });
}

/// Terms that are not orthogonal to each other: what is kept is a share of the sum, not of the terms.
#[test]
fn a_resized_sum_tells_what_is_kept_of_the_sum() {
    let folder = Folder::new();
    let mut tensors = Vec::new();
    for term in 0..3 {
        for (key, shape) in [("lokr_w1", [3, 2]), ("lokr_w2", [8, 10])] {
            let values = ArrayD::from_shape_fn(vec![shape[0], shape[1]], |n| {
                ((n[0] * 7 + n[1] * 5 + n[0] * n[1] * (term + 2)) % 11) as f64 / 4.0 - 1.0
            });
            tensors.push((format!("a.fc.term{term}.{key}"), Tensor::from_array(&values, FloatType::F64)));
        }
    }
    let tensors: Vec<_> = tensors.iter().map(|(key, tensor)| (key.as_str(), tensor.clone())).collect();
    let path = folder.tensors_with("sum.safetensors", &tensors, &[("lokr_format", "sum_of_terms")]);
    let adapter = Adapter::read(path, &lokr_checkpoint::ReadOptions::default()).unwrap();
    let options = ResizeOptions { size: Some(FactorSize::Rank(2)), ..ResizeOptions::default() };
    let small = resize(&adapter, None, &options, &mut go_on).unwrap();
    let sum = |adapter: &Adapter| {
        let terms = adapter.modules().values();
        terms.map(|term| term.delta::<f64>(&[24, 20], term.scale().unwrap()).unwrap()).reduce(|x, y| x + y).unwrap()
    };
    let (old, new) = (sum(&adapter), sum(&small.adapter));
    let kept = 1.0 - (norm(&(&new - &old)) / norm(&old)).powi(2);
    assert!((small.report.energy - kept).abs() < 1e-9, "{} {kept}", small.report.energy);
}

/// `lora_B · lora_A` of a module, in the shape of its weight.
fn product(lora: &Lora, path: &str, shape: &[usize]) -> ArrayD<f64> {
    let half = |half| {
        let array: ArrayD<f64> =
            lora.tensors[&format!("base_model.model.{path}.lora_{half}.weight")].to_array("lora").unwrap();
        let rows = array.shape()[0];
        array.to_shape((rows, array.len() / rows)).unwrap().to_owned()
    };
    half("B").dot(&half("A")).into_shape_with_order(IxDyn(shape)).unwrap()
}

#[test]
fn a_lora_holds_the_sum_or_the_best_of_a_rank() {
    let folder = Folder::new();
    let (base, tuned) = (model(&folder, "base.safetensors", 1), model(&folder, "tuned.safetensors", 2));
    let adapter = written(&folder, &base, &tuned);
    let exact = to_lora(&adapter, Some(&base), &lora_of(LoraRank::Exact), &mut go_on).unwrap();
    let best = to_lora(&adapter, Some(&base), &lora_of(LoraRank::Best(1)), &mut go_on).unwrap();
    for (name, shape) in SHAPES {
        let path = name.trim_end_matches(".weight");
        let sum = (0..3).fold(ArrayD::zeros(shape), |sum, term| {
            sum + adapter.modules()[&format!("{path}.term{term}")].delta::<f64>(shape, 1.0).unwrap()
        });
        assert!(norm(&(product(&exact, path, shape) - &sum)) < 1e-12 * norm(&sum), "{path}");
        let line = |lora: &Lora| lora.report.modules.iter().find(|line| line.name == path).unwrap().clone();
        assert!((line(&exact).norm - norm(&sum)).abs() < 1e-9 * norm(&sum));
        // The largest singular value, by power iteration on the dense sum.
        let dense = sum.to_shape((shape[0], sum.len() / shape[0])).unwrap();
        let mut v = dense.row(0).to_owned();
        for _ in 0..5000 {
            v = dense.t().dot(&dense.dot(&v));
            v /= v.dot(&v).sqrt();
        }
        let u = dense.dot(&v);
        let share = u.dot(&u) / norm(&sum).powi(2);
        assert!((line(&best).energy - share).abs() < 1e-9, "{path}: {} instead of {share}", line(&best).energy);
        let captured = 1.0 - (norm(&(product(&best, path, shape) - &sum)) / norm(&sum)).powi(2);
        assert!((captured - share).abs() < 1e-9, "{path}");
    }
    let (two, three) = (tensor(&[2, 2]), tensor(&[3, 3]));
    let factors =
        |term, w: &Tensor| [(format!("m.term{term}.lokr_w1"), w.clone()), (format!("m.term{term}.lokr_w2"), w.clone())];
    let tensors = [factors(0, &two), factors(1, &three)].concat();
    let tensors: Vec<_> = tensors.iter().map(|(key, tensor)| (key.as_str(), tensor.clone())).collect();
    let path = folder.tensors_with("other.safetensors", &tensors, &[("lokr_format", "sum_of_terms")]);
    let unequal = Adapter::read(path, &ReadOptions::default()).unwrap();
    let lora = to_lora(&unequal, None, &lora_of(LoraRank::Exact), &mut go_on);
    cause(lora, |e| matches!(e, E::Module(ModuleError::WeightShape { expected: (4, 4), found: (9, 9), .. })));
}

#[test]
fn files_that_say_it_and_do_not_hold_it() {
    let said = [("lokr_format", "sum_of_terms")];
    let read = |tensors: &[(&str, Tensor)]| {
        let folder = Folder::new();
        Adapter::read(folder.tensors_with("a.safetensors", tensors, &said), &ReadOptions::default())
    };
    let factors = || vec![("m.term0.lokr_w1", tensor(&[2, 5])), ("m.term0.lokr_w2", tensor(&[3, 2]))];
    assert_eq!(read(&factors()).unwrap().dialect(), Dialect::Terms);
    let with = |key, tensor| [factors(), vec![(key, tensor)]].concat();
    let dora = read(&with("m.term0.dora_scale", filled(&[6, 1], 1.0)));
    cause(dora, |e| matches!(e, E::Job(JobError::Dora { operation: "one of several terms", .. })));
    let other = read(&with("n.lokr_w1", tensor(&[2, 2])));
    cause(other, |e| matches!(e, E::Name(NameError::UnknownKey { dialect: Dialect::Terms, .. })));
}
