//! Pipelines: a directory with `model_index.json` is one model.

use std::path::Path;

use crate::support::build::{CONFIG, Folder, cause, f32s, go_on, kron, peft, random, tensor};
use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError as E, ConvertOptions, Dialect, ExtractOptions, FileError, MergeOptions,
    NameError, OutputError, Overwrite, ReadOptions, Run, Strength, Tensor, TensorFile, Unmatched, Verdict,
    VerifyOptions, extract, merge, unmerge, verify,
};
use ndarray::{Array2, ArrayD};

const INDEX: &str = r#"{
    "_class_name": "StableDiffusionXLPipeline",
    "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
    "text_encoder": ["transformers", "CLIPTextModel"], "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "tokenizer": ["transformers", "CLIPTokenizer"], "safety_checker": [null, null], "force_zeros": true
}"#;

/// Modules as an adapter calls them, where their weights are, and the shapes of both factors.
const MODULES: [(&str, &str, &str, [&[usize]; 2]); 5] = [
    (
        "lora_unet_mid_block_attentions_0_proj_in",
        "unet/diffusion_pytorch_model.safetensors",
        "mid_block.attentions.0.proj_in",
        [&[2, 5], &[3, 2]],
    ),
    ("lora_unet_conv_out", "unet/diffusion_pytorch_model.safetensors", "conv_out", [&[2, 3], &[1, 2, 3, 3]]),
    (
        "lora_te1_text_model_encoder_layers_0_self_attn_q_proj",
        "text_encoder/model.safetensors",
        "text_model.encoder.layers.0.self_attn.q_proj",
        [&[2, 2], &[3, 3]],
    ),
    (
        "lora_te2_text_model_encoder_layers_0_self_attn_q_proj",
        "text_encoder_2/model-00001-of-00002.safetensors",
        "text_model.encoder.layers.0.self_attn.q_proj",
        [&[7, 1], &[1, 7]],
    ),
    (
        "lora_te2_text_model_encoder_layers_0_mlp_fc1",
        "text_encoder_2/model-00002-of-00002.safetensors",
        "text_model.encoder.layers.0.mlp.fc1",
        [&[1, 1], &[11, 7]],
    ),
];

fn factors(number: usize) -> [ArrayD<f64>; 2] {
    let (_, _, _, [w1, w2]) = MODULES[number];
    [random(w1, 10 + number as u64), random(w2, 50 + number as u64)]
}

/// The weight before, in the shape that the factors make.
fn weight(number: usize) -> ArrayD<f64> {
    let (_, _, _, [w1, w2]) = MODULES[number];
    let shape: Vec<_> = [w1[0] * w2[0], w1[1] * w2[1]].into_iter().chain(w2[2..].iter().copied()).collect();
    random(&shape, 90 + number as u64)
}

/// A pipeline; `changed` has the changes of the adapter in it.
pub(crate) fn pipeline(folder: &Folder, name: &str, changed: bool) -> std::path::PathBuf {
    for place in ["unet", "text_encoder", "text_encoder_2", "vae", "tokenizer/merges", "safety_checker", "notes"] {
        std::fs::create_dir_all(folder.path(name).join(place)).unwrap();
    }
    let file = |path: &str| format!("{name}/{path}");
    let mut shards = Vec::new();
    for (_, path, ..) in MODULES {
        if shards.contains(&path) {
            continue;
        }
        shards.push(path);
        let own = (0..MODULES.len()).filter(|&number| MODULES[number].1 == path);
        let mut tensors: Vec<_> = own
            .map(|number| {
                let mut weight = weight(number);
                if changed {
                    let [w1, w2] = factors(number);
                    weight += &kron(&w1, &w2).into_shape_with_order(weight.shape().to_vec()).unwrap();
                }
                (format!("{}.weight", MODULES[number].2), f32s(&weight))
            })
            .collect();
        tensors.push((format!("{}.bias", tensors[0].0), tensor(&[3])));
        let tensors: Vec<_> = tensors.iter().map(|(key, tensor)| (key.as_str(), tensor.clone())).collect();
        folder.tensors_with(&file(path), &tensors, &[("format", "pt")]);
    }
    let second: Vec<_> = [3, 4]
        .map(|number| {
            let (path, module) = (MODULES[number].1.trim_start_matches("text_encoder_2/"), MODULES[number].2);
            format!(r#""{module}.weight": "{path}", "{module}.weight.bias": "{path}""#)
        })
        .to_vec();
    let second = format!(r#"{{"metadata": {{}}, "weight_map": {{{}}}}}"#, second.join(", "));
    folder.write(&file("text_encoder_2/model.safetensors.index.json"), second);
    folder.tensors(
        &file("vae/diffusion_pytorch_model.safetensors"),
        &[("decoder.conv_in.weight", tensor(&[2, 2, 1, 1]))],
    );
    for (path, text) in [
        ("model_index.json", INDEX),
        ("unet/config.json", "{}"),
        ("unet/diffusion_pytorch_model.bin", "of another format"),
        ("tokenizer/merges/a.txt", "a b"),
        ("notes/x.txt", "not listed"),
        ("sd_xl.safetensors", "the same in one file"),
    ] {
        folder.write(&file(path), text);
    }
    folder.path(name)
}

pub(crate) fn adapter(folder: &Folder, options: &ReadOptions) -> Adapter {
    let mut tensors = Vec::new();
    for (number, (name, ..)) in MODULES.iter().enumerate() {
        let [w1, w2] = factors(number);
        tensors.push((format!("{name}.lokr_w1"), f32s(&w1)));
        tensors.push((format!("{name}.lokr_w2"), f32s(&w2)));
    }
    let tensors: Vec<_> = tensors.iter().map(|(key, tensor)| (key.as_str(), tensor.clone())).collect();
    Adapter::read(folder.tensors("adapter.safetensors", &tensors), options).unwrap()
}

/// Asserts that a pipeline's files hold the weights before, with or without the changes.
fn assert_holds(pipeline: &Path, changed: bool) {
    for (number, (_, path, module, _)) in MODULES.into_iter().enumerate() {
        let file = TensorFile::open(pipeline.join(path)).unwrap();
        assert_eq!(file.metadata()["format"], "pt");
        let key = format!("{module}.weight");
        let got = file.tensor(&key).unwrap().to_array::<f64>(&key).unwrap();
        let mut exact = weight(number);
        if changed {
            let [w1, w2] = factors(number);
            exact += &kron(&w1, &w2).into_shape_with_order(exact.shape().to_vec()).unwrap();
        }
        assert_eq!(got.shape(), exact.shape());
        assert!((&got - &exact).iter().all(|x| x.abs() < 1e-6), "{path} {module}");
    }
}

#[test]
fn each_component_gets_its_modules_and_the_rest_is_copied() {
    let folder = Folder::new();
    let (pipe, adapter) = (pipeline(&folder, "pipe", false), adapter(&folder, &ReadOptions::default()));
    let base = BaseModel::open(&pipe).unwrap();
    assert_eq!(base.components().collect::<Vec<_>>(), ["text_encoder", "text_encoder_2", "unet"]);
    assert!(base.info("unet.conv_out.weight").is_some() && base.info("vae.decoder.conv_in.weight").is_none());
    let (adapters, out) = ([(&adapter, Strength::default())], folder.path("out"));

    let dry = MergeOptions { run: Run::Dry, ..MergeOptions::default() };
    let planned = merge(&base, &adapters, &out, &dry, &mut go_on).unwrap();
    assert!(planned.weights.len() == 5 && !out.exists());
    let report = merge(&base, &adapters, &out, &MergeOptions::default(), &mut go_on).unwrap();
    assert_eq!((report.weights.len(), report.unchanged, report.bytes), (5, 4, planned.bytes));
    assert_holds(&out, true);
    for path in [
        "model_index.json",
        "unet/config.json",
        "tokenizer/merges/a.txt",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder_2/model.safetensors.index.json",
    ] {
        assert_eq!(std::fs::read(out.join(path)).unwrap(), std::fs::read(pipe.join(path)).unwrap(), "{path}");
        assert!(report.copied_files.contains(&path.to_owned()), "{:?}", report.copied_files);
    }
    assert_eq!(report.left_out, ["notes", "sd_xl.safetensors", "unet/diffusion_pytorch_model.bin"]);
    for path in ["notes", "sd_xl.safetensors", "unet/diffusion_pytorch_model.bin"] {
        assert!(!out.join(path).exists(), "{path}");
    }

    let merged = BaseModel::open(out.join("model_index.json")).unwrap();
    let verdict = |model| verify(&base, &adapters, model, &VerifyOptions::default(), &mut go_on).unwrap().verdict;
    assert_eq!((verdict(&merged), verdict(&base)), (Verdict::Match, Verdict::Mismatch));
    let back = folder.path("back");
    unmerge(&merged, &adapters, &back, &MergeOptions::default(), &mut go_on).unwrap();
    assert_holds(&back, false);
}

#[test]
fn an_older_pipeline_is_replaced_only_if_nothing_else_is_lost() {
    let folder = Folder::new();
    let (pipe, adapter) = (pipeline(&folder, "pipe", false), adapter(&folder, &ReadOptions::default()));
    let base = BaseModel::open(&pipe).unwrap();
    let (adapters, out) = ([(&adapter, Strength::default())], folder.path("out"));
    merge(&base, &adapters, &out, &MergeOptions::default(), &mut go_on).unwrap();
    cause(merge(&base, &adapters, &out, &MergeOptions::default(), &mut go_on), |e| {
        matches!(e, E::Output(OutputError::Exists))
    });
    let replace = MergeOptions { overwrite: Overwrite::Replace, ..MergeOptions::default() };
    folder.write("out/unet/mine.txt", "mine");
    cause(
        merge(&base, &adapters, &out, &replace, &mut go_on),
        |e| matches!(e, E::Output(OutputError::Others { names }) if *names == ["unet/mine.txt"]),
    );
    std::fs::remove_file(out.join("unet/mine.txt")).unwrap();
    let half = [(&adapter, Strength { multiplier: 0.0, ..Strength::default() })];
    merge(&base, &half, &out, &replace, &mut go_on).unwrap();
    assert_holds(&out, false);
}

#[test]
fn a_component_alone_needs_its_modules_alone() {
    let folder = Folder::new();
    let pipe = pipeline(&folder, "pipe", false);
    let (unet, all) = (BaseModel::open(pipe.join("unet")).unwrap(), adapter(&folder, &ReadOptions::default()));
    cause(all.resolve(&unet, Unmatched::Refuse), |e| {
        matches!(e, E::Name(NameError::UnmatchedModules { modules, matched, total: 5 })
            if modules.len() == 3 && matched[..] == ["lora_unet_"])
    });
    let only = |start: &str| ReadOptions { only: vec![start.to_owned()], ..ReadOptions::default() };
    let own = adapter(&folder, &only("lora_unet_"));
    assert_eq!(own.resolve(&unet, Unmatched::Refuse).unwrap().targets().len(), 2);
    assert_eq!(own.left_out().len(), 3);
}

/// Modules of both text encoders that one of them happens to have all.
#[test]
fn modules_of_two_models_are_not_merged_into_one() {
    let folder = Folder::new();
    let base = [("a.weight", tensor(&[6, 10])), ("b.weight", tensor(&[6, 10]))];
    let base = BaseModel::open(folder.tensors("model.safetensors", &base)).unwrap();
    let of = |names: [&str; 2]| {
        let keys = names.map(|name| [format!("{name}.lokr_w1"), format!("{name}.lokr_w2")]);
        let tensors: Vec<_> =
            keys.iter().flat_map(|[w1, w2]| [(w1.as_str(), tensor(&[2, 5])), (w2.as_str(), tensor(&[3, 2]))]).collect();
        let adapter = Adapter::read(folder.tensors("a.safetensors", &tensors), &ReadOptions::default()).unwrap();
        adapter.resolve(&base, Unmatched::Allow).map(|_| ())
    };
    assert!(of(["lora_te1_a", "lora_te1_b"]).is_ok());
    cause(
        of(["lora_te1_a", "lora_te2_b"]),
        |e| matches!(e, E::Name(NameError::SeveralModels { prefixes, lacking }) if lacking.is_empty() && prefixes[..] == ["lora_te1_", "lora_te2_"]),
    );
}

#[test]
fn dotted_and_peft_names_are_found_in_the_components() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path("pipe/transformer")).unwrap();
    std::fs::create_dir_all(folder.path("pipe/text_encoder")).unwrap();
    folder.write(
        "pipe/model_index.json",
        r#"{"transformer": ["diffusers", "X"], "text_encoder": ["transformers", "Y"]}"#,
    );
    folder.tensors("pipe/transformer/a.safetensors", &[("m.weight", tensor(&[6, 10]))]);
    folder.tensors("pipe/text_encoder/b.safetensors", &[("n.weight", tensor(&[6, 10]))]);
    let base = BaseModel::open(folder.path("pipe")).unwrap();
    for (module, target) in [
        ("diffusion_model.m", "transformer.m.weight"),
        ("transformer.m", "transformer.m.weight"),
        ("text_encoder.n", "text_encoder.n.weight"),
    ] {
        let keys = ["lokr_w1", "lokr_w2", "alpha"].map(|suffix| format!("{module}.{suffix}"));
        let tensors = [(&*keys[0], tensor(&[2, 5])), (&*keys[1], tensor(&[3, 2])), (&*keys[2], tensor(&[]))];
        let adapter = Adapter::read(folder.tensors("a.safetensors", &tensors), &ReadOptions::default()).unwrap();
        assert_eq!(adapter.dialect(), Dialect::Dotted);
        assert_eq!(adapter.resolve(&base, Unmatched::Refuse).unwrap().target(module), Some(target));
    }
    let of_transformer = peft(&Folder::new(), CONFIG, &[]).unwrap();
    assert_eq!(of_transformer.resolve(&base, Unmatched::Refuse).unwrap().target("m"), Some("transformer.m.weight"));
}

/// As Wan 2.2 has, whose adapters are of one of both.
#[test]
fn of_two_image_models_the_name_must_say_which() {
    let folder = Folder::new();
    for name in ["transformer", "transformer_2"] {
        std::fs::create_dir_all(folder.path(&format!("pipe/{name}"))).unwrap();
        folder.tensors(&format!("pipe/{name}/a.safetensors"), &[("m.weight", tensor(&[6, 10]))]);
    }
    folder
        .write("pipe/model_index.json", r#"{"transformer": ["diffusers", "X"], "transformer_2": ["diffusers", "X"]}"#);
    let base = BaseModel::open(folder.path("pipe")).unwrap();
    let find = |module: &str| {
        let keys = ["lokr_w1", "lokr_w2", "alpha"].map(|suffix| format!("{module}.{suffix}"));
        let tensors = [(&*keys[0], tensor(&[2, 5])), (&*keys[1], tensor(&[3, 2])), (&*keys[2], tensor(&[]))];
        let adapter = Adapter::read(folder.tensors("a.safetensors", &tensors), &ReadOptions::default()).unwrap();
        adapter.resolve(&base, Unmatched::Refuse).map(|found| found.target(module).unwrap().to_owned())
    };
    assert_eq!(find("transformer.m").unwrap(), "transformer.m.weight");
    assert_eq!(find("transformer_2.m").unwrap(), "transformer_2.m.weight");
    for name in ["diffusion_model.m", "lora_unet_m"] {
        cause(
            find(name),
            |e| matches!(e, E::Name(NameError::AmbiguousModule { candidates, .. }) if candidates.len() == 2),
        );
    }
}

#[test]
fn two_pipelines_are_compared_as_a_whole() {
    let folder = Folder::new();
    let models = [false, true]
        .map(|changed| BaseModel::open(pipeline(&folder, if changed { "tuned" } else { "base" }, changed)).unwrap());
    let options = ExtractOptions { factor: Some(1), ..ExtractOptions::default() };
    let found = extract(&models[0], &models[1], &options, &mut go_on).unwrap();
    assert_eq!((found.report.modules.len(), found.report.unchanged), (5, 4));
    for (dialect, image) in [(Dialect::Lycoris, "lycoris_conv_out"), (Dialect::Dotted, "diffusion_model.conv_out")] {
        let adapter = found.clone().into_adapter(dialect).unwrap();
        assert!(adapter.modules().contains_key(image), "{dialect}: {:?}", adapter.modules().keys());
        let there = adapter.convert(&ConvertOptions::to(Dialect::Kohya), Some(&models[0])).unwrap().adapter;
        assert!(there.modules().contains_key("lora_unet_conv_out"));
    }
    let adapter = found.into_adapter(Dialect::Kohya).unwrap();
    let mut names: Vec<_> = MODULES.iter().map(|(name, ..)| *name).collect();
    names.sort_unstable();
    assert_eq!(adapter.modules().keys().collect::<Vec<_>>(), names);
    let (name, module) = adapter.modules().first_key_value().unwrap();
    let number = MODULES.iter().position(|(module, ..)| module == name).unwrap();
    let [w1, w2] = factors(number);
    let delta: Array2<f64> = module.delta::<f64>(weight(number).shape(), 1.0).unwrap().into_dimensionality().unwrap();
    assert!((&delta - &kron(&w1, &w2)).iter().all(|x| x.abs() < 1e-5));
}

#[test]
fn what_is_no_model_says_what_it_is() {
    let folder = Folder::new();
    let open = |name: &str| BaseModel::open(folder.path(name)).map(|_| ());
    for name in ["empty/unet", "plain/unet"] {
        std::fs::create_dir_all(folder.path(name)).unwrap();
    }
    folder.write("empty/model_index.json", r#"{"unet": ["diffusers", "UNet2DConditionModel"]}"#);
    cause(open("empty"), |e| matches!(e, E::File(FileError::Missing { expected }) if expected.contains("component")));
    cause(open("empty/model_index.json"), |e| matches!(e, E::File(FileError::Missing { .. })));
    folder.tensors("plain/unet/a.safetensors", &[("m.weight", Tensor::clone(&tensor(&[6, 10])))]);
    cause(
        open("plain"),
        |e| matches!(e, E::File(FileError::ModelsBelow { directories }) if directories[..] == ["unet"]),
    );
    folder.write("config.json", "{}");
    cause(open("config.json"), |e| matches!(e, E::File(FileError::NotTensors)));
    folder.write("empty/model_index.json", r#"{"../plain": ["diffusers", "UNet2DConditionModel"]}"#);
    cause(open("empty"), |e| matches!(e, E::File(FileError::Missing { .. })));
    folder.write("empty/model_index.json", "{");
    cause(open("empty"), |e| matches!(e, E::File(FileError::Json(_))));
}
