//! Adapters of query, key and value on models that hold the three in one tensor, as OpenCLIP's do.

use std::ops::ControlFlow;

use crate::support::build::{CONFIG, Folder, base, cause, go_on, tensor, typed};
use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError as E, Dialect, Expectation, ExtractOptions, FloatType, JobError, MergeOptions,
    NameError, Progress, ReadOptions, Run, Strength, Tensor, TensorFile, Unmatched, Verdict, VerifyOptions, extract,
    merge, unmerge, verify,
};
use lokr_layers::{Activation, Layer};
use ndarray::{Array2, ArrayD, Axis, Slice};

/// The block of SDXL's second text encoder in a checkpoint of one file, and what adapters call it.
const BLOCK: &str = "conditioner.embedders.1.model.transformer.resblocks.3.";
const LAYER: &str = "lora_te2_text_model_encoder_layers_3_";

/// Stored tensors of a model whose weights are (6, 10), attention's fused.
fn stored(dtype: FloatType) -> Vec<(String, Tensor)> {
    [
        ("attn.in_proj_weight", &[18, 10][..]),
        ("attn.in_proj_bias", &[18]),
        ("attn.out_proj.weight", &[6, 10]),
        ("mlp.c_fc.weight", &[6, 10]),
        ("ln_1.weight", &[10]),
    ]
    .map(|(name, shape)| (format!("{BLOCK}{name}"), typed(shape, dtype)))
    .to_vec()
}

fn model(folder: &Folder, dtype: FloatType) -> BaseModel {
    let tensors = stored(dtype);
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())).collect();
    base(folder, &tensors)
}

/// An adapter of these layers, factors (2, 2) and (3, 5), with the norms of DoRA where a layer has a shape of them.
fn adapter(folder: &Folder, layers: &[(&str, Option<&[usize]>)]) -> Adapter {
    let mut tensors = Vec::new();
    for (number, (layer, norms)) in layers.iter().enumerate() {
        let scaled = |shape: &[usize]| {
            let values = tensor(shape).to_array::<f64>("").unwrap() * (number + 1) as f64;
            Tensor::from_array(&values, FloatType::F32)
        };
        tensors.push((format!("{LAYER}{layer}.lokr_w1"), scaled(&[2, 2])));
        tensors.push((format!("{LAYER}{layer}.lokr_w2"), tensor(&[3, 5])));
        tensors.extend(norms.map(|shape| (format!("{LAYER}{layer}.dora_scale"), scaled(shape))));
    }
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())).collect();
    Adapter::read(folder.tensors("adapter.safetensors", &tensors), &ReadOptions::default()).unwrap()
}

const ALL: [(&str, Option<&[usize]>); 4] =
    [("self_attn_q_proj", None), ("self_attn_v_proj", None), ("self_attn_out_proj", None), ("mlp_fc1", None)];

fn values(tensor: &Tensor) -> ArrayD<f64> {
    tensor.to_array("").unwrap()
}

/// A third of the rows, 0 to 2.
fn third(fused: &ArrayD<f64>, number: usize) -> ArrayD<f64> {
    let rows = fused.shape()[0] / 3;
    fused.slice_axis(Axis(0), Slice::from(number * rows..(number + 1) * rows)).to_owned()
}

fn quiet(_: Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn every_layer_is_found() {
    let folder = Folder::new();
    let (base, adapter) = (model(&folder, FloatType::F32), adapter(&folder, &ALL));
    let resolution = adapter.resolve(&base, Unmatched::Refuse).unwrap();
    for (layer, weight) in [
        ("self_attn_q_proj", "attn.q_proj.weight"),
        ("self_attn_v_proj", "attn.v_proj.weight"),
        ("self_attn_out_proj", "attn.out_proj.weight"),
        ("mlp_fc1", "mlp.c_fc.weight"),
    ] {
        let weight = format!("{BLOCK}{weight}");
        let target = resolution.target(&format!("{LAYER}{layer}")).unwrap();
        assert_eq!((base.info(target), base.info(target).unwrap().1), (base.info(&weight), &[6, 10][..]));
        assert_eq!(base.tensor(target).unwrap().bytes(), base.tensor(&weight).unwrap().bytes());
    }
    // What is stored stays what it is.
    assert_eq!(base.names().len(), 5);
    let fused = values(&base.tensor(&format!("{BLOCK}attn.in_proj_weight")).unwrap());
    for (number, part) in ["q_proj", "k_proj", "v_proj"].iter().enumerate() {
        let part = base.weight::<f64>(&format!("{BLOCK}attn.{part}.weight")).unwrap();
        assert_eq!(part, third(&fused, number));
    }
}

#[test]
fn each_part_is_merged_by_itself_and_the_others_keep_their_bits() {
    for dtype in [FloatType::F32, FloatType::F64, FloatType::Bf16] {
        let folder = Folder::new();
        let base = model(&folder, dtype);
        // One part with norms over inputs: those of its own rows.
        let mut layers = ALL;
        layers[1].1 = Some(&[1, 10]);
        let adapter = adapter(&folder, &layers);
        let adapters = [(&adapter, Strength::default())];
        let out = folder.path("merged.safetensors");

        let dry = MergeOptions { run: Run::Dry, ..MergeOptions::default() };
        let planned = merge(&base, &adapters, &out, &dry, &mut quiet).unwrap();
        assert!(!out.exists());
        let report = merge(&base, &adapters, &out, &MergeOptions::default(), &mut quiet).unwrap();
        let names = |weights: &[lokr_checkpoint::WeightReport]| -> Vec<_> {
            let name = |weight: &lokr_checkpoint::WeightReport| {
                let rows: Vec<_> = weight.applied.iter().map(|module| module.rows).collect();
                (weight.weight.strip_prefix(BLOCK).unwrap().to_owned(), rows)
            };
            weights.iter().map(name).collect()
        };
        let right = [
            ("attn.in_proj_weight", vec![Some((0, 6)), Some((12, 18))]),
            ("attn.out_proj.weight", vec![None]),
            ("mlp.c_fc.weight", vec![None]),
        ];
        assert_eq!(names(&report.weights), right.map(|(name, rows)| (name.to_owned(), rows)));
        let sorted = |weights| {
            let mut names = names(weights);
            names.sort();
            names
        };
        assert_eq!(sorted(&planned.weights), sorted(&report.weights));
        assert_eq!((planned.unchanged, report.unchanged), (2, 2));

        let merged = BaseModel::open(&out).unwrap();
        assert_eq!(merged.names().collect::<Vec<_>>(), base.names().collect::<Vec<_>>());
        for (part, layer) in [("q_proj", "self_attn_q_proj"), ("v_proj", "self_attn_v_proj")] {
            let weight = format!("{BLOCK}attn.{part}.weight");
            let mut right = base.weight::<f64>(&weight).unwrap();
            adapter.modules()[&format!("{LAYER}{layer}")].merge_into(&mut right, &Strength::default()).unwrap();
            let found = merged.weight::<f64>(&weight).unwrap();
            let allowed = match dtype {
                FloatType::Bf16 => 4e-3,
                _ => 1e-6,
            };
            for (found, right) in found.iter().zip(&right) {
                assert!((found - right).abs() <= allowed * right.abs() + 1e-6, "{part}: {found} {right}");
            }
            assert_ne!(found, base.weight::<f64>(&weight).unwrap());
        }
        for same in ["attn.k_proj.weight", "attn.in_proj_bias", "ln_1.weight"] {
            let same = format!("{BLOCK}{same}");
            assert_eq!(merged.tensor(&same).unwrap().bytes(), base.tensor(&same).unwrap().bytes());
        }

        let check = |model: &BaseModel| verify(&base, &adapters, model, &VerifyOptions::default(), &mut quiet).unwrap();
        let right = check(&merged);
        assert_eq!(right.verdict, Verdict::Match);
        let fused = |report: &lokr_checkpoint::VerifyReport| {
            let name = format!("{BLOCK}attn.in_proj_weight");
            report.tensors.iter().find(|tensor| tensor.name == name).unwrap().clone()
        };
        assert_eq!(fused(&right).expected, Expectation::Adapted);
        // The base itself lacks the change of both parts.
        let wrong = fused(&check(&base));
        assert_eq!((wrong.verdict, wrong.share), (Verdict::Mismatch, Some(0.0)));
        assert!(wrong.wrong > 60 && wrong.wrong <= 120, "{}", wrong.wrong);
    }
}

#[test]
fn unmerging_gives_the_base_back() {
    let folder = Folder::new();
    let (base, adapter) = (model(&folder, FloatType::F64), adapter(&folder, &ALL));
    let adapters = [(&adapter, Strength::default())];
    let (merged, back) = (folder.path("merged.safetensors"), folder.path("back.safetensors"));
    merge(&base, &adapters, &merged, &MergeOptions::default(), &mut quiet).unwrap();
    let merged = BaseModel::open(&merged).unwrap();
    unmerge(&merged, &adapters, &back, &MergeOptions::default(), &mut quiet).unwrap();
    let back = TensorFile::open(&back).unwrap();
    for name in base.names() {
        let (back, base) = (values(&back.tensor(name).unwrap()), values(&base.tensor(name).unwrap()));
        assert!((back - base).iter().all(|d| d.abs() < 1e-12), "{name}");
    }
}

#[test]
fn a_fused_tensor_is_not_both_replaced_and_adapted() {
    let folder = Folder::new();
    let fused = || vec![("attn.in_proj_weight", tensor(&[18, 10]))];
    let base = base(&folder, &fused());
    folder.write("adapter_config.json", CONFIG.replace('}', r#", "modules_to_save": ["attn"]}"#));
    let tensors = [
        ("base_model.model.attn.in_proj_weight", tensor(&[18, 10])),
        ("base_model.model.attn.q_proj.lokr_w1", tensor(&[2, 5])),
        ("base_model.model.attn.q_proj.lokr_w2", tensor(&[3, 2])),
    ];
    folder.tensors("adapter_model.safetensors", &tensors);
    let adapter = Adapter::read(folder.root(), &ReadOptions::default()).unwrap();
    let adapters = [(&adapter, Strength::default())];
    let out = folder.path("out.safetensors");
    cause(
        merge(&base, &adapters, &out, &MergeOptions::default(), &mut quiet),
        |error| matches!(error, E::Name(NameError::DuplicateTarget { target, .. }) if target == "attn.in_proj_weight"),
    );
    // A part is nothing to replace.
    let tensors = [
        ("base_model.model.attn.k_proj.weight", tensor(&[6, 10])),
        ("base_model.model.attn.q_proj.lokr_w1", tensor(&[2, 5])),
        ("base_model.model.attn.q_proj.lokr_w2", tensor(&[3, 2])),
    ];
    folder.tensors("adapter_model.safetensors", &tensors);
    let adapter = Adapter::read(folder.root(), &ReadOptions::default()).unwrap();
    let adapters = [(&adapter, Strength::default())];
    cause(
        merge(&base, &adapters, &out, &MergeOptions::default(), &mut quiet),
        |error| matches!(error, E::Job(JobError::NewTensors { tensors }) if tensors[..] == ["attn.k_proj.weight"]),
    );
}

#[test]
fn what_was_merged_is_extracted_under_the_adapters_names() {
    let folder = Folder::new();
    let (base, adapter) = (model(&folder, FloatType::F64), adapter(&folder, &ALL));
    let out = folder.path("merged.safetensors");
    merge(&base, &[(&adapter, Strength::default())], &out, &MergeOptions::default(), &mut quiet).unwrap();
    let tuned = BaseModel::open(&out).unwrap();
    let found = extract(&base, &tuned, &ExtractOptions::default(), &mut go_on).unwrap();
    assert_eq!((found.report.unchanged, &found.report.not_adapted[..]), (3, &[][..]));
    assert!(found.report.energy > 1.0 - 1e-9, "{}", found.report.energy);
    let found = found.into_adapter(Dialect::Kohya).unwrap();
    assert_eq!(found.modules().keys().collect::<Vec<_>>(), adapter.modules().keys().collect::<Vec<_>>());
    for (name, module) in found.modules() {
        let delta = |module: &lokr_checkpoint::Module| module.delta::<f64>(&[6, 10], 1.0).unwrap();
        let (found, right) = (delta(module), delta(&adapter.modules()[name]));
        assert!((found - right).iter().all(|d| d.abs() < 1e-5), "{name}");
    }
}

#[test]
fn a_part_is_a_layer_with_its_part_of_the_bias() {
    let folder = Folder::new();
    let base = model(&folder, FloatType::F64);
    let layer = base.fully_connected::<f64>(&format!("{BLOCK}attn.v_proj"), Activation::Identity).unwrap();
    let x = Array2::from_shape_fn((3, 10), |(i, j)| (i * 10 + j) as f64 / 7.0 - 2.0);
    let weight = third(&values(&base.tensor(&format!("{BLOCK}attn.in_proj_weight")).unwrap()), 2);
    let bias = third(&values(&base.tensor(&format!("{BLOCK}attn.in_proj_bias")).unwrap()), 2);
    let right = x.dot(&weight.into_dimensionality::<ndarray::Ix2>().unwrap().t()) + &bias;
    let found = layer.predict(&x).unwrap().into_dyn();
    assert!((&found - &right).iter().all(|d| d.abs() < 1e-12));
    assert_eq!(found.shape(), [3, 6]);
}

#[test]
fn weights_of_their_own_come_first() {
    let folder = Folder::new();
    let tensors = [("attn.in_proj_weight", tensor(&[18, 10])), ("attn.q_proj.weight", tensor(&[6, 10]))];
    let base = base(&folder, &tensors);
    assert_eq!(base.tensor("attn.q_proj.weight").unwrap().bytes(), tensors[1].1.bytes());
    assert!(base.info("attn.k_proj.weight").is_none());
}
