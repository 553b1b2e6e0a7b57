//! The model that is adapted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lokr_core::Scalar;
use ndarray::ArrayD;
use safetensors::Dtype;

use super::fused;
use super::fused::Third;
use super::open::Opened;
use super::pipeline::Components;
use crate::error::{FileError, InFile, Result};
use crate::file::{FloatType, Tensor, TensorFile};

/// A model on disk: one safetensors file, a directory as Hugging Face's libraries write it, shards with an index, or a
/// pipeline of several models.
///
/// Headers are read and checked at once; data are mapped and read tensor by tensor, so that a model of any size takes
/// no memory of its own.
///
/// Where attention's query, key and value lie in one tensor, `….in_proj_weight` as torch's `MultiheadAttention` stores
/// them, its thirds are there as well, under the names `….q_proj.weight`, `….k_proj.weight` and `….v_proj.weight`; and
/// so are those of `….in_proj_bias`. [`BaseModel::names`] lists what is stored.
///
/// A pipeline is a directory with `model_index.json`, as diffusers writes it. It is one model here: the names of its
/// tensors begin with those of their components, `unet.`, `transformer.`, `text_encoder.` and so on, in which the
/// modules of an adapter are found by their prefixes. Components that adapters do not adapt (autoencoders, tokenizers)
/// are no part of it.
///
/// # Examples
/// ```no_run
/// let base = lokr_checkpoint::BaseModel::open("model/")?; // or model.safetensors, or model.safetensors.index.json
/// for name in base.names() {
///     println!("{name}: {:?}", base.info(name));
/// }
/// let weight = base.weight::<f32>("layers.0.q_proj.weight")?;
/// # Ok::<(), lokr_checkpoint::CheckpointError>(())
/// ```
#[derive(Debug)]
pub struct BaseModel {
    path: PathBuf,
    /// The directory it lies in, unless it was opened as one file.
    directory: Option<PathBuf>,
    /// The indexes of its shards.
    index_paths: Vec<PathBuf>,
    components: Option<Components>,
    files: Vec<TensorFile>,
    /// Which file holds a tensor.
    index: BTreeMap<String, usize>,
    /// Thirds of fused tensors by their names.
    fused: BTreeMap<String, Third>,
}

/// Names that quantised weights have in place of `weight`.
const QUANTIZED: [&str; 2] = ["qweight", "weight_packed"];

impl BaseModel {
    /// Opens a file, an index of shards (`….index.json`), a directory that holds either, or a pipeline: a directory
    /// with `model_index.json`, or that file.
    ///
    /// # Errors
    /// [`FileError::Missing`], [`FileError::ModelsBelow`] for a directory without a model of its own;
    /// [`FileError::ShardIndex`]; those of [`TensorFile::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Ok(Self::new(path, Opened::at(path)?))
    }

    fn new(path: &Path, opened: Opened) -> Self {
        let Opened { directory, index_paths, components, files, index } = opened;
        let path = path.to_owned();
        let mut model = Self { path, directory, index_paths, components, files, index, fused: BTreeMap::new() };
        let thirds = model.names().map(|name| model.own_thirds(name));
        // What is stored under a name of its own is that.
        let thirds = thirds.filter(|thirds| !thirds.iter().any(|(name, _)| model.index.contains_key(name)));
        model.fused = thirds.flatten().collect();
        model
    }

    fn own_thirds(&self, tensor: &str) -> Vec<(String, Third)> {
        self.info(tensor).map_or_else(Vec::new, |(_, shape)| fused::thirds(tensor, shape))
    }

    /// Where it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The index of its shards; nothing for a pipeline, whose components have theirs.
    #[must_use]
    pub fn index_path(&self) -> Option<&Path> {
        self.index_paths.first().filter(|_| self.components.is_none()).map(PathBuf::as_path)
    }

    /// The directory it is, or that its index lies in; nothing for a model that was opened as one file.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// The components of a pipeline that are part of this model, in the order of their names; none for another model.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.components.iter().flat_map(|components| &components.models).map(String::as_str)
    }

    /// The components of a pipeline whose directories are copied as they are.
    pub(crate) fn other_components(&self) -> impl Iterator<Item = &str> {
        self.components.iter().flat_map(|components| &components.others).map(String::as_str)
    }

    /// Whether a path is that of an index of its shards.
    pub(crate) fn is_index(&self, path: &Path) -> bool {
        self.index_paths.iter().any(|index| index == path)
    }

    /// The path of one of its files within its directory.
    pub(crate) fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        let within = self.directory.as_ref().and_then(|directory| path.strip_prefix(directory).ok());
        within.unwrap_or_else(|| path.file_name().map_or(path, Path::new))
    }

    /// Its files, one or the shards.
    #[must_use]
    pub fn files(&self) -> &[TensorFile] {
        &self.files
    }

    /// The names of its tensors, sorted.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }

    /// Type and shape of a tensor, from the header alone.
    #[must_use]
    pub fn info(&self, name: &str) -> Option<(Dtype, &[usize])> {
        if let Some(third) = self.fused.get(name) {
            return self.info(&third.tensor).map(|(dtype, _)| (dtype, &third.shape[..]));
        }
        self.index.get(name).and_then(|&file| self.files[file].info(name))
    }

    /// A tensor, or a third of a fused one; its data stay where they are.
    ///
    /// # Errors
    /// [`FileError::TensorMissing`].
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        if let Some(third) = self.fused.get(name) {
            return Ok(self.tensor(&third.tensor)?.rows(third.rows.clone()));
        }
        match self.index.get(name) {
            Some(&file) => self.files[file].tensor(name),
            None => Err(FileError::TensorMissing { key: name.to_owned() }.in_file(&self.path)),
        }
    }

    /// The name of the tensor that a weight is stored in: its own, or that of a fused one.
    pub(crate) fn stored_in<'a>(&'a self, name: &'a str) -> &'a str {
        self.fused.get(name).map_or(name, |third| &third.tensor)
    }

    /// The names of a fused tensor's thirds, in the order of their rows.
    pub(crate) fn thirds(&self, tensor: &str) -> Vec<String> {
        let names = self.own_thirds(tensor).into_iter().map(|(name, _)| name);
        names.filter(|name| self.fused.contains_key(name)).collect()
    }

    /// A weight's values, to compute with.
    ///
    /// # Errors
    /// [`FileError::TensorMissing`], [`FileError::QuantizedBase`].
    pub fn weight<T: Scalar>(&self, name: &str) -> Result<ArrayD<T>> {
        let tensor = self.tensor(name)?;
        self.check_type(name, tensor.dtype())?;
        tensor.to_array(name)
    }

    /// The modules that have a weight, quantised or not, on its own or as a third of a fused one.
    pub(crate) fn modules(&self) -> impl Iterator<Item = &str> {
        self.names().chain(self.fused.keys().map(String::as_str)).filter_map(|name| {
            let (module, parameter) = name.rsplit_once('.')?;
            (parameter == "weight" || QUANTIZED.contains(&parameter)).then_some(module)
        })
    }

    /// The weight's name and shape of a module, where it is one that can be adapted.
    pub(crate) fn adaptable(&self, module: &str) -> Result<(String, &[usize])> {
        let weight = format!("{module}.weight");
        if let Some((dtype, shape)) = self.info(&weight) {
            self.check_type(&weight, dtype)?;
            return Ok((weight, shape));
        }
        let quantized = QUANTIZED.iter().map(|parameter| format!("{module}.{parameter}"));
        let dtype = quantized.into_iter().find(|name| self.index.contains_key(name)).unwrap_or_default();
        Err(FileError::QuantizedBase { key: weight, dtype }.in_file(&self.path))
    }

    fn check_type(&self, name: &str, dtype: Dtype) -> Result<()> {
        if FloatType::from_dtype(dtype).is_some() {
            return Ok(());
        }
        let error = FileError::QuantizedBase { key: name.to_owned(), dtype: dtype.to_string() };
        Err(error.in_file(&self.path))
    }
}
