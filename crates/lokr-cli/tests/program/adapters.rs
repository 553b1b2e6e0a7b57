//! `lokr extract`, `lokr convert`, `lokr resize` and `lokr combine`.

use std::path::Path;

use crate::support::{Folder, MLP, bad, bad_adapters, case, fails, json, lokr, mlp, stderr, succeeds};

/// Whether base and adapter make the merge that PEFT recorded.
fn makes_the_recorded_merge(adapter: &str) -> bool {
    let (base, merged) = (mlp("base.safetensors"), mlp("merged.safetensors"));
    let args = ["verify", "--base", &base, "--merged", &merged, "--adapter", adapter, "--tolerance", "16"];
    lokr(&args).status.code() == Some(0)
}

#[test]
fn convert_there_and_back_means_the_same() {
    let folder = Folder::new();
    let (lycoris, peft) = (folder.path("a.safetensors"), folder.path("peft"));
    let report = json(&["convert", &case(MLP), "--to", "lycoris", "--out", &lycoris]);
    assert_eq!((&report["from"], &report["to"]), (&"PEFT".into(), &"LyCORIS".into()));
    assert!(makes_the_recorded_merge(&lycoris));
    // Underscores cannot be undone without the model's names.
    fails(&["convert", &lycoris, "--to", "peft", "--out", &peft], 3);
    succeeds(&["convert", &lycoris, "--to", "peft", "--base", &mlp("base.safetensors"), "--out", &peft]);
    assert!(makes_the_recorded_merge(&peft));
    assert_eq!(folder.count(), 2, "nothing else is left");
}

#[test]
fn convert_to_lora_captures_everything_or_what_the_rank_allows() {
    let folder = Folder::new();
    let report = json(&["convert", &case(MLP), "--to", "lora", "--out", &folder.path("exact")]);
    assert!((report["lora"]["energy"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{report}");
    let report = json(&["convert", &case(MLP), "--to", "lora", "--rank", "1", "--out", &folder.path("best")]);
    let energy = report["lora"]["energy"].as_f64().unwrap();
    assert!(energy > 0.0 && energy < 1.0, "{energy}");
    assert!(Path::new(&folder.path("best/adapter_config.json")).is_file());
}

#[test]
fn extract_finds_the_merged_adapter() {
    let folder = Folder::new();
    let out = &folder.path("found");
    let (base, tuned) = (mlp("base.safetensors"), mlp("merged.safetensors"));
    let report = json(&["extract", "--base", &base, "--tuned", &tuned, "--out", out]);
    assert_eq!(report["modules"].as_array().unwrap().len(), 3);
    assert!(report["energy"].as_f64().unwrap() > 0.0);
    fails(&["extract", "--base", &base, "--tuned", &base, "--out", out, "--force"], 3);
    fails(&["extract", "--base", &base, "--tuned", &tuned, "--out", out], 2);
    assert_eq!(json(&["inspect", out])["modules"].as_array().unwrap().len(), 3);
}

#[test]
fn extract_several_terms_into_a_file_that_says_so() {
    let folder = Folder::new();
    let (out, merged) = (folder.path("sums.safetensors"), folder.path("merged.safetensors"));
    // Two models that differ by more than one product.
    let (base, tuned) = (mlp("base.safetensors"), folder.path("tuned.safetensors"));
    succeeds(&["merge", "--base", &base, "--adapter", &case(MLP), "--out", &tuned]);
    let args = ["extract", "--base", &base, "--tuned", &tuned, "--out", &out, "--factor", "2"];
    let error = fails(&[&args[..], &["--terms", "3"]].concat(), 2);
    assert!(error.contains("--to terms"), "{error}");
    let one = json(&[&args[..], &["--to", "terms"]].concat());
    let all = json(&[&args[..], &["--to", "terms", "--terms", "4", "--force"]].concat());
    assert!(one["energy"].as_f64().unwrap() < 0.9, "{one}");
    assert!((all["energy"].as_f64().unwrap() - 1.0).abs() < 1e-6, "2 × 2 blocks have four terms: {all}");
    assert!(makes_the_recorded_merge(&out));
    let inspected = json(&["inspect", &out, "--base", &base]);
    assert_eq!((&inspected["dialect"], inspected["modules"].as_array().unwrap().len()), (&"terms".into(), 12));
    let weights = 40 * 28 + 54 * 40 + 10 * 54;
    assert_eq!(inspected["totals"]["full_weights"]["parameters"], weights, "each weight once");
    succeeds(&["merge", "--base", &base, "--adapter", &out, "--out", &merged]);
    succeeds(&["verify", "--base", &base, "--adapter", &out, "--merged", &merged]);
    let error = fails(&["convert", &out, "--to", "peft", "--out", &folder.path("peft")], 3);
    assert!(error.contains("several Kronecker products"), "{error}");
}

#[test]
fn combine_parts_of_one_adapter_into_it() {
    let folder = Folder::new();
    let (out, adapter) = (folder.path("sum"), case(MLP));
    let args = ["combine", "--out", &out, "--adapter", &adapter, "--weight", "1.5", "--adapter", &adapter];
    fails(&args, 2);
    let report = json(&[&args[..], &["--weight", "-0.5"]].concat());
    assert!((report["energy"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{report}");
    assert!(makes_the_recorded_merge(&out));
    let unet = case("kohya_unet/adapter.safetensors");
    let error = fails(&["combine", "--out", &out, "--force", "--adapter", &adapter, "--adapter", &unet], 3);
    assert!(error.contains("PEFT") && error.contains("kohya"), "{error}");
    assert!(makes_the_recorded_merge(&out));
    assert_eq!(succeeds(&["combine", "--out", &out, "--force", "--quiet", "--adapter", &adapter]), "");
    assert_eq!(folder.count(), 1, "nothing else is left");
}

/// Whether an adapter makes the same weights as another one.
fn means_the_same(base: &str, adapter: &str, as_this: &str) -> bool {
    let folder = Folder::new();
    let merged = &folder.path("merged.safetensors");
    let merge = ["merge", "--base", base, "--adapter", as_this, "--out", merged, "--quiet"];
    assert_eq!(lokr(&merge).status.code(), Some(0));
    let verify = ["verify", "--base", base, "--merged", merged, "--adapter", adapter, "--tolerance", "16"];
    lokr(&verify).status.code() == Some(0)
}

#[test]
fn combine_files_of_other_dialects_with_convolutions() {
    let folder = Folder::new();
    let out = &folder.path("sum.safetensors");
    for name in ["kohya_unet", "lycoris_mlp_wrapper"] {
        let (base, adapter) = (case(&format!("{name}/base.safetensors")), case(&format!("{name}/adapter.safetensors")));
        let args =
            ["combine", "--out", out, "--force", "--adapter", &adapter, "--weight", "0.25", "--adapter", &adapter];
        let report = json(&[&args[..], &["--weight", "0.75"]].concat());
        assert!((report["energy"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{report}");
        assert!(means_the_same(&base, out, &adapter), "{name}");
    }
}

#[test]
fn resize_keeps_what_it_says() {
    let folder = Folder::new();
    let (out, adapter, base) = (folder.path("small"), case(MLP), mlp("base.safetensors"));
    let report = json(&["resize", &adapter, "--rank", "1", "--out", &out]);
    let energy = report["energy"].as_f64().unwrap();
    assert!(energy > 0.0 && energy < 1.0, "{report}");
    assert!(report["parameters"].as_u64() < report["parameters_before"].as_u64());
    let modules = json(&["inspect", &out, "--base", &base])["modules"].as_array().unwrap().clone();
    assert!(modules.iter().all(|module| module["rank"] == 1), "{modules:?}");
    assert!(!means_the_same(&base, &out, &adapter));
    fails(&["resize", &adapter, "--rank", "1", "--out", &out], 2);
    fails(&["resize", &adapter, "--rank", "0", "--out", &out, "--force"], 2);
    for usage in [&["--factor", "4"][..], &[], &["--rank", "1", "--energy", "0.5"]] {
        let output = lokr(&[&["resize", &adapter, "--out", &folder.path("none")], usage].concat());
        assert_eq!(output.status.code(), Some(2), "{usage:?}");
    }
    // All the energy is kept where nothing is taken away; the configuration still makes PEFT build these factors.
    let report = json(&["resize", &adapter, "--energy", "1", "--out", &out, "--force"]);
    assert!((report["energy"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{report}");
    assert!(makes_the_recorded_merge(&out));
    assert_eq!(folder.count(), 1, "nothing else is left");
}

#[test]
fn resize_splits_convolutions_otherwise() {
    let folder = Folder::new();
    let out = &folder.path("split.safetensors");
    let (base, adapter) = (case("kohya_unet/base.safetensors"), case("kohya_unet/adapter.safetensors"));
    let report = json(&["resize", &adapter, "--base", &base, "--factor", "2", "--out", out]);
    let lines = report["modules"].as_array().unwrap();
    assert!(lines.iter().all(|line| line["w1"][1][0].as_u64().unwrap() <= 2), "{report}");
    // The kernels are where the base has them, or this would not fit.
    let inspected = json(&["inspect", out, "--base", &base]);
    assert_eq!(inspected["dialect"], "kohya");
    for (line, module) in lines.iter().zip(inspected["modules"].as_array().unwrap()) {
        let kept = module["frobenius_norm"].as_f64().unwrap() / line["norm"].as_f64().unwrap();
        assert!((kept.powi(2) - line["energy"].as_f64().unwrap()).abs() < 1e-5, "{line} {module}");
    }
}

#[test]
fn bad_files_change_nothing() {
    let folder = Folder::new();
    let (base, out) = (bad("base.safetensors"), folder.path("out.safetensors"));
    std::fs::write(&out, "mine").unwrap();
    for name in bad_adapters() {
        let args = ["convert", &bad(&name), "--to", "dotted", "--base", &base, "--out", &out];
        fails(&args, 2);
        let error = fails(&[&args[..], &["--force"]].concat(), 3);
        assert!(error.contains(&name), "{error}");
    }
    assert_eq!(std::fs::read(&out).unwrap(), b"mine");
    assert_eq!(folder.count(), 1);
}

/// Splits that no one factor of PEFT makes are not chosen for PEFT.
#[test]
fn extract_a_share_of_the_energy_for_peft() {
    let folder = Folder::new();
    let (base, tuned) = (case("kohya_unet/base.safetensors"), case("kohya_unet/merged.safetensors"));
    let args = ["extract", "--base", &base, "--tuned", &tuned, "--energy", "0.5", "--out", &folder.path("adapter")];
    succeeds(&args);
    let report = json(&["inspect", &folder.path("adapter"), "--base", &base]);
    assert_eq!(report["dialect"], "PEFT");
    // Where it would go is looked at before anything is computed.
    let error = fails(&["extract", "--base", &base, "--tuned", &tuned, "--out", &folder.path("none/a")], 5);
    assert!(error.contains("none"), "{error}");
    let error = fails(
        &["extract", "--base", &base, "--tuned", &tuned, "--to", "kohya", "--out", &folder.path("adapter"), "--force"],
        2,
    );
    assert!(error.contains("a directory is in the way of a file"), "{error}");
    let output = lokr(&["extract", "--base", &base, "--tuned", &tuned, "--rank", "-1", "--out", &folder.path("x")]);
    let negative = stderr(&output);
    assert!(output.status.code() == Some(2) && negative.contains("invalid value '-1'"), "{negative}");
}

#[test]
fn one_weight_is_asked_for_each_adapter() {
    let adapter = case("peft_mlp_rank_alpha_pattern");
    let error =
        fails(&["combine", "--adapter", &adapter, "--adapter", &adapter, "--weight", "1", "--out", "/nowhere"], 2);
    assert!(error.contains("1 weight for 2 adapters"), "{error}");
}
