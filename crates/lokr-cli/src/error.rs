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

/// The option that says what is open, or goes on all the same, and how to use it.
pub(crate) fn hint(error: &CliError) -> Option<(&'static str, &'static str)> {
    let CliError::Checkpoint(error) = error else { return None };
    Some(match error.cause() {
        CheckpointError::Module(ModuleError::AlphaZero { .. }) => {
            ("zero-alpha", "--zero-alpha rank or --zero-alpha zero")
        }
        CheckpointError::Name(NameError::BaseNeeded { .. }) | CheckpointError::Job(JobError::KernelUnknown { .. }) => {
            ("base", "--base MODEL")
        }
        CheckpointError::Config(ConfigError::Factors { .. })
        | CheckpointError::Module(ModuleError::CannotHold { dialect: Dialect::Peft, .. }) => {
            ("to", "--to lycoris may hold it")
        }
        CheckpointError::Name(NameError::DialectUnclear { .. }) => ("dialect", "--dialect peft or --dialect dotted"),
        CheckpointError::Module(ModuleError::NonFinite { key, .. }) if *key != "weight" => {
            ("allow-non-finite", "--allow-non-finite reads it")
        }
        CheckpointError::Name(NameError::OtherAlgorithm { .. } | NameError::UnknownKey { .. }) => {
            ("skip-foreign", "--skip-foreign leaves such tensors out")
        }
        CheckpointError::Output(OutputError::Exists) => ("force", "--force"),
        CheckpointError::Module(ModuleError::ScaleUnknown { .. }) => {
            ("config", "--config FILE, or --scale NUMBER where there is such an option")
        }
        CheckpointError::Name(NameError::UnmatchedModules { .. }) => {
            ("allow-unmatched", "--allow-unmatched goes on without them")
        }
        _ => return None,
    })
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
