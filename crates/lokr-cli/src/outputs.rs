//! What may be written where, found before the work and not after it: the library's checks, in the program's words.

use std::io::Write;
use std::path::Path;

use lokr_checkpoint::file::{self, check_output_form};
use lokr_checkpoint::{CheckpointError, Dialect, OutputError, Overwrite};

use crate::error::CliError;

/// An error unless an output can be at `path`: nothing is there or it may be overwritten, and its name is not that of a
/// pickle, which no job would read again.
pub(crate) fn check_output(path: &Path, overwrite: Overwrite) -> Result<(), CliError> {
    file::check_output(path, overwrite).map_err(|error| match error.cause() {
        CheckpointError::Output(OutputError::Exists) => CliError::Exists { path: path.to_owned() },
        _ => error.into(),
    })
}

/// An error if a directory is where the dialect's file should go, or the reverse.
pub(crate) fn check_kind(path: &Path, dialect: Dialect) -> Result<(), CliError> {
    Ok(check_output_form(path, dialect.form())?)
}

/// Writes a file of the program's own beside its place, and renames it there.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let write = || {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".lokr-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Those of any new file, less what the user's mask takes away; without it the file would be the owner's
            // only.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let mut file = builder.tempfile_in(directory)?;
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|source| CliError::Write { path: path.to_owned(), source })
}
