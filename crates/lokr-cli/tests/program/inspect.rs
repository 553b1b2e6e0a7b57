//! The built program, on the recorded files of `lokr-checkpoint`.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use crate::support::{bad, case, close, fails, fixtures, json, lokr, stderr, succeeds};
use lokr_checkpoint::{FloatType, Overwrite, Tensor, write_tensors};
use serde_json::Value;

#[test]
fn help_has_an_example_for_each_command() {
    assert!(succeeds(&["--help"]).contains("Exit codes:"));
    for command in
        ["inspect", "merge", "unmerge", "verify", "extract", "convert", "resize", "combine", "doctor", "completions"]
    {
        let help = succeeds(&["help", command]);
        assert!(help.contains("Example") && help.contains(&format!("  lokr {command}")), "{help}");
    }
}

#[test]
fn a_wrong_command_line_is_2() {
    for args in [&[][..], &["inspect"], &["inspect", "x", "--no-such-option"], &["no-such-command"]] {
        assert_eq!(lokr(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_missing_file_is_5() {
    let error = fails(&["inspect", "no/such/file.safetensors"], 5);
    assert!(error.starts_with("error: no/such/file.safetensors: "), "{error}");
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(succeeds(&["completions", shell]).contains("inspect"), "{shell}");
    }
}

#[test]
fn doctor_measures() {
    let report = json(&["doctor"]);
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    assert!(report["backend"].is_string());
    for rate in ["f32_gflops", "f64_gflops"] {
        assert!(report[rate].as_f64().unwrap() > 0.0, "{report}");
    }
}

/// Every module of every recorded case is listed with its recorded shape and scale.
#[test]
fn inspect_every_recorded_case() {
    let index = std::fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path());
    let mut cases = 0;
    for folder in index.filter(|path| path.join("case.json").is_file()) {
        let case: Value = serde_json::from_slice(&std::fs::read(folder.join("case.json")).unwrap()).unwrap();
        let peft = case["peer"] == "peft";
        let adapter = if peft { folder.clone() } else { folder.join("adapter.safetensors") };
        let output = lokr(&["inspect", adapter.to_str().unwrap(), "--json"]);
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
        cases += 1;
    }
    assert_eq!(cases, 52);
}

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
fn warnings_go_to_standard_error_or_into_the_json() {
    let adapter = case("peft_conv1d_full_w2");
    let output = lokr(&["inspect", &adapter]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).starts_with("warning: "), "{}", stderr(&output));
    let report = json(&["inspect", &adapter]);
    assert_eq!(report["warnings"].as_array().unwrap().len(), 1);
    assert_eq!(report["modules"][0]["spectral_norm"], Value::Null, "no Kronecker product");
}

#[test]
fn inspect_draws_and_does_not_overwrite() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("norms.svg");
    let picture = picture.to_str().unwrap();
    let adapter = case("kohya_unet/adapter.safetensors");
    succeeds(&["inspect", &adapter, "--plot", picture]);
    let svg = std::fs::read_to_string(picture).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("lora_unet_conv_in"));

    std::fs::write(picture, "mine").unwrap();
    fails(&["inspect", &adapter, "--plot", picture], 2);
    assert_eq!(std::fs::read_to_string(picture).unwrap(), "mine");
    succeeds(&["inspect", &adapter, "--plot", picture, "--force"]);
    assert_eq!(std::fs::read_to_string(picture).unwrap(), svg);

    let png = folder.path().join("norms.png");
    succeeds(&["inspect", &adapter, "--plot", png.to_str().unwrap()]);
    assert!(std::fs::read(png).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));

    // An ending of no known format is refused before the adapter is looked at.
    let other = folder.path().join("norms.jpg");
    let error = fails(&["inspect", "no/such/adapter", "--plot", other.to_str().unwrap()], 2);
    assert!(error.ends_with("expected a name that ends in .svg or .png\n"), "{error}");
    fails(&["inspect", &adapter, "--plot", "/no/such/folder/norms.svg"], 5);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left behind");
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
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("norms.svg");
    std::fs::write(&picture, "mine").unwrap();
    let picture = picture.to_str().unwrap();
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
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn nan_values_are_listed_where_allowed() {
    let report = json(&["inspect", &bad("nan_values.safetensors"), "--allow-non-finite"]);
    assert_eq!(report["modules"][0]["spectral_norm"], Value::Null);
}

#[test]
fn a_scale_that_is_not_in_the_file_is_not_invented() {
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("adapter_model.safetensors");
    std::fs::copy(case("peft_linear_lowrank_w2/adapter_model.safetensors"), &alone).unwrap();
    let alone = alone.to_str().unwrap();
    let report = json(&["inspect", alone, "--dialect", "peft"]);
    assert_eq!(report["modules"][0]["scale"], Value::Null);
    assert_eq!(report["modules"][0]["frobenius_norm"], Value::Null);
    let config = case("peft_linear_lowrank_w2/adapter_config.json");
    let report = json(&["inspect", alone, "--dialect", "peft", "--config", &config]);
    let whole = json(&["inspect", &case("peft_linear_lowrank_w2")]);
    close(&report["modules"][0]["scale"], whole["modules"][0]["scale"].as_f64().unwrap());
}

/// What is open is said with the option that settles it, but only where the command has that option.
#[test]
fn errors_name_the_option_that_helps() {
    let nan = bad("nan_values.safetensors");
    assert!(fails(&["inspect", &nan], 3).ends_with("1 values are NaN or infinite (--allow-non-finite reads it)\n"));
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("adapter_model.safetensors");
    std::fs::copy(case("peft_linear_lowrank_w2/adapter_model.safetensors"), &alone).unwrap();
    let (alone, base) = (alone.to_str().unwrap(), case("peft_linear_lowrank_w2/base.safetensors"));
    let out = folder.path().join("out.safetensors");
    let out = out.to_str().unwrap();
    let error = fails(&["merge", "--base", &base, "--adapter", alone, "--out", out], 3);
    assert!(error.contains("--config FILE"), "{error}");
    let lycoris = case("lycoris_linear_lowrank/adapter.safetensors");
    assert!(fails(&["convert", &lycoris, "--to", "peft", "--out", out], 3).contains("(--base MODEL)"));
    // `extract` compares models and has no option for their values.
    let args = ["extract", "--base", &base, "--tuned", &nan, "--out", out];
    assert!(!fails(&args, 3).contains("--"), "{}", fails(&args, 3));
}

/// Names come from files: they cannot colour the terminal or add lines to a table.
#[test]
fn control_characters_in_names_are_escaped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let factor = || Tensor::from_array(&ndarray::Array2::<f32>::eye(2), FloatType::F32);
    let tensors = ["lokr_w1", "lokr_w2"].map(|suffix| (format!("lycoris_a\u{1b}[31m\nb.{suffix}"), factor()));
    write_tensors(&path, &BTreeMap::from(tensors), &BTreeMap::new(), Overwrite::Refuse).unwrap();
    let text = succeeds(&["inspect", path.to_str().unwrap()]);
    assert!(text.contains(r"lycoris_a\u{1b}[31m\nb  linear"), "{text}");
}

/// Not every system lets such files be made.
#[cfg(target_os = "linux")]
#[test]
fn names_of_files_need_not_be_unicode() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(std::ffi::OsStr::from_bytes(b"a\xff.safetensors"));
    let lycoris = case("lycoris_linear_lowrank/adapter.safetensors");
    let run = |args: &[&std::ffi::OsStr]| Command::new(env!("CARGO_BIN_EXE_lokr")).args(args).output().unwrap();
    let output = run(&[
        "convert".as_ref(),
        lycoris.as_ref(),
        "--to=kohya".as_ref(),
        "--json".as_ref(),
        "--out".as_ref(),
        path.as_ref(),
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let output = run(&["inspect".as_ref(), path.as_ref(), "--json".as_ref()]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["path"].as_str().unwrap().ends_with("a\u{fffd}.safetensors"), "{report}");
}

/// An output that no job would read again, or that is no file.
#[test]
fn outputs_that_make_no_sense_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let adapter = case("lycoris_linear_lowrank/adapter.safetensors");
    let base = case("lycoris_linear_lowrank/base.safetensors");
    for ending in ["bin", "pt", "CKPT"] {
        let out = folder.path().join(format!("out.{ending}"));
        let out = out.to_str().unwrap();
        assert!(fails(&["convert", &adapter, "--to", "kohya", "--out", out], 2).contains(".safetensors"));
        fails(&["merge", "--base", &base, "--adapter", &adapter, "--out", out], 2);
    }
    #[cfg(unix)]
    {
        let path = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let out = path.to_str().unwrap();
        fails(&["convert", &adapter, "--to", "kohya", "--out", out, "--force"], 2);
        fails(&["merge", "--base", &base, "--adapter", &adapter, "--out", out, "--force"], 2);
        fails(&["inspect", out], 3);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

/// What cannot be printed is an error of the system, not silence.
#[cfg(target_os = "linux")]
#[test]
fn a_full_output_is_5() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let adapter = case("lycoris_linear_lowrank/adapter.safetensors");
    let output = Command::new(env!("CARGO_BIN_EXE_lokr")).args(["inspect", &adapter]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(stderr(&output).starts_with("error: cannot print: "), "{}", stderr(&output));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lokr"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}
