//! The model that is adapted.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use lokr_core::Scalar;
use ndarray::ArrayD;
use safetensors::Dtype;
use serde::Deserialize;

use super::fused;
use super::fused::Third;
use crate::error::{FileError, InFile, Result};
use crate::file::{Fields, FloatType, Tensor, TensorFile, other_formats, parent};

/// A model on disk: one safetensors file, a directory as Hugging Face's libraries write it, or shards with an index.
///
/// Headers are read and checked at once; data are mapped and read tensor by tensor, so that a model of any size takes
/// no memory of its own.
///
/// Where attention's query, key and value lie in one tensor, `….in_proj_weight` as torch's `MultiheadAttention` stores
/// them, its thirds are there as well, under the names `….q_proj.weight`, `….k_proj.weight` and `….v_proj.weight`; and
/// so are those of `….in_proj_bias`. [`BaseModel::names`] lists what is stored.
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
    /// The index of its shards.
    index_path: Option<PathBuf>,
    files: Vec<TensorFile>,
    /// Which file holds a tensor.
    index: BTreeMap<String, usize>,
    /// Thirds of fused tensors by their names.
    fused: BTreeMap<String, Third>,
}

/// Names of a model's one file, or of its index with `.index.json` behind.
const NAMES: [&str; 2] = ["model.safetensors", "diffusion_pytorch_model.safetensors"];
const INDEX_SUFFIX: &str = ".index.json";

/// Names that quantised weights have in place of `weight`.
const QUANTIZED: [&str; 2] = ["qweight", "weight_packed"];

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: Fields<String>,
}

impl BaseModel {
    /// Opens a file, an index of shards (`….index.json`), or a directory that holds either.
    ///
    /// # Errors
    /// [`FileError::Missing`] for a directory without a model; [`FileError::ShardIndex`]; those of
    /// [`TensorFile::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = if path.is_dir() { find_in(path).in_file(path)? } else { path.to_owned() };
        if file.to_string_lossy().ends_with(INDEX_SUFFIX) {
            return Self::open_shards(path, &file).in_file(&file);
        }
        let file = TensorFile::open(file)?;
        let index = file.names().map(|name| (name.to_owned(), 0)).collect();
        Ok(Self::new(path, None, vec![file], index))
    }

    fn new(path: &Path, index_path: Option<&Path>, files: Vec<TensorFile>, index: BTreeMap<String, usize>) -> Self {
        let (path, index_path) = (path.to_owned(), index_path.map(Path::to_owned));
        let mut model = Self { path, index_path, files, index, fused: BTreeMap::new() };
        let thirds = model.names().map(|name| model.own_thirds(name));
        // What is stored under a name of its own is that.
        let thirds = thirds.filter(|thirds| !thirds.iter().any(|(name, _)| model.index.contains_key(name)));
        model.fused = thirds.flatten().collect();
        model
    }

    fn own_thirds(&self, tensor: &str) -> Vec<(String, Third)> {
        self.info(tensor).map_or_else(Vec::new, |(_, shape)| fused::thirds(tensor, shape))
    }

    fn open_shards(path: &Path, index_path: &Path) -> Result<Self> {
        let text = std::fs::read(index_path)?;
        let shards = serde_json::from_slice::<ShardIndex>(&text)?.weight_map.unique()?;
        let directory = parent(index_path);
        let (mut files, mut opened) = (Vec::new(), BTreeMap::new());
        let mut index = BTreeMap::new();
        for (key, shard) in shards {
            let error = |key: String, shard: &str, problem| {
                Err(FileError::ShardIndex { key, shard: shard.to_owned(), problem }.into())
            };
            let mut components = Path::new(&shard).components();
            if !matches!((components.next(), components.next()), (Some(Component::Normal(_)), None)) {
                return error(key, &shard, "is not a file name");
            }
            let number = match opened.get(&shard) {
                Some(&number) => number,
                None => {
                    files.push(TensorFile::open(directory.join(&shard))?);
                    opened.insert(shard.clone(), files.len() - 1);
                    files.len() - 1
                }
            };
            if files[number].info(&key).is_none() {
                return error(key, &shard, "does not hold it");
            }
            index.insert(key, number);
        }
        Ok(Self::new(path, Some(index_path), files, index))
    }

    /// Where it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The index of its shards.
    #[must_use]
    pub fn index_path(&self) -> Option<&Path> {
        self.index_path.as_deref()
    }

    /// The directory it is, or that its index lies in; nothing for a model that was opened as one file.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match &self.index_path {
            Some(index) => Some(parent(index)),
            None => Some(&*self.path).filter(|path| path.is_dir()),
        }
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

/// The file or index of the model in a directory.
fn find_in(directory: &Path) -> Result<PathBuf> {
    let known = NAMES.iter().flat_map(|name| [(*name).to_owned(), format!("{name}{INDEX_SUFFIX}")]);
    if let Some(path) = known.map(|name| directory.join(name)).find(|path| path.is_file()) {
        return Ok(path);
    }
    let mut entries = std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    entries.sort();
    let ends_with =
        |suffix: &str| entries.iter().filter(|path| path.to_string_lossy().ends_with(suffix)).collect::<Vec<_>>();
    let indexes = ends_with(&format!(".safetensors{INDEX_SUFFIX}"));
    let files = ends_with(".safetensors");
    match (&indexes[..], &files[..]) {
        ([only], _) | ([], [only]) => Ok((*only).clone()),
        ([], []) => {
            // What the file says of itself comes before its name.
            if let Some(path) = entries.iter().find(|path| other_formats::check_name(path).is_err()) {
                TensorFile::open(path)?;
            }
            Err(FileError::Missing { expected: "safetensors file".to_owned() }.into())
        }
        _ => Err(FileError::Missing {
            expected: format!("{} or {}{INDEX_SUFFIX} among several files", NAMES[0], NAMES[0]),
        }
        .into()),
    }
}
