//! The names that are written: those which the program of a dialect looks up, whatever the base model's prefix.

use crate::support::build::{Folder, cause, f32s, go_on, kron, random};
use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError as E, ConvertOptions, Dialect, ExtractOptions, JobError, NotAdaptedReason,
    ReadOptions, Tensor, extract,
};
use ndarray::{Array2, ArrayD};

/// The prefixes of one image model, and its modules.
const PREFIXES: [&str; 4] = ["", "net.", "model.diffusion_model.", "diffusion_model."];
const MODULES: [&str; 2] = ["blocks.0.self_attn.q_proj", "llm_adapter.blocks.1.mlp.layer1"];

fn factors(number: u64) -> [ArrayD<f64>; 2] {
    [random(&[2, 2], number), random(&[3, 5], 10 + number)]
}

/// A model behind a prefix, or what becomes of it.
fn model(folder: &Folder, prefix: &str, changed: bool) -> BaseModel {
    let tensors = (0..).zip(MODULES).map(|(number, module)| {
        let mut weight = random(&[6, 10], 20 + number);
        if changed {
            let [w1, w2] = factors(number);
            weight += &kron(&w1, &w2).into_dyn();
        }
        (format!("{prefix}{module}.weight"), f32s(&weight))
    });
    let bias = if changed { 2.0 } else { 1.0 };
    let bias = (format!("{prefix}blocks.0.norm.weight"), f32s(&ArrayD::from_elem(vec![3], bias)));
    let tensors: Vec<_> = tensors.chain([bias]).collect();
    let tensors: Vec<_> = tensors.iter().map(|(key, tensor)| (key.as_str(), tensor.clone())).collect();
    BaseModel::open(folder.tensors(&format!("{prefix}{changed}.safetensors"), &tensors)).unwrap()
}

fn names(dialect: Dialect) -> Vec<String> {
    MODULES
        .iter()
        .map(|path| match dialect {
            Dialect::Kohya => format!("lora_unet_{}", path.replace('.', "_")),
            Dialect::Lycoris => format!("lycoris_{}", path.replace('.', "_")),
            Dialect::Dotted => format!("diffusion_model.{path}"),
            _ => (*path).to_owned(),
        })
        .collect()
}

fn assert_deltas(adapter: &Adapter) {
    for (number, module) in (0..).zip(adapter.modules().values()) {
        let [w1, w2] = factors(number);
        let scale = module.scale().unwrap();
        let got: Array2<f64> = module.delta(&[6, 10], scale).unwrap().into_dimensionality().unwrap();
        assert!((&got - &kron(&w1, &w2)).iter().all(|x| x.abs() < 1e-5), "{}", module.name());
    }
}

const DIALECTS: [Dialect; 4] = [Dialect::Kohya, Dialect::Lycoris, Dialect::Dotted, Dialect::Peft];

#[test]
fn every_prefix_of_the_base_gives_the_same_names() {
    let folder = Folder::new();
    let options = ExtractOptions { factor: Some(2), ..ExtractOptions::default() };
    for prefix in PREFIXES {
        let (base, tuned) = (model(&folder, prefix, false), model(&folder, prefix, true));
        for dialect in DIALECTS {
            // PEFT knows networks of any kind, whose layers may be called `net`.
            let found = extract(&base, &tuned, &options, &mut go_on).unwrap();
            let adapter = found.into_adapter(dialect).unwrap();
            assert_eq!(adapter.modules().keys().cloned().collect::<Vec<_>>(), names(dialect), "{prefix}");
            assert_deltas(&adapter);
        }
    }
}

#[test]
fn conversion_with_a_base_does_not_stack_prefixes() {
    let folder = Folder::new();
    let mut tensors: Vec<(String, Tensor)> = Vec::new();
    for (number, name) in (0..).zip(names(Dialect::Kohya)) {
        let [w1, w2] = factors(number);
        tensors.extend([(format!("{name}.lokr_w1"), f32s(&w1)), (format!("{name}.lokr_w2"), f32s(&w2))]);
    }
    let tensors: Vec<_> = tensors.iter().map(|(key, tensor)| (key.as_str(), tensor.clone())).collect();
    let adapter = Adapter::read(folder.tensors("kohya.safetensors", &tensors), &ReadOptions::default()).unwrap();
    for prefix in ["", "model.diffusion_model.", "diffusion_model."] {
        let base = model(&folder, prefix, false);
        for dialect in DIALECTS {
            let converted = adapter.convert(&ConvertOptions::to(dialect), Some(&base)).unwrap().adapter;
            assert_eq!(converted.modules().keys().cloned().collect::<Vec<_>>(), names(dialect), "{prefix}");
            assert_deltas(&converted);
        }
        for (given, right) in [("diffusion_model.", "diffusion_model."), ("transformer.", "transformer."), ("", "")] {
            let options = ConvertOptions { prefix: Some(given.to_owned()), ..ConvertOptions::to(Dialect::Dotted) };
            let converted = adapter.convert(&options, Some(&base)).unwrap().adapter;
            assert!(converted.modules().contains_key(&format!("{right}{}", MODULES[0])), "{prefix}");
        }
    }
}

#[test]
fn names_that_no_program_looks_up_are_renamed() {
    let folder = Folder::new();
    let key = |suffix: &str| format!("model.diffusion_model.{}.{suffix}", MODULES[0]);
    let (w1, w2) = (key("lokr_w1"), key("lokr_w2"));
    let [a, b] = factors(0).map(|values| f32s(&values));
    let path = folder.tensors("a.safetensors", &[(&w1, a), (&w2, b)]);
    let adapter = Adapter::read(path, &ReadOptions::default()).unwrap();
    let converted = adapter.convert(&ConvertOptions::to(Dialect::Dotted), None).unwrap().adapter;
    assert_eq!(converted.modules().keys().collect::<Vec<_>>(), [&format!("diffusion_model.{}", MODULES[0])]);
}

/// A text encoder of OpenCLIP inside a checkpoint of one file, its attention fused.
#[test]
fn text_encoders_have_the_names_of_transformers() {
    let folder = Folder::new();
    let block = "conditioner.embedders.1.model.transformer.resblocks.3.";
    let of = |name: &str, changed: bool| {
        let mut fused = random(&[18, 10], 1);
        let mut image = random(&[6, 10], 2);
        if changed {
            let [w1, w2] = factors(0);
            let change = kron(&w1, &w2);
            fused.slice_mut(ndarray::s![6..12, ..]).zip_mut_with(&change, |w, x| *w += x);
            image += &change.into_dyn();
        }
        let tensors = [
            (format!("{block}attn.in_proj_weight"), f32s(&fused)),
            ("model.diffusion_model.a.b.weight".to_owned(), f32s(&image)),
        ];
        let tensors: Vec<_> = tensors.iter().map(|(key, tensor)| (key.as_str(), tensor.clone())).collect();
        BaseModel::open(folder.tensors(name, &tensors)).unwrap()
    };
    let (base, tuned) = (of("base.safetensors", false), of("tuned.safetensors", true));
    let options = ExtractOptions { factor: Some(2), ..ExtractOptions::default() };
    for (dialect, text, image) in [
        (Dialect::Dotted, "text_encoder_2.text_model.encoder.layers.3.self_attn.k_proj", "diffusion_model.a.b"),
        (Dialect::Kohya, "lora_te2_text_model_encoder_layers_3_self_attn_k_proj", "lora_unet_a_b"),
    ] {
        let adapter = extract(&base, &tuned, &options, &mut go_on).unwrap().into_adapter(dialect).unwrap();
        let mut names: Vec<_> = adapter.modules().keys().map(String::as_str).collect();
        names.sort_unstable_by_key(|name| *name == image);
        assert_eq!(names, [text, image]);
        // They are found again.
        assert_eq!(
            adapter.convert(&ConvertOptions::to(Dialect::Kohya), Some(&base)).unwrap().adapter.modules().len(),
            2
        );
    }
}

#[test]
fn models_are_compared_by_place() {
    let folder = Folder::new();
    let options = ExtractOptions { factor: Some(2), ..ExtractOptions::default() };
    for base_prefix in PREFIXES {
        for tuned_prefix in PREFIXES {
            let (base, tuned) = (model(&folder, base_prefix, false), model(&folder, tuned_prefix, true));
            let found = extract(&base, &tuned, &options, &mut go_on).unwrap();
            let left: Vec<_> =
                found.report.not_adapted.iter().map(|left| (left.tensor.as_str(), left.reason)).collect();
            assert_eq!(left, [(&*format!("{base_prefix}blocks.0.norm.weight"), NotAdaptedReason::NotAWeight)]);
            assert_deltas(&found.into_adapter(Dialect::Kohya).unwrap());
        }
    }
}

/// Prefixes that no list has: `model.` of a language model with its head, `module.` of a trainer.
#[test]
fn a_prefix_of_all_names_is_found_by_comparing_them() {
    let folder = Folder::new();
    let options = ExtractOptions { factor: Some(2), ..ExtractOptions::default() };
    for (base, tuned) in [("model.", ""), ("", "module.model."), ("base_model.", "")] {
        let (base, tuned) = (model(&folder, base, false), model(&folder, tuned, true));
        let found = extract(&base, &tuned, &options, &mut go_on).unwrap();
        assert_eq!((found.report.modules.len(), found.report.not_adapted.len()), (2, 1));
        assert_deltas(&found.into_adapter(Dialect::Lycoris).unwrap());
    }
}

/// SGM's names beside diffusers', one tensor in each model only.
#[test]
fn models_are_compared_by_the_names_that_adapters_have() {
    let folder = Folder::new();
    let (w1, w2) = (random(&[4, 4], 1), random(&[8, 8, 3, 3], 2));
    let weight = random(&[32, 32, 3, 3], 3);
    let change = kron(&w1, &w2).into_shape_with_order(weight.shape().to_vec()).unwrap();
    let sgm = [
        ("model.diffusion_model.input_blocks.4.0.in_layers.2.weight", f32s(&weight)),
        ("first_stage_model.x.weight", f32s(&random(&[2, 2], 4))),
    ];
    let diffusers = [
        ("down_blocks.1.resnets.0.conv1.weight", f32s(&(&weight + &change))),
        ("alphas_cumprod", f32s(&random(&[3], 5))),
    ];
    let base = BaseModel::open(folder.tensors("sgm.safetensors", &sgm)).unwrap();
    let tuned = BaseModel::open(folder.tensors("diffusers.safetensors", &diffusers)).unwrap();
    let options = ExtractOptions { factor: Some(4), ..ExtractOptions::default() };
    let found = extract(&base, &tuned, &options, &mut go_on).unwrap();
    let left: Vec<_> = found.report.not_adapted.iter().map(|left| (left.tensor.as_str(), left.reason)).collect();
    let right = [
        ("alphas_cumprod", NotAdaptedReason::OnlyInTuned),
        ("first_stage_model.x.weight", NotAdaptedReason::OnlyInBase),
    ];
    assert_eq!(left, right);
    let adapter = found.into_adapter(Dialect::Kohya).unwrap();
    let module = &adapter.modules()["lora_unet_input_blocks_4_0_in_layers_2"];
    let got: ArrayD<f64> = module.delta(weight.shape(), module.scale().unwrap()).unwrap();
    assert!((&got - &change).iter().all(|x| x.abs() < 1e-4));

    let other = BaseModel::open(folder.tensors("other.safetensors", &diffusers[1..])).unwrap();
    cause(extract(&base, &other, &options, &mut go_on), |e| matches!(e, E::Job(JobError::NothingShared { .. })));
}
