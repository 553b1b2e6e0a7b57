//! Outputs that appear whole or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use super::other_formats;
use crate::error::{CheckpointError, InFile, OutputError, Result};

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

/// What an output is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputForm {
    /// A file.
    File,
    /// A directory.
    Directory,
}

/// Checks, before any work is done, that an output can be at `path`, whatever its form: its name is not that of a
/// pickle or of another format, for which readers would take it; no device is there; nothing else is, or it may be
/// replaced; and there is a directory to put it in.
///
/// # Errors
/// In the file: [`OutputError::Name`], [`OutputError::InTheWay`], [`OutputError::Exists`]; [`CheckpointError::Io`].
/// # Examples
/// ```
/// use lokr_checkpoint::file::{OutputForm, check_output, check_output_form};
/// use lokr_checkpoint::{CheckpointError, OutputError, Overwrite};
///
/// let folder = tempfile::tempdir()?;
/// check_output(folder.path().join("new"), Overwrite::Refuse)?;
///
/// let error = check_output(folder.path(), Overwrite::Refuse).unwrap_err();
/// assert!(matches!(error.cause(), CheckpointError::Output(OutputError::Exists)));
/// check_output(folder.path(), Overwrite::Replace)?;
/// let error = check_output_form(folder.path(), OutputForm::File).unwrap_err();
/// assert!(matches!(error.cause(), CheckpointError::Output(OutputError::InTheWay { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn check_output(path: impl AsRef<Path>, overwrite: Overwrite) -> Result<()> {
    let path = path.as_ref();
    let check = || {
        if other_formats::check_name(path).is_err() {
            return Err(OutputError::Name { expected: ".safetensors" });
        }
        match found(path) {
            Some(DEVICE) => Err(OutputError::InTheWay { expected: "the output", found: DEVICE }),
            _ => check_absent(path, overwrite),
        }
    };
    check().in_file(path)?;
    parent(path).metadata().map(|_| ()).in_file(path)
}

/// Checks that no directory is where a file should go, and no file where a directory should; and that a directory does
/// not get the name of a safetensors file.
///
/// # Errors
/// In the file: [`OutputError::InTheWay`], [`OutputError::DirectoryName`].
pub fn check_output_form(path: impl AsRef<Path>, form: OutputForm) -> Result<()> {
    let path = path.as_ref();
    let (expected, wrong) = match form {
        OutputForm::File => (FILE, DIRECTORY),
        OutputForm::Directory => {
            check_directory_name(path).in_file(path)?;
            (DIRECTORY, FILE)
        }
    };
    match found(path) {
        Some(found) if found == wrong => Err(OutputError::InTheWay { expected, found }.in_file(path)),
        _ => Ok(()),
    }
}

const FILE: &str = "a file";
const DIRECTORY: &str = "a directory";
const DEVICE: &str = "a pipe or device";

/// What is there, in words, where a link leads.
fn found(path: &Path) -> Option<&'static str> {
    Some(match path.metadata().ok()? {
        found if found.is_dir() => DIRECTORY,
        found if found.is_file() => FILE,
        _ => DEVICE,
    })
}

/// An error for what is there and must not be replaced; a link to nowhere is there as well.
fn check_absent(path: &Path, overwrite: Overwrite) -> Result<(), OutputError> {
    match overwrite {
        Overwrite::Refuse if path.symlink_metadata().is_ok() => Err(OutputError::Exists),
        _ => Ok(()),
    }
}

/// An error if a file of that name cannot be written.
pub(crate) fn check_file(path: &Path, overwrite: Overwrite) -> Result<(), OutputError> {
    match found(path) {
        // Replacing a device would take it away from every other program.
        Some(found) if found != FILE => Err(OutputError::InTheWay { expected: FILE, found }),
        _ => check_absent(path, overwrite),
    }
}

/// An error if a directory of that name cannot be written.
pub(crate) fn check_directory(target: &Path, overwrite: Overwrite) -> Result<(), OutputError> {
    check_absent(target, overwrite)?;
    match target.symlink_metadata() {
        Ok(found) if !found.is_dir() => Err(OutputError::InTheWay { expected: DIRECTORY, found: "something else" }),
        _ => Ok(()),
    }
}

/// An error for a name by which people and programs would take the directory for a file.
fn check_directory_name(target: &Path) -> Result<(), OutputError> {
    let ending = target.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if ending.eq_ignore_ascii_case("safetensors") {
        return Err(OutputError::DirectoryName { ending: ".safetensors" });
    }
    Ok(())
}

/// An error unless so many bytes are free in a directory.
pub(crate) fn check_space(directory: &Path, needed: u64) -> Result<()> {
    Ok(enough(needed, fs4::available_space(directory)?)?)
}

fn enough(needed: u64, available: u64) -> Result<(), OutputError> {
    if available < needed { Err(OutputError::DiskSpace { needed, available }) } else { Ok(()) }
}

/// A file beside `path` that vanishes unless committed.
pub(super) fn temporary_file(path: &Path) -> io::Result<NamedTempFile> {
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

/// Gives a complete file its name. What takes the place of another file is made safe on disk first: of the two, a loss
/// of power leaves one. Where there is nothing to lose, nobody waits for the disk.
pub(super) fn commit_file(file: NamedTempFile, path: &Path, overwrite: Overwrite) -> Result<()> {
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

/// An error if a directory holds a path that the one which takes its place will not have.
pub(crate) fn check_others(target: &Path, will_have: impl Fn(&Path) -> bool) -> Result<()> {
    let others: Vec<_> = paths_below(target)?.into_iter().filter(|path| !will_have(path)).collect();
    if others.is_empty() {
        return Ok(());
    }
    let names = others.iter().map(|path| path.display().to_string()).collect();
    Err(OutputError::Others { names }.into())
}

/// The paths of everything in a directory and in the directories below, relative to it and sorted; of directories, only
/// those without entries.
pub(crate) fn paths_below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(place) = open.pop() {
        let entries = fs::read_dir(directory.join(&place))?.collect::<io::Result<Vec<_>>>()?;
        if entries.is_empty() && !place.as_os_str().is_empty() {
            paths.push(place.clone());
        }
        for entry in entries {
            let path = place.join(entry.file_name());
            if entry.file_type()?.is_dir() { &mut open } else { &mut paths }.push(path);
        }
    }
    paths.sort();
    Ok(paths)
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
