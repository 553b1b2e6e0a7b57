//! Outputs that appear whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

use crate::error::{CheckpointError, OutputError, Result};

/// What to do about an output that is there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// An error.
    #[default]
    Refuse,
    /// The old one stays until the new one is complete and takes its place in one step.
    Replace,
}

/// The beginning of a temporary name, which an interrupted system leaves behind at worst.
pub(super) const PREFIX: &str = ".lokr-";

/// The directory that a path lies in.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// An error if a file of that name cannot be written.
pub(crate) fn check_file(path: &Path, overwrite: Overwrite) -> Result<(), OutputError> {
    let in_the_way = |found| Err(OutputError::Kind { expected: "a file", found });
    match path.metadata() {
        Ok(found) if found.is_dir() => in_the_way("a directory"),
        // Replacing it would take the device away from every other program.
        Ok(found) if !found.is_file() => in_the_way("a pipe or device"),
        // A link to nowhere is there as well.
        _ if overwrite == Overwrite::Refuse && path.symlink_metadata().is_ok() => Err(OutputError::Exists),
        _ => Ok(()),
    }
}

/// An error unless so many bytes are free in a directory.
pub(crate) fn check_space(directory: &Path, needed: u64) -> Result<()> {
    Ok(enough(needed, fs4::available_space(directory)?)?)
}

fn enough(needed: u64, available: u64) -> Result<(), OutputError> {
    if available < needed { Err(OutputError::DiskSpace { needed, available }) } else { Ok(()) }
}

/// A file beside `path` that vanishes unless committed.
pub(crate) fn temporary_file(path: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(PREFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Those of any new file, less what the user's mask takes away; without it the file would be the owner's only.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(parent(path))
}

/// Gives a complete file its name. What takes the place of another file is made safe on disk first: of the two, a loss of
/// power leaves one. Where there is nothing to lose, nobody waits for the disk.
pub(crate) fn commit_file(file: NamedTempFile, path: &Path, overwrite: Overwrite) -> Result<()> {
    match overwrite {
        Overwrite::Refuse => {
            file.persist_noclobber(path).map_err(|error| match error.error.kind() {
                io::ErrorKind::AlreadyExists => CheckpointError::from(OutputError::Exists),
                _ => error.error.into(),
            })?;
        }
        Overwrite::Replace => {
            let replaces = path.symlink_metadata().is_ok();
            if replaces {
                file.as_file().sync_all()?;
            }
            file.persist(path).map_err(|error| error.error)?;
            if replaces {
                sync_directory(parent(path));
            }
        }
    }
    Ok(())
}

/// Makes names in a directory last. Not every system can, and the data are safe already.
pub(super) fn sync_directory(path: &Path) {
    if let Ok(directory) = File::open(path) {
        let _ = directory.sync_all();
    }
}

/// An error if a directory holds a name that the one which takes its place will not have.
pub(crate) fn check_others(target: &Path, will_have: impl Fn(&OsString) -> bool) -> Result<()> {
    let others: Vec<_> = names(target)?.into_iter().filter(|name| !will_have(name)).collect();
    if others.is_empty() {
        return Ok(());
    }
    let names = others.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    Err(OutputError::Others { names }.into())
}

/// An error if a directory of that name cannot be written.
pub(crate) fn check_directory(target: &Path, overwrite: Overwrite) -> Result<(), OutputError> {
    match target.symlink_metadata() {
        Ok(_) if overwrite == Overwrite::Refuse => Err(OutputError::Exists),
        Ok(found) if !found.is_dir() => Err(OutputError::Kind { expected: "a directory", found: "something else" }),
        _ => Ok(()),
    }
}

pub(super) fn names(directory: &Path) -> io::Result<Vec<OsString>> {
    let mut names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_space_is_an_error() {
        assert!(enough(10, 10).is_ok());
        let error = enough(11, 10).unwrap_err();
        assert!(matches!(error, OutputError::DiskSpace { needed: 11, available: 10 }), "{error}");
        let folder = tempfile::tempdir().unwrap();
        assert!(check_space(folder.path(), 1).is_ok());
        assert!(check_space(folder.path(), u64::MAX).is_err());
    }

    #[test]
    fn a_bare_name_lies_in_the_current_directory() {
        assert_eq!(parent(Path::new("x")), Path::new("."));
        assert_eq!(parent(Path::new("a/x")), Path::new("a"));
    }
}
