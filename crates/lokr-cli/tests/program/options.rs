//! The options that say what a file leaves open.

use std::collections::BTreeMap;

use lokr_checkpoint::{FloatType, Overwrite, Tensor, TensorFile, write_tensors};
use ndarray::{Array2, ArrayD, IxDyn};

use crate::support::{Folder, case, fails, json, lokr, stderr, succeeds};

/// Everything in one folder: a base `m.weight (6, 10)` and an adapter of those tensors.
struct Files(Folder);

impl Files {
    fn new(adapter: &[(&str, Tensor)]) -> Self {
        let files = Self(Folder::new());
        let write = |name: &str, tensors: &[(&str, Tensor)]| {
            let tensors: BTreeMap<_, _> =
                tensors.iter().map(|(key, tensor)| ((*key).to_owned(), tensor.clone())).collect();
            write_tensors(files.path(name), &tensors, &BTreeMap::new(), Overwrite::Refuse).unwrap();
        };
        write("base.safetensors", &[("m.weight", ones(6, 10))]);
        write("adapter.safetensors", adapter);
        files
    }

    fn path(&self, name: &str) -> String {
        self.0.path(name)
    }

    /// Merges; the exit code, what was said, and the largest value of the result.
    fn merge(&self, options: &[&str]) -> (Option<i32>, String, f64) {
        let (base, adapter, out) = ("base.safetensors", "adapter.safetensors", "out.safetensors");
        let [base, adapter, out] = [base, adapter, out].map(|name| self.path(name));
        let args = ["merge", "--base", &base, "--adapter", &adapter, "--out", &out, "--force"];
        let output = lokr(&[&args[..], options].concat());
        let largest = TensorFile::open(&out).map_or(f64::NAN, |file| {
            let values = file.tensor("m.weight").unwrap().to_array::<f64>("m.weight").unwrap();
            values.into_iter().fold(0.0, f64::max)
        });
        (output.status.code(), stderr(&output), largest)
    }
}

fn ones(rows: usize, columns: usize) -> Tensor {
    Tensor::from_array(&Array2::<f32>::ones((rows, columns)), FloatType::F32)
}

fn number(value: f64) -> Tensor {
    Tensor::from_array(&ArrayD::from_elem(IxDyn(&[]), value), FloatType::F32)
}

/// Ones in every factor, so that the merged weight is 1 + s everywhere.
fn adapter(prefix: &'static str, alpha: f64) -> Vec<(&'static str, Tensor)> {
    let key = |suffix: &str| -> &'static str { Box::leak(format!("{prefix}m.{suffix}").into_boxed_str()) };
    vec![
        (key("lokr_w1"), ones(2, 5)),
        (key("lokr_w2_a"), ones(3, 1)),
        (key("lokr_w2_b"), ones(1, 2)),
        (key("alpha"), number(alpha)),
    ]
}

#[test]
fn scale_and_multiplier_are_what_is_asked_for() {
    let files = Files::new(&adapter("lycoris_", 3.0));
    for (options, largest) in [
        (&[][..], 4.0),
        (&["--scale", "trained"], 4.0),
        (&["--scale", "like-lycoris-merge"], 10.0),
        (&["--scale", "0.5"], 1.5),
        (&["--scale=-0.5"], 0.5),
        (&["--scale", "0.5", "--multiplier", "4"], 3.0),
        (&["--multiplier", "0"], 1.0),
    ] {
        assert_eq!(files.merge(options), (Some(0), String::new(), largest), "{options:?}");
    }
}

#[test]
fn an_alpha_of_zero_means_what_is_said() {
    let files = Files::new(&adapter("lycoris_", 0.0));
    let (code, error, _) = files.merge(&[]);
    assert!(code == Some(3) && error.contains("--zero-alpha rank or --zero-alpha zero"), "{error}");
    assert_eq!(files.merge(&["--zero-alpha", "rank"]), (Some(0), String::new(), 2.0));
    let (code, warning, largest) = files.merge(&["--zero-alpha", "zero"]);
    assert_eq!((code, largest), (Some(0), 1.0));
    assert!(warning.contains("the adapters change nothing in 1 of 1 weight"), "{warning}");
}

#[test]
fn a_prefix_and_a_dialect_are_taken_as_said() {
    let files = Files::new(&adapter("mine_", 3.0));
    assert_eq!(files.merge(&[]).0, Some(3));
    assert_eq!(files.merge(&["--prefix", "mine_"]), (Some(0), String::new(), 4.0));
    let files = Files::new(&adapter("lora_unet_", 3.0));
    assert_eq!(files.merge(&["--dialect", "kohya"]), (Some(0), String::new(), 4.0));
    let (code, error, _) = files.merge(&["--dialect", "lycoris", "--skip-foreign"]);
    assert!(code == Some(3) && error.contains("no lokr tensors"), "{error}");
}

#[test]
fn names_can_be_read_as_others() {
    let files = Files::new(&adapter("somebodys.", 3.0));
    let (code, error, _) = files.merge(&[]);
    assert!(code == Some(3) && error.contains("--rename FROM=TO"), "{error}");
    let (code, _, largest) = files.merge(&["--rename", "somebodys.="]);
    assert_eq!((code, largest), (Some(0), 4.0));
    assert_eq!(files.merge(&["--rename", "=x"]).0, Some(2));
    assert_eq!(files.merge(&["--rename", "nobodys=x"]).0, Some(2));
}

#[test]
fn what_does_not_belong_is_left_out_only_when_asked_for() {
    let foreign = [&adapter("lycoris_", 3.0)[..], &[("lycoris_m.oft_blocks", ones(6, 1))]].concat();
    let files = Files::new(&foreign);
    let (code, error, _) = files.merge(&[]);
    assert!(
        code == Some(3)
            && error.contains("a tensor of OFT, which cannot be applied")
            && error.contains("(--skip-foreign"),
        "{error}"
    );
    let (code, warning, largest) = files.merge(&["--skip-foreign"]);
    assert_eq!((code, largest), (Some(0), 4.0));
    assert!(warning.contains("1 tensor left out, whose effect is lost: lycoris_m.oft_blocks (OFT)"), "{warning}");

    let gone = [("lycoris_gone.lokr_w1", ones(2, 5)), ("lycoris_gone.lokr_w2", ones(3, 2))];
    let files = Files::new(&[&adapter("lycoris_", 3.0)[..], &gone].concat());
    let (code, error, _) = files.merge(&[]);
    assert!(code == Some(3) && error.contains("1 of 2 modules are not in the base model: lycoris_gone"), "{error}");
    assert!(error.contains("(--allow-unmatched "), "{error}");
    let (code, warning, largest) = files.merge(&["--allow-unmatched"]);
    assert_eq!((code, largest), (Some(0), 4.0));
    assert!(warning.ends_with("1 module left out, not in the base model: lycoris_gone\n"), "{warning}");
    // None at all is always an error.
    let files = Files::new(&gone);
    assert_eq!(files.merge(&["--allow-unmatched"]).0, Some(3));
}

#[test]
fn values_that_are_not_finite_are_told() {
    let nan = Tensor::from_array(&Array2::<f32>::from_elem((2, 5), f32::NAN), FloatType::F32);
    let files = Files::new(&[("lycoris_m.lokr_w1", nan), ("lycoris_m.lokr_w2", ones(3, 2))]);
    let (code, error, _) = files.merge(&[]);
    assert!(code == Some(3) && error.contains("--allow-non-finite"), "{error}");
    let (code, warning, _) = files.merge(&["--allow-non-finite"]);
    assert!(code == Some(0) && warning.starts_with("warning: m.weight: "), "{warning}");
}

/// `μ = 0` gives the base by the default formula and the direction alone by LyCORIS's.
#[test]
fn the_strength_of_dora_has_two_formulas() {
    let folder = Folder::new();
    let out = &folder.path("out.safetensors");
    let base = case("lycoris_linear_dora_out/base.safetensors");
    let adapter = case("lycoris_linear_dora_out/adapter.safetensors");
    let args = ["merge", "--base", &base, "--adapter", &adapter, "--out", out, "--multiplier", "0"];
    let bytes = |path: &str| TensorFile::open(path).unwrap().tensor("proj.weight").unwrap().bytes().to_vec();
    let text = succeeds(&args);
    assert!(text.contains("DoRA: W + μ·(V·g − W)"), "{text}");
    assert_eq!(bytes(out), bytes(&base));
    let text = succeeds(&[&args[..], &["--dora", "lycoris", "--force"]].concat());
    assert!(text.contains("DoRA: V·(1 + μ·(g − 1))"), "{text}");
    assert_ne!(bytes(out), bytes(&base));
}

#[test]
fn converting_sets_prefix_type_and_scale() {
    let files = Files::new(&adapter("lycoris_", 3.0));
    let (from, to) = (files.path("adapter.safetensors"), files.path("to.safetensors"));
    let args = ["convert", &from, "--to", "lycoris", "--out", &to, "--force"];
    let options = ["--to-prefix", "mine_", "--dtype", "bf16", "--scale", "2"];
    json(&[&args[..], &options].concat());
    let report = json(&["inspect", &to, "--prefix", "mine_"]);
    let module = &report["modules"][0];
    assert_eq!((&module["name"], &module["dtype"]), (&"mine_m".into(), &"BF16".into()));
    assert_eq!((&module["scale"], &module["alpha"]), (&2.0.into(), &2.0.into()));
    // The same adapter gives the same bytes.
    let first = std::fs::read(&to).unwrap();
    json(&[&args[..], &options].concat());
    assert_eq!(std::fs::read(&to).unwrap(), first);
}

/// Not a silent nothing.
#[test]
fn options_without_effect_are_refused() {
    let files = Files::new(&adapter("lycoris_", 3.0));
    let (from, base, to) = (files.path("adapter.safetensors"), files.path("base.safetensors"), files.path("to"));
    for (target, option, value) in [("lora", "--to-prefix", "x"), ("kohya", "--rank", "2")] {
        let args = ["convert", &from, "--base", &base, "--out", &to, "--to", target, option, value];
        assert_eq!(fails(&args, 2), format!("error: {option} has no effect on --to {target}\n"));
    }
}

#[test]
fn a_tolerance_is_a_number() {
    let base = case("lycoris_linear_dora_out/base.safetensors");
    let adapter = case("lycoris_linear_dora_out/adapter.safetensors");
    for tolerance in ["nan", "inf", "-1"] {
        let args = ["verify", "--base", &base, "--merged", &base, "--adapter", &adapter, "--tolerance", tolerance];
        fails(&args, 2);
    }
}

/// What stands beside LoKr, and a file of nothing else.
#[test]
fn other_algorithms_are_listed_merged_and_named() {
    let lora = [
        ("lycoris_m.lora_up.weight", ones(6, 2)),
        ("lycoris_m.lora_down.weight", ones(2, 10)),
        ("lycoris_m.alpha", number(3.0)),
    ];
    let files = Files::new(&lora);
    assert_eq!(files.merge(&[]), (Some(0), String::new(), 4.0));
    assert_eq!(files.merge(&["--multiplier", "0.5"]), (Some(0), String::new(), 2.5));
    assert_eq!(files.merge(&["--scale", "2"]), (Some(0), String::new(), 5.0));
    let (base, adapter) = (files.path("base.safetensors"), files.path("adapter.safetensors"));
    let text = succeeds(&["inspect", &adapter]);
    assert!(text.contains("LyCORIS dialect, LoRA\n") && !text.contains("w1"), "{text}");
    let row = "  LoRA       weight   6×2·2×10     2      3    1.5      32  F32    23.24\n";
    assert!(text.contains(row) && text.contains("this file, 1 module"), "{text}");
    let report = json(&["inspect", &adapter, "--base", &base]);
    let module = &report["others"][0];
    assert_eq!(report["modules"].as_array().unwrap().len(), 0);
    assert_eq!(
        (&module["target"], &module["algorithm"], &module["parameter"]),
        (&"m.weight".into(), &"LoRA".into(), &"weight".into())
    );
    assert_eq!(module["tensors"]["lora_up.weight"], serde_json::json!([6, 2]));
    assert!((module["relative_norm"].as_f64().unwrap() - 3.0).abs() < 1e-6, "{module}");

    let both = [&self::adapter("lycoris_", 3.0)[..], &[("lycoris_m.diff_b", ones(1, 6))]].concat();
    let files = Files::new(&both);
    let (code, error, _) = files.merge(&[]);
    assert!(code == Some(3) && error.contains("lycoris_m.diff_b: a change of the bias, but m has none"), "{error}");
}
