//! What holds for every command: help, exit codes, what is printed where, and outputs that are refused.

use std::collections::BTreeMap;
use std::process::Stdio;

use lokr_checkpoint::{FloatType, Overwrite, Tensor, write_tensors};
use serde_json::Value;

use crate::support::{Folder, bad, case, fails, json, lokr, program, stderr, succeeds};

#[test]
fn help_has_an_example_for_each_command() {
    assert!(succeeds(&["--help"]).contains("Exit codes:"));
    for command in [
        "inspect",
        "check",
        "merge",
        "unmerge",
        "verify",
        "extract",
        "convert",
        "resize",
        "combine",
        "doctor",
        "completions",
    ] {
        let help = succeeds(&["help", command]);
        assert!(help.contains("Example") && help.contains(&format!("  lokr {command}")), "{help}");
        for help in [help, succeeds(&[command, "-h"])] {
            assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
        }
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

/// What is open is said with the option that settles it, but only where the command has that option.
#[test]
fn errors_name_the_option_that_helps() {
    let nan = bad("nan_values.safetensors");
    assert!(fails(&["inspect", &nan], 3).ends_with("1 value is NaN or infinite (--allow-non-finite reads it)\n"));
    let folder = Folder::new();
    let alone = &folder.path("adapter_model.safetensors");
    std::fs::copy(case("peft_linear_lowrank_w2/adapter_model.safetensors"), alone).unwrap();
    let base = case("peft_linear_lowrank_w2/base.safetensors");
    let out = &folder.path("out.safetensors");
    let error = fails(&["merge", "--base", &base, "--adapter", alone, "--out", out], 3);
    assert!(error.contains("--config FILE"), "{error}");
    let lycoris = case("lycoris_linear_lowrank/adapter.safetensors");
    let directory = &folder.path("directory");
    assert!(fails(&["convert", &lycoris, "--to", "peft", "--out", directory], 3).contains("(--base MODEL)"));
    // `extract` compares models and has no option for their values.
    let args = ["extract", "--base", &base, "--tuned", &nan, "--out", directory];
    assert!(!fails(&args, 3).contains("--"), "{}", fails(&args, 3));
}

/// Names come from files: they cannot colour the terminal or add lines to a table.
#[test]
fn control_characters_in_names_are_escaped() {
    let folder = Folder::new();
    let path = folder.path("a.safetensors");
    let factor = || Tensor::from_array(&ndarray::Array2::<f32>::eye(2), FloatType::F32);
    let tensors = ["lokr_w1", "lokr_w2"].map(|suffix| (format!("lycoris_a\u{1b}[31m\nb.{suffix}"), factor()));
    write_tensors(&path, &BTreeMap::from(tensors), &BTreeMap::new(), Overwrite::Refuse).unwrap();
    let text = succeeds(&["inspect", &path]);
    assert!(text.lines().any(|line| line.trim_end().starts_with(r"lycoris_a\u{1b}[31m\nb")), "{text}");
}

/// Not every system lets such files be made.
#[cfg(target_os = "linux")]
#[test]
fn names_of_files_need_not_be_unicode() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new();
    let path = folder.root().join(std::ffi::OsStr::from_bytes(b"a\xff.safetensors"));
    let lycoris = case("lycoris_linear_lowrank/adapter.safetensors");
    let run = |args: &[&std::ffi::OsStr]| program().args(args).output().unwrap();
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
    let folder = Folder::new();
    let adapter = case("lycoris_linear_lowrank/adapter.safetensors");
    let base = case("lycoris_linear_lowrank/base.safetensors");
    for ending in ["bin", "pt", "CKPT"] {
        let out = &folder.path(&format!("out.{ending}"));
        assert!(fails(&["convert", &adapter, "--to", "kohya", "--out", out], 2).contains(".safetensors"));
        fails(&["merge", "--base", &base, "--adapter", &adapter, "--out", out], 2);
    }
    #[cfg(unix)]
    {
        let out = &folder.path("socket");
        let _listener = std::os::unix::net::UnixListener::bind(out).unwrap();
        fails(&["convert", &adapter, "--to", "kohya", "--out", out, "--force"], 2);
        fails(&["merge", "--base", &base, "--adapter", &adapter, "--out", out, "--force"], 2);
        fails(&["inspect", out], 3);
        assert_eq!(folder.count(), 1);
    }
}

/// What cannot be printed is an error of the system, not silence.
#[cfg(target_os = "linux")]
#[test]
fn a_full_output_is_5() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let adapter = case("lycoris_linear_lowrank/adapter.safetensors");
    let output = program().args(["inspect", &adapter]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(stderr(&output).starts_with("error: cannot print: "), "{}", stderr(&output));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child =
        program().args(["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}
