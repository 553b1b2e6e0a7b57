//! The recorded cases through the program.

use std::path::Path;

use lokr_checkpoint::TensorFile;
use serde_json::Value;

use crate::support::{Folder, Recorded, close, lokr, recorded_cases, stderr};

/// Every module of every recorded case is listed with its recorded shape and scale.
#[test]
fn inspect_every_recorded_case() {
    for Recorded { folder, adapter, peft, case } in recorded_cases() {
        let output = lokr(&["inspect", &adapter, "--json"]);
        assert_eq!(output.status.code(), Some(0), "{}: {}", folder.display(), stderr(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let modules = report["modules"].as_array().unwrap();
        let targets = case["targets"].as_array().unwrap();
        assert_eq!(modules.len(), targets.len(), "{}", folder.display());
        for target in targets {
            let name = if peft { &target["module"] } else { &target["key_prefix"] };
            let name = name.as_str().unwrap().trim_end_matches('.');
            let module = modules.iter().find(|module| module["name"] == name);
            let module = module.unwrap_or_else(|| panic!("{}: no {name}", folder.display()));
            // The one case whose file does not hold its scale.
            if !folder.ends_with("lycoris_linear_rs_lora_full_matrix") {
                close(&module["scale"], target["forward_scale"].as_f64().unwrap());
            }
            let shape: Vec<u64> =
                target["weight_shape"].as_array().unwrap().iter().map(|size| size.as_u64().unwrap()).collect();
            assert_eq!(module["weight"][0], shape[0], "{}", folder.display());
            assert_eq!(module["weight"][1], shape[1..].iter().product::<u64>(), "{}", folder.display());
        }
    }
}

/// Asserts that every adapted weight of `merged` is the recorded one, within the case's own tolerance.
fn assert_recorded(folder: &Path, case: &Value, kind: &str, merged: &str, recorded: &Path) {
    let tolerance = Some(&case["tolerance"][kind]).filter(|t| t.is_object()).unwrap_or(&case["tolerance"]["merged"]);
    let (atol, rtol) = (tolerance["atol"].as_f64().unwrap(), tolerance["rtol"].as_f64().unwrap());
    let (merged, recorded) = (TensorFile::open(merged).unwrap(), TensorFile::open(recorded).unwrap());
    for target in case["targets"].as_array().unwrap() {
        let name = format!("{}.weight", target["module"].as_str().unwrap());
        let values = |file: &TensorFile| file.tensor(&name).unwrap().to_array::<f64>(&name).unwrap();
        for (got, right) in values(&merged).iter().zip(&values(&recorded)) {
            let close = (got - right).abs() <= atol + rtol * right.abs();
            assert!(close, "{}: {name}: {got} instead of {right}", folder.display());
        }
    }
}

/// All 52 cases in their own types: what the forward pass of PEFT or LyCORIS uses, and what their merges write.
#[test]
fn every_recorded_case_merges() {
    let output = Folder::new();
    let out = output.path("out.safetensors");
    for Recorded { folder, adapter, peft, case } in recorded_cases() {
        let recorded = |name: &str| folder.join(format!("{name}.safetensors"));
        let merge = |scale: &str| {
            let multiplier = case["config"]["multiplier"].as_f64().unwrap_or(1.0).to_string();
            let base = recorded("base");
            let base = base.to_str().unwrap();
            let args = ["merge", "--base", base, "--adapter", &adapter, "--out", &out, "--force", "--quiet"];
            let result =
                lokr(&[&args[..], &["--multiplier", &multiplier, "--dora", "lycoris", "--scale", scale]].concat());
            assert_eq!(result.status.code(), Some(0), "{}: {}", folder.display(), stderr(&result));
        };
        // The one file that does not hold its scale, √7.
        let open = folder.ends_with("lycoris_linear_rs_lora_full_matrix");
        merge(if open { "2.6457513110645907" } else { "trained" });
        let either = |name: &str| Some(recorded(name)).filter(|path| path.exists()).unwrap_or(recorded("merged"));
        assert_recorded(&folder, &case, "effective", &out, &either("effective"));
        if !peft {
            merge(if open { "7" } else { "like-lycoris-merge" });
            assert_recorded(&folder, &case, "merged", &out, &either("merged_after_reload"));
        }
    }
}
