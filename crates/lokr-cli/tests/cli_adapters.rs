//! `lokr extract` and `lokr convert`.

mod support;

use support::{bad, case, fails, json, lokr, succeeds};

const MLP: &str = "peft_mlp_rank_alpha_pattern";

fn mlp(file: &str) -> String {
    case(&format!("{MLP}/{file}"))
}

/// Whether base and adapter make the merge that PEFT recorded.
fn makes_the_recorded_merge(adapter: &str) -> bool {
    let (base, merged) = (mlp("base.safetensors"), mlp("merged.safetensors"));
    let args = ["verify", "--base", &base, "--merged", &merged, "--adapter", adapter, "--tolerance", "16"];
    lokr(&args).status.code() == Some(0)
}

#[test]
fn convert_there_and_back_means_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (lycoris, peft) = (path("a.safetensors"), path("peft"));
    let report = json(&["convert", &case(MLP), "--to", "lycoris", "--out", &lycoris]);
    assert_eq!((&report["from"], &report["to"]), (&"PEFT".into(), &"LyCORIS".into()));
    assert!(makes_the_recorded_merge(&lycoris));
    // Underscores cannot be undone without the model's names.
    fails(&["convert", &lycoris, "--to", "peft", "--out", &peft], 3);
    succeeds(&["convert", &lycoris, "--to", "peft", "--base", &mlp("base.safetensors"), "--out", &peft]);
    assert!(makes_the_recorded_merge(&peft));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left");
}

#[test]
fn convert_to_lora_captures_everything_or_what_the_rank_allows() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let report = json(&["convert", &case(MLP), "--to", "lora", "--out", &path("exact")]);
    assert!((report["lora"]["energy"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{report}");
    let report = json(&["convert", &case(MLP), "--to", "lora", "--rank", "1", "--out", &path("best")]);
    let energy = report["lora"]["energy"].as_f64().unwrap();
    assert!(energy > 0.0 && energy < 1.0, "{energy}");
    assert!(folder.path().join("best/adapter_config.json").is_file());
}

#[test]
fn extract_finds_the_merged_adapter() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("found");
    let out = out.to_str().unwrap();
    let (base, tuned) = (mlp("base.safetensors"), mlp("merged.safetensors"));
    let report = json(&["extract", "--base", &base, "--tuned", &tuned, "--out", out]);
    assert_eq!(report["modules"].as_array().unwrap().len(), 3);
    assert!(report["energy"].as_f64().unwrap() > 0.0);
    fails(&["extract", "--base", &base, "--tuned", &base, "--out", out, "--force"], 3);
    fails(&["extract", "--base", &base, "--tuned", &tuned, "--out", out], 2);
    assert_eq!(json(&["inspect", out])["modules"].as_array().unwrap().len(), 3);
}

#[test]
fn combine_parts_of_one_adapter_into_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("sum");
    let out = out.to_str().unwrap();
    let adapter = case(MLP);
    let args = ["combine", "--out", out, "--adapter", &adapter, "--weight", "1.5", "--adapter", &adapter];
    fails(&args, 2);
    let report = json(&[&args[..], &["--weight", "-0.5"]].concat());
    assert!((report["energy"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{report}");
    assert!(makes_the_recorded_merge(out));
    fails(&["combine", "--out", out, "--force", "--adapter", &case("kohya_unet/adapter.safetensors")], 3);
    assert!(makes_the_recorded_merge(out));
}

#[test]
fn bad_files_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    std::fs::write(&out, "mine").unwrap();
    let (base, out_name) = (bad("base.safetensors"), out.to_str().unwrap());
    for entry in std::fs::read_dir(bad("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == "README.md" || name == "base.safetensors" || name.contains("control_good") {
            continue;
        }
        let args = ["convert", &bad(&name), "--to", "dotted", "--base", &base, "--out", out_name];
        fails(&args, 2);
        let error = fails(&[&args[..], &["--force"]].concat(), 3);
        assert!(error.contains(&name), "{error}");
    }
    assert_eq!(std::fs::read(&out).unwrap(), b"mine");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
