//! Memory-mapped files: the only unsafe code of this crate.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use crate::error::{FileError, Result};

/// The bytes of a file, mapped, or bytes held in memory.
#[derive(Debug)]
pub(super) enum Source {
    /// A mapping; pages are read when they are touched and can be dropped by the system at any time.
    Mapped(memmap2::Mmap),
    /// Bytes of our own.
    Owned(Vec<u8>),
}

impl Source {
    /// Maps a file for reading.
    pub(super) fn map(path: &Path) -> Result<Self> {
        // Asked before it is opened: opening a pipe waits for who writes into it.
        match std::fs::metadata(path)? {
            other if other.is_dir() => return Err(FileError::NotAFile { found: "a directory" }.into()),
            other if !other.is_file() => return Err(FileError::NotAFile { found: "a pipe or device" }.into()),
            _ => {}
        }
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(Self::Owned(Vec::new())); // An empty mapping is an error on some systems.
        }
        // SAFETY: The mapping is private to reading, and every read is bounds-checked against its length. What the
        // type system cannot promise is that no other program changes or truncates the file meanwhile: that is the
        // contract of every memory-mapped reader, stated at `TensorFile::open`. Files of this project are replaced by
        // renaming, which leaves an existing mapping as it was.
        #[allow(unsafe_code)]
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(Self::Mapped(map))
    }
}

impl Deref for Source {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}
