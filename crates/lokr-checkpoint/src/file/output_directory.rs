//! A directory that appears whole or not at all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempDir};

use super::output::{Overwrite, PREFIX, check_directory, check_others, names, parent, sync_directory};
use crate::error::{InFile, Result};

/// A directory being written: its files are put into a temporary directory beside the target, which takes the target's
/// name in [`OutputDirectory::finish`]. One that is dropped leaves nothing.
///
/// An existing directory is replaced as a whole, and only if the new one has all its names, so that nothing else is
/// lost.
///
/// # Examples
/// ```
/// use lokr_checkpoint::{OutputDirectory, Overwrite};
///
/// let folder = tempfile::tempdir()?;
/// let target = folder.path().join("adapter");
/// let output = OutputDirectory::create(&target, Overwrite::Refuse)?;
/// std::fs::write(output.path().join("adapter_config.json"), "{}")?;
/// assert!(!target.exists());
/// output.finish()?;
/// assert!(target.join("adapter_config.json").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct OutputDirectory {
    target: PathBuf,
    overwrite: Overwrite,
    temporary: TempDir,
}

impl OutputDirectory {
    /// Starts a directory.
    ///
    /// # Errors
    /// [`OutputError::Exists`](crate::OutputError::Exists), [`OutputError::InTheWay`](crate::OutputError::InTheWay)
    /// where a file is in the way; [`CheckpointError::Io`](crate::CheckpointError::Io).
    pub fn create(target: impl AsRef<Path>, overwrite: Overwrite) -> Result<Self> {
        let target = target.as_ref();
        Self::start(target, overwrite).in_file(target)
    }

    fn start(target: &Path, overwrite: Overwrite) -> Result<Self> {
        check_directory(target, overwrite)?;
        let mut builder = Builder::new();
        builder.prefix(PREFIX);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o777));
        }
        // A target with a trailing separator has the same parent as one without.
        let target: PathBuf = target.components().collect();
        let temporary = builder.tempdir_in(parent(&target))?;
        Ok(Self { target, overwrite, temporary })
    }

    /// Where to put the files until it is finished.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Puts the directory in its place. One that takes the place of another is safely on disk first.
    ///
    /// # Errors
    /// [`OutputError::Exists`](crate::OutputError::Exists); [`OutputError::Others`](crate::OutputError::Others) if the
    /// existing directory holds a name that the new one does not; [`CheckpointError::Io`](crate::CheckpointError::Io).
    pub fn finish(self) -> Result<()> {
        let target = self.target.clone();
        self.commit().in_file(&target)
    }

    fn commit(self) -> Result<()> {
        let target = self.target.clone();
        check_directory(&self.target, self.overwrite)?;
        if self.target.exists() {
            self.replace()?;
            sync_directory(parent(&target));
        } else {
            fs::rename(self.path(), &self.target)?;
            let _ = self.temporary.keep();
        }
        Ok(())
    }

    /// Takes the place of an existing directory: the old one is moved away, and back if the new one cannot follow.
    fn replace(self) -> Result<()> {
        check_others(&self.target, |name| self.path().join(name).exists())?;
        for name in names(self.path())? {
            // Opened for writing, because some systems flush only such files.
            File::options().append(true).open(self.path().join(name))?.sync_all()?;
        }
        sync_directory(self.path());
        let attic = Builder::new().prefix(PREFIX).tempdir_in(parent(&self.target))?;
        let old = attic.path().join("old");
        fs::rename(&self.target, &old)?;
        if let Err(error) = fs::rename(self.path(), &self.target) {
            fs::rename(&old, &self.target)?;
            return Err(error.into());
        }
        let _ = self.temporary.keep();
        Ok(())
    }
}
