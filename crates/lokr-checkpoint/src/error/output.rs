//! Why an output cannot be written where it should be.

use thiserror::Error;

use super::list::list;

/// Why an output cannot be written where it should be.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The output is there already.
    #[error("already there; it is replaced only when asked for")]
    Exists,
    /// A name with which no job would read it again.
    #[error("expected a name that ends in {expected}")]
    Name {
        /// The ending expected.
        expected: &'static str,
    },
    /// The name of a file for what is a directory.
    #[error("a directory is written here, and this is the name of a file; give one without {ending}")]
    DirectoryName {
        /// The ending.
        ending: &'static str,
    },
    /// A file where a directory should be written, or the reverse; a pipe or device.
    #[error("{found} is in the way of {expected}")]
    InTheWay {
        /// What should be written.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A directory to replace holds more than the new one would.
    #[error("the directory also holds {}, which would be lost; remove or move them first", list(names))]
    Others {
        /// The names the new directory does not have.
        names: Vec<String>,
    },
    /// Too little space for an output.
    #[error("{needed} bytes are needed, but only {available} are free")]
    DiskSpace {
        /// Bytes the output takes.
        needed: u64,
        /// Bytes free where it should go.
        available: u64,
    },
}
