//! Checked reading of a safetensors file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::Dtype;

use super::mmap::Source;
use super::other_formats::instead_of;
use super::read_header::{Header, parse};
use super::tensor::Tensor;
use crate::error::{FileError, InFile, JobError, NameError, Result};

/// A safetensors file: its header in memory and checked, its data mapped and read only where a tensor is used.
///
/// # Examples
/// ```
/// use lokr_checkpoint::{Dtype, TensorFile};
///
/// let header = br#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
/// let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
/// bytes.extend(header);
/// bytes.extend(2.5f32.to_le_bytes());
///
/// let file = TensorFile::from_bytes("x.safetensors", bytes)?;
/// assert_eq!(file.names().collect::<Vec<_>>(), ["x"]);
/// assert_eq!(file.tensor("x")?.to_array::<f32>("x")?[[0]], 2.5);
/// # Ok::<(), lokr_checkpoint::CheckpointError>(())
/// ```
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    /// What stands before the names here, and not in the file.
    prefix: String,
    header: Header,
    source: Arc<Source>,
}

impl TensorFile {
    /// Maps a file and checks its header.
    ///
    /// The file must not be changed or truncated while this value or a [`Tensor`] of it lives. Replacing it by renaming
    /// another file over it is fine.
    ///
    /// # Errors
    /// [`CheckpointError::Io`](crate::CheckpointError::Io); [`FileError::NotAFile`]; [`FileError::NotTensors`] for a
    /// `.json` text; [`FileError::Pickle`] and [`FileError::OtherFormat`] for what is no safetensors file and is
    /// recognised by its content or by the ending of its name; for a damaged file [`FileError::NoHeader`],
    /// [`FileError::HeaderLength`], [`FileError::Json`], [`FileError::DuplicateKey`],
    /// [`FileError::UnknownDtype`], [`FileError::ShapeOverflow`], [`FileError::TensorSize`], [`FileError::TensorRange`]
    /// or [`FileError::DataLength`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_behind(path, "")
    }

    /// Maps a file whose tensors get longer names: that of the model they belong to stands before their own.
    pub(crate) fn open_behind(path: impl AsRef<Path>, prefix: &str) -> Result<Self> {
        let path = path.as_ref();
        let source = Source::map(path).in_file(path)?;
        if path.extension().is_some_and(|extension| extension == "json") && source.starts_with(b"{") {
            return Err(FileError::NotTensors.in_file(path));
        }
        let mut file = Self::new(path, source)?;
        if !prefix.is_empty() {
            let tensors = std::mem::take(&mut file.header.tensors);
            file.header.tensors = tensors.into_iter().map(|(name, entry)| (format!("{prefix}{name}"), entry)).collect();
            prefix.clone_into(&mut file.prefix);
        }
        Ok(file)
    }

    /// A file's bytes in memory; `path` is for messages. Memory beyond the bytes is in proportion to their number,
    /// whatever a header claims.
    ///
    /// # Errors
    /// Those of [`TensorFile::open`].
    pub fn from_bytes(path: impl AsRef<Path>, bytes: Vec<u8>) -> Result<Self> {
        Self::new(path.as_ref(), Source::Owned(bytes))
    }

    fn new(path: &Path, source: Source) -> Result<Self> {
        let header = parse(&source).map_err(|error| instead_of(error, path, &source).in_file(path))?;
        Ok(Self { path: path.to_owned(), prefix: String::new(), header, source: Arc::new(source) })
    }

    /// The same file under other names: in each, every occurrence of the first text of each pair becomes the second.
    ///
    /// # Errors
    /// [`NameError::DuplicateTarget`] for two names that become one; [`JobError::Option`] for a text that is in no
    /// name.
    pub(crate) fn renamed(mut self, pairs: &[(String, String)]) -> Result<Self> {
        for (from, to) in pairs {
            if from.is_empty() || !self.names().any(|name| name.contains(from)) {
                let (option, expected) = ("rename", "a text that is in names of the adapter");
                return Err(JobError::Option { option, expected, found: format!("{from:?}") }.in_file(&self.path));
            }
            let mut olds = BTreeMap::new();
            let mut tensors = BTreeMap::new();
            for (old, entry) in std::mem::take(&mut self.header.tensors) {
                let new = old.replace(from, to);
                if let Some(first) = olds.insert(new.clone(), old.clone()) {
                    return Err(NameError::DuplicateTarget { first, second: old, target: new }.in_file(&self.path));
                }
                tensors.insert(new, entry);
            }
            self.header.tensors = tensors;
        }
        Ok(self)
    }

    /// Where it was read from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What stands before the names here, and not in the file.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The names of its tensors, sorted.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.header.tensors.keys().map(String::as_str)
    }

    /// The header's free texts.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.header.metadata
    }

    /// Type and shape of a tensor, from the header alone.
    #[must_use]
    pub fn info(&self, name: &str) -> Option<(Dtype, &[usize])> {
        self.header.tensors.get(name).map(|entry| (entry.dtype, &entry.shape[..]))
    }

    /// Bytes of all its tensors.
    #[must_use]
    pub fn data_bytes(&self) -> usize {
        self.header.tensors.values().map(|entry| entry.bytes.len()).sum()
    }

    /// A tensor; its data stay where they are.
    ///
    /// # Errors
    /// [`FileError::TensorMissing`].
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let Some(entry) = self.header.tensors.get(name) else {
            return Err(FileError::TensorMissing { key: name.to_owned() }.in_file(&self.path));
        };
        Ok(Tensor::at(self.source.clone(), entry.dtype, entry.shape.clone(), entry.bytes.clone()))
    }
}
