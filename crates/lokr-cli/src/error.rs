//! What can go wrong, and the exit code of each.

use std::error::Error;
use std::path::PathBuf;

use lokr_checkpoint::{CheckpointError, ConfigError, Dialect, JobError, ModuleError, NameError, OutputError};
use thiserror::Error;

use crate::text::counted;

const USAGE: u8 = 2;
const BAD_INPUT: u8 = 3;
const MISMATCH: u8 = 4;
const INPUT_OUTPUT: u8 = 5;
/// What shells report of a program that an interrupt ends.
pub(crate) const INTERRUPTED: u8 = 130;

#[derive(Debug, Error)]
pub(crate) enum CliError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("{}: exists; --force overwrites it", path.display())]
    Exists { path: PathBuf },
    #[error("{}: expected a name that ends in {expected}", path.display())]
    Extension { path: PathBuf, expected: &'static str },
    #[error("{}: this writes a directory, and the name is that of a file; {one_file}", path.display())]
    DirectoryName { path: PathBuf, one_file: &'static str },
    #[error("{} for {}; give none, or one for each", counted(*given, what), counted(*adapters, "adapter"))]
    OneForEach { what: &'static str, adapters: usize, given: usize },
    #[error(
        "{terms} terms per module are no LoKr and need --to terms, a file that only lokr reads; {dialect} holds one"
    )]
    Terms { terms: usize, dialect: Dialect },
    #[error("{option} has no effect on --to {to}")]
    NoEffect { option: &'static str, to: String },
    #[error("{}: {}", path.display(), differences(*wrong, *others))]
    Mismatch { path: PathBuf, wrong: usize, others: usize },
    #[error("{}: not read as it is by {}", path.display(), programs.join(", "))]
    NotRead { path: PathBuf, programs: Vec<String> },
    #[error("cannot catch interrupts")]
    Signal(#[source] ctrlc::Error),
    #[error("{}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("cannot draw the picture")]
    Plot { source: Box<dyn Error + Send + Sync> },
    #[error("cannot print")]
    Print(#[source] std::io::Error),
}

impl CliError {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Checkpoint(error) => match error.cause() {
                CheckpointError::Io(_) | CheckpointError::Output(OutputError::DiskSpace { .. }) => INPUT_OUTPUT,
                CheckpointError::Output(_)
                | CheckpointError::Job(JobError::Option { .. } | JobError::Pattern { .. }) => USAGE,
                CheckpointError::Job(JobError::Interrupted) => INTERRUPTED,
                _ => BAD_INPUT,
            },
            Self::Exists { .. }
            | Self::Extension { .. }
            | Self::DirectoryName { .. }
            | Self::OneForEach { .. }
            | Self::NoEffect { .. }
            | Self::Terms { .. } => USAGE,
            Self::Mismatch { .. } | Self::NotRead { .. } => MISMATCH,
            Self::Write { .. } | Self::Plot { .. } | Self::Print(_) | Self::Signal(_) => INPUT_OUTPUT,
        }
    }
}

/// The options that say what is open, or go on all the same, and how to use them; with what would be lost.
pub(crate) fn hints(error: &CliError) -> Vec<(&'static str, String)> {
    let CliError::Checkpoint(error) = error else { return Vec::new() };
    let one = |option, text: &str| vec![(option, text.to_owned())];
    match error.cause() {
        CheckpointError::Module(ModuleError::AlphaZero { .. }) => {
            one("zero-alpha", "--zero-alpha rank or --zero-alpha zero")
        }
        CheckpointError::Name(NameError::BaseNeeded { .. }) | CheckpointError::Job(JobError::KernelUnknown { .. }) => {
            one("base", "--base MODEL")
        }
        CheckpointError::Config(ConfigError::Factors { .. })
        | CheckpointError::Module(ModuleError::CannotHold { dialect: Dialect::Peft, .. }) => {
            one("to", "--to lycoris may hold it")
        }
        CheckpointError::Name(NameError::DialectUnclear { .. }) => one("dialect", "--dialect peft or --dialect dotted"),
        CheckpointError::Module(ModuleError::NonFinite { key, .. }) if *key != "weight" => {
            one("allow-non-finite", "--allow-non-finite reads it")
        }
        CheckpointError::Name(NameError::OtherAlgorithm { .. } | NameError::UnknownKey { .. }) => {
            one("skip-foreign", "--skip-foreign leaves such tensors out; the result lacks what they change")
        }
        CheckpointError::Output(OutputError::Exists) => one("force", "--force"),
        CheckpointError::Module(ModuleError::ScaleUnknown { .. }) => {
            one("config", "--config FILE, or --scale NUMBER where there is such an option")
        }
        CheckpointError::Job(JobError::ChangeLost { .. }) => one(
            "min-kept",
            "--rounding stochastic keeps it on average, --out-dtype bf16 and --from-unquantised MODEL hold it; \
             --min-kept 0 goes on",
        ),
        // As a first convolution on a model that takes more channels.
        CheckpointError::Module(ModuleError::WeightShape { module, expected, found, .. })
            if found.0 == expected.0 && found.1 < expected.1 =>
        {
            vec![("exclude", format!("--exclude {module} leaves it out; the result lacks what it changes"))]
        }
        CheckpointError::Name(NameError::UnmatchedModules { modules, matched, .. }) => without(modules, matched),
        CheckpointError::Name(NameError::SeveralModels { prefixes, .. }) => one("only", &one_of(prefixes)),
        CheckpointError::Name(NameError::DuplicateTarget { first, second, .. }) => {
            match (kohya_prefix(first), kohya_prefix(second)) {
                (Some(first), Some(second)) if first != second => one("only", &one_of(&[first, second])),
                _ => Vec::new(),
            }
        }
        CheckpointError::Job(JobError::NewTensors { .. }) => vec![
            ("take-whole", "--take-whole adds them".to_owned()),
            ("allow-unmatched", "--allow-unmatched goes on without them; the result does not have them".to_owned()),
        ],
        CheckpointError::Job(JobError::ReplacementShape { expected, found, .. })
            if expected.len() == found.len() && expected.get(1..) == found.get(1..) =>
        {
            one("take-whole", "--take-whole takes another number of rows")
        }
        _ => Vec::new(),
    }
}

/// `lora_te1_` of a name that begins so.
fn kohya_prefix(name: &str) -> Option<String> {
    let (model, _) = name.strip_prefix("lora_")?.split_once('_')?;
    Some(format!("lora_{model}_"))
}

fn one_of(prefixes: &[String]) -> String {
    prefixes.iter().map(|prefix| format!("--only {prefix}")).collect::<Vec<_>>().join(" or ")
}

/// How to go on without some modules.
fn without(modules: &[String], matched: &[String]) -> Vec<(&'static str, String)> {
    let only: Vec<_> = matched.iter().map(|start| format!("--only {start}")).collect();
    let only = (!only.is_empty()).then(|| ("only", format!("{} takes the modules of this model", only.join(" "))));
    let lost = if modules.len() == 1 {
        "this module; the result lacks what it changes"
    } else {
        "them; the result lacks what they change"
    };
    only.into_iter().chain([("allow-unmatched", format!("--allow-unmatched goes on without {lost}"))]).collect()
}

impl From<lokr_core::KronError> for CliError {
    fn from(error: lokr_core::KronError) -> Self {
        CheckpointError::from(error).into()
    }
}

fn differences(wrong: usize, others: usize) -> String {
    let verb = if wrong == 1 { "differs" } else { "differ" };
    let wrong = format!("{} {verb} from what base and adapters make", counted(wrong, "tensor"));
    match others {
        0 => wrong,
        others => format!("{wrong}, and {others} in one of the models only"),
    }
}
