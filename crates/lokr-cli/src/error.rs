//! What can go wrong, and the exit code of each.

use std::error::Error;
use std::path::{Path, PathBuf};

use lokr_checkpoint::{CheckpointError, ConfigError, Dialect, JobError, ModuleError, NameError, OutputError};
use thiserror::Error;

use crate::report::{counted, printable};

const USAGE: u8 = 2;
const BAD_INPUT: u8 = 3;
const MISMATCH: u8 = 4;
const INPUT_OUTPUT: u8 = 5;
/// What shells report of a program that an interrupt ends.
pub const INTERRUPTED: u8 = 130;

#[derive(Debug, Error)]
pub enum CliError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("{}: exists; --force overwrites it", path.display())]
    Exists { path: PathBuf },
    #[error("{}: a pipe or device is in the way of the output", path.display())]
    Device { path: PathBuf },
    #[error("{}: expected a name that ends in {expected}", path.display())]
    Extension { path: PathBuf, expected: &'static str },
    #[error("{} for {}; give none, or one for each", counted(*given, what), counted(*adapters, "adapter"))]
    OneForEach { what: &'static str, adapters: usize, given: usize },
    #[error("{}: {found} is in the way of {expected}", path.display())]
    InTheWay { path: PathBuf, found: &'static str, expected: &'static str },
    #[error(
        "{terms} terms per module are no LoKr and need --to terms, a file that only lokr reads; {dialect} holds one"
    )]
    Terms { terms: usize, dialect: Dialect },
    #[error("{option} has no effect on --to {to}")]
    NoEffect { option: &'static str, to: String },
    #[error("{}: {}", path.display(), differences(*wrong, *others))]
    Mismatch { path: PathBuf, wrong: usize, others: usize },
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
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Checkpoint(error) => match error.cause() {
                CheckpointError::Io(_) | CheckpointError::Output(OutputError::DiskSpace { .. }) => INPUT_OUTPUT,
                CheckpointError::Output(_)
                | CheckpointError::Job(JobError::Option { .. } | JobError::Pattern { .. }) => USAGE,
                CheckpointError::Job(JobError::Interrupted) => INTERRUPTED,
                _ => BAD_INPUT,
            },
            Self::Exists { .. }
            | Self::Device { .. }
            | Self::Extension { .. }
            | Self::OneForEach { .. }
            | Self::InTheWay { .. }
            | Self::NoEffect { .. }
            | Self::Terms { .. } => USAGE,
            Self::Mismatch { .. } => MISMATCH,
            Self::Write { .. } | Self::Plot { .. } | Self::Print(_) | Self::Signal(_) => INPUT_OUTPUT,
        }
    }
}

/// The option that says what is open, or goes on all the same, and how to use it.
pub fn hint(error: &CliError) -> Option<(&'static str, &'static str)> {
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

/// An error unless an output can be at `path`: nothing is there or it may be overwritten, and its name is not that of a pickle,
/// which no job would read again.
pub fn check_output(path: &Path, force: bool) -> Result<(), CliError> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    if ["bin", "pt", "pth", "ckpt", "pkl"].iter().any(|pickle| extension.eq_ignore_ascii_case(pickle)) {
        return Err(CliError::Extension { path: path.to_owned(), expected: ".safetensors" });
    }
    if path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return Err(CliError::Device { path: path.to_owned() });
    }
    // A link to nowhere is there as well.
    if !force && path.symlink_metadata().is_ok() {
        return Err(CliError::Exists { path: path.to_owned() });
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(Err(source)) = folder.map(Path::metadata) {
        return Err(CliError::Write { path: path.to_owned(), source });
    }
    Ok(())
}

/// An error if a directory is where the dialect's file should go, or the reverse: found before the work, not after it.
pub fn check_kind(path: &Path, dialect: Dialect) -> Result<(), CliError> {
    let (file, directory) = ("a file", "a directory");
    let (found, expected) = match (path.is_dir(), path.is_file()) {
        (true, _) if dialect != Dialect::Peft => (directory, file),
        (_, true) if dialect == Dialect::Peft => (file, directory),
        _ => return Ok(()),
    };
    Err(CliError::InTheWay { path: path.to_owned(), found, expected })
}

fn differences(wrong: usize, others: usize) -> String {
    let verb = if wrong == 1 { "differs" } else { "differ" };
    let wrong = format!("{} {verb} from what base and adapters make", counted(wrong, "tensor"));
    match others {
        0 => wrong,
        others => format!("{wrong}, and {others} in one of the models only"),
    }
}

/// A message and its causes in one line. Messages that hold their cause already are not repeated.
pub fn one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    printable(&line.replace(['\n', '\r'], " ")).into_owned()
}
