//! Runs the built program, on recorded files and in folders of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The recorded adapter of PEFT that most tests take, a directory.
pub(crate) const MLP: &str = "peft_mlp_rank_alpha_pattern";

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../lokr-checkpoint/tests/data/fixtures")
}

pub(crate) fn case(path: &str) -> String {
    text(&fixtures().join(path))
}

/// A file of the case [`MLP`].
pub(crate) fn mlp(file: &str) -> String {
    case(&format!("{MLP}/{file}"))
}

pub(crate) fn bad(name: &str) -> String {
    case(&format!("bad/{name}"))
}

/// The names of all bad adapters; some are so only beside `base.safetensors`.
pub(crate) fn bad_adapters() -> Vec<String> {
    let names = entries(&fixtures().join("bad")).into_iter();
    let adapters: Vec<_> = names
        .filter(|name| name != "README.md" && name != "base.safetensors" && !name.contains("control_good"))
        .collect();
    assert_eq!(adapters.len(), 23);
    adapters
}

/// An adapter that PEFT or LyCORIS wrote, beside a base model and what they merged.
pub(crate) struct Recorded {
    pub(crate) folder: PathBuf,
    pub(crate) adapter: String,
    /// By PEFT, else by LyCORIS.
    pub(crate) peft: bool,
    /// What its `case.json` tells.
    pub(crate) case: Value,
}

/// All of them.
pub(crate) fn recorded_cases() -> Vec<Recorded> {
    let folders = std::fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path());
    let folders = folders.filter(|path| path.join("case.json").is_file());
    let cases: Vec<_> = folders
        .map(|folder| {
            let case: Value = serde_json::from_slice(&std::fs::read(folder.join("case.json")).unwrap()).unwrap();
            let peft = case["peer"] == "peft";
            let adapter = if peft { folder.clone() } else { folder.join("adapter.safetensors") };
            Recorded { adapter: text(&adapter), folder, peft, case }
        })
        .collect();
    assert_eq!(cases.len(), 52);
    cases
}

/// A temporary folder.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    /// The path of something in it, as an argument of the program.
    pub(crate) fn path(&self, name: &str) -> String {
        text(&self.root().join(name))
    }

    /// How many files and folders are in it.
    pub(crate) fn count(&self) -> usize {
        entries(self.root()).len()
    }
}

/// The names of what is in a folder, sorted.
pub(crate) fn entries(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_lokr"))
}

pub(crate) fn lokr(args: &[&str]) -> Output {
    program().args(args).output().unwrap()
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
