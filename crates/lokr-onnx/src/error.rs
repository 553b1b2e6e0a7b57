//! What can go wrong.

use lokr_layers::LayerError;
use thiserror::Error;

/// `Result` with [`ExportError`].
pub type Result<T, E = ExportError> = std::result::Result<T, E>;

/// Why a network cannot be written as ONNX.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A layer that has no counterpart there.
    #[error("{name:?} ({layer}) cannot be exported: {reason}")]
    Unsupported {
        /// The layer's name in the network; empty for the network itself.
        name: String,
        /// Its type.
        layer: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// One file cannot hold so much.
    #[error(
        "the model takes {bytes} bytes, but an ONNX file holds at most {limit}; merge nothing and split the network"
    )]
    TooLarge {
        /// What it takes.
        bytes: usize,
        /// What is possible.
        limit: usize,
    },
    /// A layer refuses something, such as a merge.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
}
