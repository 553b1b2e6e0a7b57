//! What is left out of an adapter: by name, or because the model does not have it; and what the program says of it.

use std::collections::BTreeMap;

use lokr_checkpoint::{FloatType, Overwrite, Tensor, TensorFile, write_tensors};
use ndarray::{ArrayD, IxDyn};

use crate::support::{Folder, fails, json, lokr, stderr, stdout, succeeds};

fn filled(shape: &[usize], value: f64) -> Tensor {
    Tensor::from_array(&ArrayD::from_elem(IxDyn(shape), value), FloatType::F32)
}

/// Full factors of ones for each module: the change is 1 everywhere.
fn adapter(modules: &[(&str, [&[usize]; 2])]) -> Vec<(String, Tensor)> {
    let of = |(name, [w1, w2]): &(&str, [&[usize]; 2])| {
        [(format!("{name}.lokr_w1"), filled(w1, 1.0)), (format!("{name}.lokr_w2"), filled(w2, 1.0))]
    };
    modules.iter().flat_map(of).collect()
}

fn write(folder: &Folder, name: &str, tensors: Vec<(String, Tensor)>) -> String {
    let tensors: BTreeMap<_, _> = tensors.into_iter().collect();
    write_tensors(folder.path(name), &tensors, &BTreeMap::new(), Overwrite::Replace).unwrap();
    folder.path(name)
}

/// The first value of a tensor.
fn first(path: &str, name: &str) -> f64 {
    TensorFile::open(path).unwrap().tensor(name).unwrap().to_array::<f64>(name).unwrap().iter().copied().next().unwrap()
}

const LINEAR: [&[usize]; 2] = [&[2, 5], &[3, 2]];
const DOWN: &str = "lora_unet_down_blocks_1_attentions_0_proj_in";

/// An inpainting model takes 9 channels where the adapter's has 4.
struct Inpainting {
    folder: Folder,
    base: String,
    adapter: String,
    out: String,
}

impl Inpainting {
    fn new() -> Self {
        let folder = Folder::new();
        let base = vec![
            ("model.diffusion_model.input_blocks.0.0.weight".to_owned(), filled(&[8, 9, 3, 3], 0.0)),
            ("model.diffusion_model.input_blocks.4.1.proj_in.weight".to_owned(), filled(&[6, 10], 0.0)),
        ];
        let (base, out) = (write(&folder, "base.safetensors", base), folder.path("out.safetensors"));
        let modules = adapter(&[("lora_unet_conv_in", [&[4, 2], &[2, 2, 3, 3]]), (DOWN, LINEAR)]);
        let adapter = write(&folder, "adapter.safetensors", modules);
        Self { folder, base, adapter, out }
    }

    fn args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&["merge", "--base", &self.base, "--adapter", &self.adapter, "--out", &self.out][..], more].concat()
    }
}

#[test]
fn a_first_convolution_for_fewer_channels_is_refused_with_the_way_on() {
    let files = Inpainting::new();
    let error = fails(&files.args(&[]), 3);
    assert!(error.contains("lora_unet_conv_in: ") && error.contains("more input channels"), "{error}");
    assert!(error.contains("(--exclude lora_unet_conv_in leaves it out; the result lacks what it changes)"), "{error}");
    assert_eq!(files.folder.count(), 2);
}

#[test]
fn exclude_searches_in_the_names_of_modules() {
    let files = Inpainting::new();
    let text = succeeds(&files.args(&["--exclude", "conv_.n$"]));
    assert!(text.contains("  left out, as asked: lora_unet_conv_in\n"), "{text}");
    assert_eq!(first(&files.out, "model.diffusion_model.input_blocks.0.0.weight"), 0.0);
    assert_eq!(first(&files.out, "model.diffusion_model.input_blocks.4.1.proj_in.weight"), 1.0);
    for command in [["verify", "--base"], ["unmerge", "--merged"]] {
        let (model, adapter) = (if command[0] == "verify" { &files.base } else { &files.out }, &files.adapter);
        let back = files.folder.path("back.safetensors");
        let rest: &[&str] = if command[0] == "verify" { &["--merged", &files.out] } else { &["--out", &back] };
        let args = [&command[..], &[model, "--adapter", adapter, "--exclude", "conv_in"], rest].concat();
        succeeds(&args);
    }
    let report = json(&["inspect", &files.adapter, "--exclude", "conv_in"]);
    assert_eq!((report["modules"].as_array().unwrap().len(), &report["left_out"][0]), (1, &"lora_unet_conv_in".into()));
    let converted = files.folder.path("converted.safetensors");
    succeeds(&["convert", &files.adapter, "--exclude", "conv_in", "--to", "lycoris", "--out", &converted]);
    let names: Vec<_> = TensorFile::open(&converted).unwrap().names().map(str::to_owned).collect();
    assert!(names.iter().all(|name| name.contains("proj_in")), "{names:?}");
}

#[test]
fn leaving_everything_out_is_an_error() {
    let files = Inpainting::new();
    for options in [&["--exclude", "lora_unet"][..], &["--exclude", "conv", "--exclude", "down"], &["--exclude", ""]] {
        let error = fails(&files.args(options), 2);
        assert!(error.contains("exclude: ") && error.contains("no module is left of 2"), "{error}");
    }
    let error = fails(&files.args(&["--only", "lora_unet_down", "--exclude", "down"]), 2);
    assert!(error.contains("no module is left"), "{error}");
    assert!(fails(&files.args(&["--exclude", "("]), 2).contains("is not a regular expression"));
    assert_eq!(files.folder.count(), 2);
}

#[test]
fn what_the_model_lacks_is_named_whatever_is_reported() {
    let folder = Folder::new();
    let base = write(&folder, "base.safetensors", vec![("a.weight".to_owned(), filled(&[6, 10], 0.0))]);
    let modules = adapter(&[("lora_unet_a", LINEAR), ("lora_te_b", LINEAR), ("lora_te_c", LINEAR)]);
    let (adapter, out) = (write(&folder, "adapter.safetensors", modules), folder.path("out.safetensors"));
    let args = ["merge", "--base", &base, "--adapter", &adapter, "--out", &out, "--force"];
    let error = fails(&args, 3);
    assert!(error.contains("2 of 3 modules are not in the base model: lora_te_b, lora_te_c"), "{error}");
    assert!(!error.contains("lora_unet_a"), "{error}");
    let help = "(--only lora_unet_ takes the modules of this model; or --allow-unmatched goes on without them; the \
                result lacks what they change)";
    assert!(error.contains(help), "{error}");
    for quiet in [&[][..], &["--quiet"]] {
        let output = lokr(&[&args[..], &["--allow-unmatched"], quiet].concat());
        assert_eq!((output.status.code(), stdout(&output).is_empty()), (Some(0), !quiet.is_empty()));
        let said = stderr(&output);
        assert!(said.ends_with("2 modules left out, not in the base model: lora_te_b, lora_te_c\n"), "{said}");
    }
    let text = succeeds(&[&args[..], &["--only", "lora_unet_"]].concat());
    assert!(text.contains("left out, as asked: lora_te_b\n"), "{text}");
    assert_eq!(first(&out, "a.weight"), 1.0);
}

#[test]
fn modules_of_several_models_are_not_merged_into_one_of_them() {
    let folder = Folder::new();
    let base = ["a.weight", "b.weight"].map(|name| (name.to_owned(), filled(&[6, 10], 0.0))).to_vec();
    let base = write(&folder, "base.safetensors", base);
    let modules = adapter(&[("lora_te1_a", LINEAR), ("lora_te2_b", LINEAR)]);
    let (adapter, out) = (write(&folder, "adapter.safetensors", modules), folder.path("out.safetensors"));
    let error = fails(&["merge", "--base", &base, "--adapter", &adapter, "--out", &out], 3);
    assert!(
        error.contains("(lora_te1_, lora_te2_)") && error.contains("(--only lora_te1_ or --only lora_te2_)"),
        "{error}"
    );
}

#[test]
fn the_same_weight_twice_has_the_way_on() {
    let folder = Folder::new();
    let base = write(&folder, "base.safetensors", vec![("a.weight".to_owned(), filled(&[6, 10], 0.0))]);
    let modules = adapter(&[("lora_te1_a", LINEAR), ("lora_te2_a", LINEAR)]);
    let (adapter, out) = (write(&folder, "adapter.safetensors", modules), folder.path("out.safetensors"));
    let error = fails(&["merge", "--base", &base, "--adapter", &adapter, "--out", &out], 3);
    assert!(
        error.contains("both mean a.weight") && error.contains("(--only lora_te1_ or --only lora_te2_)"),
        "{error}"
    );
}

#[test]
fn what_differs_and_is_not_extracted_is_listed_in_words() {
    let folder = Folder::new();
    let model = |name: &str, value: f64, more: &str| {
        let tensors = vec![("a.weight".to_owned(), filled(&[6, 10], value)), (more.to_owned(), filled(&[2], 1.0))];
        write(&folder, name, tensors)
    };
    let (base, tuned) = (model("base.safetensors", 0.0, "norm"), model("tuned.safetensors", 1.0, "ema.decay"));
    let args = ["extract", "--base", &base, "--tuned", &tuned, "--to", "dotted", "--out"];
    let text = succeeds(&[&args[..], &[&folder.path("x.safetensors")]].concat());
    assert!(text.contains("not in the adapter: ema.decay (only in the fine-tuned model)\n"), "{text}");
    assert!(text.contains("not in the adapter: norm (only in the base model)\n"), "{text}");
    let report = json(&[&args[..], &[&folder.path("y.safetensors")]].concat());
    assert_eq!(report["not_adapted"][0]["reason"], "only_in_tuned");
}

/// PEFT's whole tensors of a language model, and what the program says of them.
#[test]
fn whole_tensors_are_told_of() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("base")).unwrap();
    std::fs::create_dir(folder.path("adapter")).unwrap();
    let named = |names: &[(&str, &[usize])]| {
        names.iter().map(|(name, shape)| ((*name).to_owned(), filled(shape, 1.0))).collect::<Vec<_>>()
    };
    write(&folder, "base/model.safetensors", named(&[("m.weight", &[6, 10]), ("lm_head.weight", &[5, 4])]));
    std::fs::write(folder.path("base/config.json"), r#"{"vocab_size": 5}"#).unwrap();
    let key = |name: &str| format!("base_model.model.{name}");
    let adapter = |more: &[(&str, &[usize])]| {
        let own = [("m.lokr_w1", LINEAR[0]), ("m.lokr_w2", LINEAR[1])];
        let tensors = named(&[&own[..], more].concat()).into_iter().map(|(name, tensor)| (key(&name), tensor));
        write(&folder, "adapter/adapter_model.safetensors", tensors.collect());
        let config = r#"{"peft_type": "LOKR", "r": 8, "alpha": 8}"#;
        std::fs::write(folder.path("adapter/adapter_config.json"), config).unwrap();
    };
    let (base, dir, out) = (folder.path("base"), folder.path("adapter"), folder.path("out"));
    let args = ["merge", "--base", &base, "--adapter", &dir, "--out", &out, "--force"];

    adapter(&[("score.weight", &[2, 4])]);
    let error = fails(&args, 3);
    assert!(error.contains("score.weight") && error.contains("--take-whole adds them"), "{error}");
    let text = succeeds(&[&args[..], &["--take-whole"]].concat());
    assert!(text.contains("added score.weight, which the model did not have\n"), "{text}");
    std::fs::remove_dir_all(&out).unwrap();

    adapter(&[("lm_head.weight", &[4, 4])]);
    let error = fails(&args, 3);
    assert!(
        error.contains("stores it whole") && error.contains("--take-whole") && !error.contains("modules_to_save"),
        "{error}"
    );

    adapter(&[("lm_head.weight", &[7, 4])]);
    let text = succeeds(&args);
    assert!(text.contains("replaced lm_head.weight, 7 rows instead of 5\n"), "{text}");
    assert!(text.contains("of these, changed to fit: config.json\n"), "{text}");
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path("out/config.json")).unwrap()).unwrap();
    assert_eq!(config["vocab_size"], 7);
    // Without a directory nothing states the vocabulary.
    let (base, out) = (folder.path("base/model.safetensors"), folder.path("out.safetensors"));
    let output = lokr(&["merge", "--base", &base, "--adapter", &dir, "--out", &out]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("lm_head.weight: 7 rows instead of 5; no config.json here"),
        "{}",
        stderr(&output)
    );
}
