//! What can go wrong, said in names and shapes.
//!
//! [`CheckpointError`] is one type for all; behind it stands a type for each thing that can be wrong:
//!
//! - `file`: a file, or what is to be stored in one.
//! - `module`: the tensors of one module, by themselves or beside a weight.
//! - `name`: the names in an adapter, by themselves or beside those of a base model.
//! - `config`: PEFT's configuration.
//! - `output`: where an output should go.
//! - `job`: what was asked for; `part`: the parts of a job that several processes did.
//! - `in_file`: said of any of them, that it is in a file.
//!
//! All rooms use it; it uses only the names of the dialects.

mod config;
mod file;
mod in_file;
mod job;
mod list;
mod module;
mod name;
mod output;
mod part;

use std::path::{Path, PathBuf};

use thiserror::Error;

pub use config::ConfigError;
pub use file::FileError;
pub(crate) use in_file::InFile;
pub use job::JobError;
pub use module::ModuleError;
pub use name::{BothSides, NameError};
pub use output::OutputError;
pub use part::PartError;

/// Result of the operations of this crate; inside it also with the error of one group.
pub type Result<T, E = CheckpointError> = std::result::Result<T, E>;

/// An error of reading, resolving or applying an adapter.
///
/// An error that belongs to a file arrives as [`CheckpointError::InFile`]; [`CheckpointError::cause`] looks behind it.
/// Keys are full tensor names, so they name the module as well.
///
/// # Examples
/// ```
/// use lokr_checkpoint::{CheckpointError, FileError, TensorFile};
///
/// let error = TensorFile::from_bytes("empty.safetensors", Vec::new()).unwrap_err();
/// assert!(matches!(error.cause(), CheckpointError::File(FileError::NoHeader { length: 0 })));
/// let text = "not a safetensors file: it has 0 bytes, fewer than the 8 of a header length";
/// assert_eq!(error.to_string(), format!("empty.safetensors: {text}"));
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// An error in the file at `path`.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<CheckpointError>,
    },
    /// The system refused to read or write.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A file, or what is to be stored in one.
    #[error(transparent)]
    File(#[from] FileError),
    /// The tensors of one module, by themselves or beside a weight.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// The names in an adapter, by themselves or beside those of a base model.
    #[error(transparent)]
    Name(#[from] NameError),
    /// PEFT's configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The place of an output.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// What was asked for.
    #[error(transparent)]
    Job(#[from] JobError),
    /// Parts of a job that cannot be joined.
    #[error(transparent)]
    Part(#[from] PartError),
    /// An error of the Kronecker mathematics.
    #[error(transparent)]
    Kron(#[from] lokr_core::KronError),
    /// An error of a layer.
    #[error(transparent)]
    Layer(#[from] lokr_layers::LayerError),
}

impl CheckpointError {
    /// The error itself, without the file it is in.
    #[must_use]
    pub fn cause(&self) -> &Self {
        match self {
            Self::InFile { source, .. } => source.cause(),
            other => other,
        }
    }

    /// The file it is in, where known.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::InFile { path, .. } => Some(path),
            _ => None,
        }
    }
}

impl From<serde_json::Error> for CheckpointError {
    fn from(error: serde_json::Error) -> Self {
        FileError::from(error).into()
    }
}

#[cfg(test)]
mod tests;
