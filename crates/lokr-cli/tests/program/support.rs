//! Runs the built program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../lokr-checkpoint/tests/data/fixtures")
}

pub(crate) fn bad(name: &str) -> String {
    fixtures().join("bad").join(name).to_str().unwrap().to_owned()
}

pub(crate) fn case(path: &str) -> String {
    fixtures().join(path).to_str().unwrap().to_owned()
}

pub(crate) fn lokr(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lokr")).args(args).output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What it prints, where it succeeds without a word on standard error.
pub(crate) fn succeeds(args: &[&str]) -> String {
    let output = lokr(args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
    assert_eq!(stderr(&output), "", "{args:?}");
    stdout(&output)
}

pub(crate) fn json(args: &[&str]) -> Value {
    let text = succeeds(&[args, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}\n{text}"))
}

/// The one line on standard error, where it fails with that exit code and prints nothing else.
pub(crate) fn fails(args: &[&str], code: i32) -> String {
    let output = lokr(args);
    let error = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
    assert_eq!(stdout(&output), "", "{args:?}");
    assert!(error.starts_with("error: ") && error.lines().count() == 1, "{args:?}: {error}");
    assert!(!error.contains("panicked"), "{error}");
    error
}

pub(crate) fn close(value: &Value, expected: f64) {
    let value = value.as_f64().unwrap();
    assert!((value - expected).abs() <= 1e-6 * expected.abs(), "{value} instead of {expected}");
}
