//! Saying of an error which file it is in.

use std::path::Path;

use super::CheckpointError;

/// Of an error of any group, or of a result with one.
pub(crate) trait InFile {
    /// What it is then.
    type InFile;

    /// The same, the error said to be in the file at `path`. An error that names a file already stays as it is.
    fn in_file(self, path: &Path) -> Self::InFile;
}

impl<E: Into<CheckpointError>> InFile for E {
    type InFile = CheckpointError;

    fn in_file(self, path: &Path) -> CheckpointError {
        match self.into() {
            error @ CheckpointError::InFile { .. } => error,
            source => CheckpointError::InFile { path: path.to_owned(), source: Box::new(source) },
        }
    }
}

impl<T, E: Into<CheckpointError>> InFile for Result<T, E> {
    type InFile = Result<T, CheckpointError>;

    fn in_file(self, path: &Path) -> Self::InFile {
        self.map_err(|error| error.in_file(path))
    }
}
