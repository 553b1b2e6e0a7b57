//! Streaming writer of a safetensors file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::output;
use super::output::Overwrite;
use super::tensor::Tensor;
use super::write_header::{TensorSpec, header, size_of};
use crate::error::{FileError, InFile, Result};

/// A safetensors file being written: its header is made first, from names, types and shapes alone; then come the
/// tensors' bytes, in any number of parts, so that no tensor has to be in memory whole.
///
/// The bytes go into a temporary file beside the target, which takes the target's name in [`TensorWriter::finish`].
/// Until then, and after any failure, an older file of that name is as it was, and a writer that is dropped leaves
/// nothing. Where there is an older file, the new one is safely on disk before it takes its place, so that a loss of
/// power leaves one of the two; otherwise the system writes it out in its own time, as after any copy.
///
/// The same tensors and metadata give the same bytes: tensors lie in the order of the `safetensors` crate, types with
/// larger alignment first and by name among one type, and metadata are sorted.
///
/// # Examples
/// ```
/// use std::collections::BTreeMap;
/// use lokr_checkpoint::{Dtype, Overwrite, TensorFile, TensorSpec, TensorWriter};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("x.safetensors");
/// let spec = |name: &str, dtype| TensorSpec { name: name.to_owned(), dtype, shape: vec![2] };
/// let specs = vec![spec("a", Dtype::BF16), spec("b", Dtype::F32)];
///
/// let mut writer = TensorWriter::create(&path, specs, &BTreeMap::new(), Overwrite::Refuse)?;
/// let order: Vec<_> = writer.specs().iter().map(|spec| spec.name.clone()).collect();
/// assert_eq!(order, ["b", "a"]);
/// writer.write("b", &1f32.to_le_bytes())?;
/// writer.write("b", &2f32.to_le_bytes())?;
/// writer.write("a", &[0, 0, 0x80, 0x3f])?;
/// writer.finish()?;
///
/// assert_eq!(TensorFile::open(&path)?.tensor("b")?.bytes(), [1f32.to_le_bytes(), 2f32.to_le_bytes()].concat());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TensorWriter {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
    overwrite: Overwrite,
    specs: Vec<TensorSpec>,
    sizes: Vec<usize>,
    /// The tensor being written, and how many bytes of it are.
    current: usize,
    written: usize,
}

/// Small tensors are gathered; larger pieces are written at once.
const BUFFER: usize = 1 << 18;

impl TensorWriter {
    /// Starts a file with these tensors, given in any order, and these free texts.
    ///
    /// # Errors
    /// [`OutputError::Exists`](crate::OutputError::Exists), [`OutputError::InTheWay`](crate::OutputError::InTheWay)
    /// where a directory is in the way; [`FileError::DuplicateKey`] for two tensors of one name, or one named as the
    /// metadata are; [`FileError::ShapeOverflow`]; [`FileError::HeaderLength`];
    /// [`CheckpointError::Io`](crate::CheckpointError::Io).
    pub fn create(
        path: impl AsRef<Path>,
        specs: Vec<TensorSpec>,
        metadata: &BTreeMap<String, String>,
        overwrite: Overwrite,
    ) -> Result<Self> {
        Self::create_behind(path, "", specs, metadata, overwrite)
    }

    /// The same for names that are longer than those in the file, as with [`TensorFile::open_behind`].
    ///
    /// [`TensorFile::open_behind`]: super::TensorFile::open_behind
    pub(crate) fn create_behind(
        path: impl AsRef<Path>,
        prefix: &str,
        specs: Vec<TensorSpec>,
        metadata: &BTreeMap<String, String>,
        overwrite: Overwrite,
    ) -> Result<Self> {
        let path = path.as_ref();
        Self::start(path, prefix, specs, metadata, overwrite).in_file(path)
    }

    fn start(
        path: &Path,
        prefix: &str,
        mut specs: Vec<TensorSpec>,
        metadata: &BTreeMap<String, String>,
        overwrite: Overwrite,
    ) -> Result<Self> {
        specs.sort_by(|a, b| b.dtype.cmp(&a.dtype).then_with(|| a.name.cmp(&b.name)));
        let sizes = specs.iter().map(size_of).collect::<Result<Vec<_>, _>>()?;
        let header = header(prefix, &specs, &sizes, metadata)?;
        output::check_file(path, overwrite)?;
        let mut file = BufWriter::with_capacity(BUFFER, output::temporary_file(path)?);
        file.write_all(&header)?;
        Ok(Self { path: path.to_owned(), file, overwrite, specs, sizes, current: 0, written: 0 })
    }

    /// The tensors in the order in which their bytes are to be written.
    #[must_use]
    pub fn specs(&self) -> &[TensorSpec] {
        &self.specs
    }

    /// Writes the next bytes of a tensor, all of them or a part: little-endian, row-major. Tensors follow each other in
    /// the order of [`TensorWriter::specs`]; those without bytes may be left out.
    ///
    /// # Errors
    /// [`FileError::WriteOrder`] for another tensor than the one whose turn it is; [`FileError::TensorSize`] for
    /// more bytes than it has; [`CheckpointError::Io`](crate::CheckpointError::Io).
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.write_next(name, bytes).in_file(&self.path)
    }

    fn write_next(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let written = self.check_turn(name, bytes.len())?;
        self.file.write_all(bytes)?;
        self.written = written;
        Ok(())
    }

    /// Lets `fill` write the next `length` bytes of a tensor: pieces of them may come from any thread in any order.
    /// They are taken as complete when `fill` returns.
    pub(crate) fn write_pieces<R>(
        &mut self,
        name: &str,
        length: usize,
        fill: impl FnOnce(&Pieces<'_>) -> Result<R>,
    ) -> Result<R> {
        let written = self.check_turn(name, length).in_file(&self.path)?;
        // Flushes what was gathered.
        let start = self.seek(SeekFrom::Current(0))?;
        let filled = fill(&Pieces { path: &self.path, file: self.file.get_ref().as_file(), start })?;
        self.written = written;
        self.seek(SeekFrom::Start(start + length as u64))?;
        Ok(filled)
    }

    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.file.seek(to).in_file(&self.path)
    }

    /// How much of the tensor is written after so many bytes more; an error unless it is its turn and they fit.
    fn check_turn(&mut self, name: &str, more: usize) -> Result<usize, FileError> {
        self.skip_complete();
        match self.specs.get(self.current) {
            Some(spec) if spec.name == name => {
                let (expected, found) = (self.sizes[self.current], self.written + more);
                if found > expected {
                    let TensorSpec { name, dtype, shape } = spec.clone();
                    return Err(FileError::TensorSize { key: name, shape, dtype, expected, found });
                }
                Ok(found)
            }
            other => {
                let expected = other.map(|spec| spec.name.clone());
                Err(FileError::WriteOrder { key: name.to_owned(), expected })
            }
        }
    }

    fn skip_complete(&mut self) {
        while self.sizes.get(self.current).is_some_and(|&size| size == self.written) {
            self.current += 1;
            self.written = 0;
        }
    }

    /// Puts the complete file in its place.
    ///
    /// # Errors
    /// [`FileError::WriteOrder`] if a tensor is not complete; [`OutputError::Exists`](crate::OutputError::Exists) if a
    /// file has appeared meanwhile under [`Overwrite::Refuse`]; [`CheckpointError::Io`](crate::CheckpointError::Io).
    pub fn finish(mut self) -> Result<()> {
        self.skip_complete();
        let (path, overwrite) = (self.path, self.overwrite);
        if let Some(spec) = self.specs.get(self.current) {
            let error = FileError::WriteOrder { key: "the end".to_owned(), expected: Some(spec.name.clone()) };
            return Err(error.in_file(&path));
        }
        let file = self.file.into_inner().map_err(|error| error.into_error().in_file(&path))?;
        output::commit_file(file, &path, overwrite).in_file(&path)
    }
}

/// The place of a tensor in a file being written.
pub(crate) struct Pieces<'a> {
    path: &'a Path,
    file: &'a File,
    start: u64,
}

impl Pieces<'_> {
    /// Writes the bytes that begin `offset` bytes into the tensor. Where a system lets only one thread write to a file
    /// at a time, it knows best how the others wait.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        let written = write_all_at(self.file, bytes, self.start + offset as u64);
        written.in_file(self.path)
    }
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
        if written == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        (bytes, offset) = (&bytes[written..], offset + written as u64);
    }
    Ok(())
}

/// Writes a safetensors file of tensors that are at hand, with the promises of [`TensorWriter`].
///
/// # Errors
/// Those of [`TensorWriter::create`] and [`TensorWriter::finish`].
///
/// # Examples
/// ```
/// use std::collections::BTreeMap;
/// use lokr_checkpoint::{FloatType, Overwrite, Tensor, TensorFile, write_tensors};
/// use ndarray::array;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("x.safetensors");
/// let tensors = BTreeMap::from([("x".to_owned(), Tensor::from_array(&array![1.0, 2.0], FloatType::F32))]);
/// let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
/// write_tensors(&path, &tensors, &metadata, Overwrite::Refuse)?;
/// assert_eq!(TensorFile::open(&path)?.metadata(), &metadata);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_tensors(
    path: impl AsRef<Path>,
    tensors: &BTreeMap<String, Tensor>,
    metadata: &BTreeMap<String, String>,
    overwrite: Overwrite,
) -> Result<()> {
    let spec = |(name, tensor): (&String, &Tensor)| TensorSpec {
        name: name.clone(),
        dtype: tensor.dtype(),
        shape: tensor.shape().to_vec(),
    };
    let mut writer = TensorWriter::create(path, tensors.iter().map(spec).collect(), metadata, overwrite)?;
    for spec in writer.specs().to_vec() {
        writer.write(&spec.name, tensors[&spec.name].bytes())?;
    }
    writer.finish()
}
