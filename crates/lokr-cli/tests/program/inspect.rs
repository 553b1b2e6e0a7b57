//! `lokr inspect`.

use serde_json::Value;

use crate::support::{Folder, bad, case, close, fails, fixtures, json, succeeds};

/// The norms against those of the dense change, which the recorded weights give: PEFT's merged less base.
#[test]
fn inspect_norms_are_those_of_the_change() {
    let folder = fixtures().join("peft_linear_lowrank_w2");
    let weight = |name: &str| {
        let file = lokr_checkpoint::TensorFile::open(folder.join(name)).unwrap();
        let name = file.names().find(|name| name.ends_with("weight")).unwrap().to_owned();
        file.tensor(&name).unwrap().to_array::<f64>(&name).unwrap()
    };
    let (base, merged) = (weight("base.safetensors"), weight("merged.safetensors"));
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let change = norm(&mut merged.iter().zip(&base).map(|(merged, base)| merged - base));
    let adapter = folder.to_str().unwrap();
    let report = json(&["inspect", adapter, "--base", folder.join("base.safetensors").to_str().unwrap()]);
    let module = &report["modules"][0];
    let relative = |value: &Value, expected: f64| {
        assert!((value.as_f64().unwrap() / expected - 1.0).abs() < 1e-5, "{value} instead of {expected}");
    };
    relative(&module["frobenius_norm"], change);
    relative(&module["relative_norm"], change / norm(&mut base.iter().copied()));
    let spectral = module["spectral_norm"].as_f64().unwrap();
    assert!(spectral > 0.0 && spectral <= change);
    assert_eq!(report["totals"]["full_weights"]["parameters"], base.len());
}

/// PEFT keeps `alpha` in its configuration, with patterns.
#[test]
fn inspect_tells_the_alpha_of_a_configuration() {
    let report = json(&["inspect", &case("peft_mlp_rank_alpha_pattern")]);
    for module in report["modules"].as_array().unwrap() {
        let (alpha, rank) = (module["alpha"].as_f64().unwrap(), module["rank"].as_f64().unwrap());
        assert_eq!(module["scale"].as_f64().unwrap(), alpha / rank, "{module}");
    }
}

#[test]
fn inspect_prints_a_table() {
    let text = succeeds(&["inspect", &case("kohya_unet/adapter.safetensors")]);
    assert!(text.contains("kohya dialect") && text.contains("lora_unet_conv_in"), "{text}");
    assert!(text.contains("2×2×3×3·2×4·2×5"), "the Tucker factor's tensors: {text}");
    assert!(text.contains("this file, 11 modules"), "{text}");
    assert_eq!(text, succeeds(&["--quiet", "inspect", &case("kohya_unet/adapter.safetensors")]));
}

#[test]
fn inspect_draws_and_does_not_overwrite() {
    let folder = Folder::new();
    let picture = &folder.path("norms.svg");
    let adapter = case("kohya_unet/adapter.safetensors");
    succeeds(&["inspect", &adapter, "--plot", picture]);
    let svg = std::fs::read_to_string(picture).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("lora_unet_conv_in"));

    std::fs::write(picture, "mine").unwrap();
    fails(&["inspect", &adapter, "--plot", picture], 2);
    assert_eq!(std::fs::read_to_string(picture).unwrap(), "mine");
    succeeds(&["inspect", &adapter, "--plot", picture, "--force"]);
    assert_eq!(std::fs::read_to_string(picture).unwrap(), svg);

    let png = folder.path("norms.png");
    succeeds(&["inspect", &adapter, "--plot", &png]);
    assert!(std::fs::read(png).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));

    // An ending of no known format is refused before the adapter is looked at.
    let error = fails(&["inspect", "no/such/adapter", "--plot", &folder.path("norms.jpg")], 2);
    assert!(error.ends_with("expected a name that ends in .svg or .png\n"), "{error}");
    fails(&["inspect", &adapter, "--plot", "/no/such/folder/norms.svg"], 5);
    assert_eq!(folder.count(), 2, "nothing is left behind");
}

/// Every file of `bad/` but the controls and the two that only a base model shows to be wrong.
const BAD: [&str; 19] = [
    "truncated.safetensors",
    "truncated_header.safetensors",
    "missing_w2_b.safetensors",
    "rank_mismatch.safetensors",
    "nan_values.safetensors",
    "inf_alpha.safetensors",
    "int8_dtype.safetensors",
    "header_len_huge.safetensors",
    "header_not_json.safetensors",
    "duplicate_keys.safetensors",
    "empty.safetensors",
    "overlapping_offsets.safetensors",
    "size_mismatch.safetensors",
    "negative_offsets.safetensors",
    "both_w1_and_w1_a.safetensors",
    "zero_sized_factor.safetensors",
    "peft_config_corrupt",
    "peft_config_r_zero",
    "peft_config_wrong_type",
];

const BAD_WITH_BASE: [&str; 3] =
    ["shape_mismatch_base.safetensors", "ambiguous_module.safetensors", "unknown_module.safetensors"];

#[test]
fn every_bad_file_is_refused_by_name_and_nothing_is_written() {
    let base = bad("base.safetensors");
    let folder = Folder::new();
    let picture = &folder.path("norms.svg");
    std::fs::write(picture, "mine").unwrap();
    let plot = ["--plot", picture, "--force"];
    for name in BAD.iter().chain(&["peft_config_r_string"]) {
        let error = fails(&[&["inspect", &bad(name)][..], &plot].concat(), 3);
        assert!(error.contains(name), "{error}");
        fails(&["inspect", &bad(name), "--json"], 3);
    }
    for name in BAD_WITH_BASE {
        let error = fails(&[&["inspect", &bad(name), "--base", &base][..], &plot].concat(), 3);
        assert!(error.contains(name), "{error}");
    }
    let listed = std::fs::read_dir(fixtures().join("bad")).unwrap().count();
    assert_eq!(listed, BAD.len() + 1 + BAD_WITH_BASE.len() + 4, "two controls, the base model and the README");
    for name in ["control_good.safetensors", "peft_control_good"] {
        succeeds(&["inspect", &bad(name), "--base", &base]);
    }
    assert_eq!(std::fs::read_to_string(picture).unwrap(), "mine");
    assert_eq!(folder.count(), 1);
}

#[test]
fn nan_values_are_listed_where_allowed() {
    let report = json(&["inspect", &bad("nan_values.safetensors"), "--allow-non-finite"]);
    assert_eq!(report["modules"][0]["spectral_norm"], Value::Null);
}

#[test]
fn a_scale_that_is_not_in_the_file_is_not_invented() {
    let folder = Folder::new();
    let alone = &folder.path("adapter_model.safetensors");
    std::fs::copy(case("peft_linear_lowrank_w2/adapter_model.safetensors"), alone).unwrap();
    let report = json(&["inspect", alone, "--dialect", "peft"]);
    assert_eq!(report["modules"][0]["scale"], Value::Null);
    assert_eq!(report["modules"][0]["frobenius_norm"], Value::Null);
    let config = case("peft_linear_lowrank_w2/adapter_config.json");
    let report = json(&["inspect", alone, "--dialect", "peft", "--config", &config]);
    let whole = json(&["inspect", &case("peft_linear_lowrank_w2")]);
    close(&report["modules"][0]["scale"], whole["modules"][0]["scale"].as_f64().unwrap());
}
