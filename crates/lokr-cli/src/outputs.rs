//! What may be written where, found before the work and not after it.

use std::path::Path;

use lokr_checkpoint::{Dialect, Overwrite};

use crate::error::CliError;

/// An error unless an output can be at `path`: nothing is there or it may be overwritten, and its name is not that of a
/// pickle, which no job would read again.
pub(crate) fn check_output(path: &Path, overwrite: Overwrite) -> Result<(), CliError> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    if ["bin", "pt", "pth", "ckpt", "pkl"].iter().any(|pickle| extension.eq_ignore_ascii_case(pickle)) {
        return Err(CliError::Extension { path: path.to_owned(), expected: ".safetensors" });
    }
    if path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return Err(CliError::Device { path: path.to_owned() });
    }
    // A link to nowhere is there as well.
    if overwrite == Overwrite::Refuse && path.symlink_metadata().is_ok() {
        return Err(CliError::Exists { path: path.to_owned() });
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(Err(source)) = folder.map(Path::metadata) {
        return Err(CliError::Write { path: path.to_owned(), source });
    }
    Ok(())
}

/// An error if a directory is where the dialect's file should go, or the reverse.
pub(crate) fn check_kind(path: &Path, dialect: Dialect) -> Result<(), CliError> {
    let (file, directory) = ("a file", "a directory");
    let (found, expected) = match (path.is_dir(), path.is_file()) {
        (true, _) if dialect != Dialect::Peft => (directory, file),
        (_, true) if dialect == Dialect::Peft => (file, directory),
        _ => return Ok(()),
    };
    Err(CliError::InTheWay { path: path.to_owned(), found, expected })
}
