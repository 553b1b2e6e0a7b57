//! The model that is adapted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use lokr_core::Scalar;
use ndarray::ArrayD;
use safetensors::Dtype;

use super::open::Opened;
use super::pipeline::Components;
use super::views::{FUSED, Piece, Views};
use crate::error::{CheckpointError, FileError, InFile, NameError, Result};
use crate::file::{FloatType, Tensor, TensorFile};
use crate::quantized::{
    Beside, Description, Encoding, Layout, Weight, is_marker, layout, may_be_codes, module_of, possible_companions,
};

/// A model on disk: one safetensors file, a directory as Hugging Face's libraries write it, shards with an index, or a
/// pipeline of several models.
///
/// Headers are read and checked at once; data are mapped and read tensor by tensor, so that a model of any size takes
/// no memory of its own.
///
/// Its tensors have other names, too: those that programs give the modules of its architecture, whole ones, parts of a
/// tensor in which a program keeps several modules (`….attention.to_q.weight`, the first rows of
/// `….attention.qkv.weight`), and several tensors one below the other where it keeps them apart. Which model it is
/// shows in its own names. [`BaseModel::names`] lists what is stored; a name that is stored comes first.
///
/// Weights of eight bits a value (fp8 and int8, with scales or without) are read as what they stand for.
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
    /// Its tensors by other names, once one is asked for.
    views: OnceLock<Views>,
    /// What it tells of how weights are stored, beside the tensors next to each.
    description: Description,
    /// The tensors that say that others are scaled.
    markers: Vec<String>,
}

/// The file that tells of all weights.
const CONFIG: &str = "config.json";

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
        let markers = index.keys().filter(|name| is_marker(name)).cloned().collect();
        let mut description = Description::default();
        files.iter().for_each(|file| description.add_header(file.metadata()));
        let (path, views) = (path.to_owned(), OnceLock::new());
        let mut model = Self { path, directory, index_paths, components, files, index, views, description, markers };
        if let Some(config) = model.directory().map(|directory| directory.join(CONFIG)) {
            model.description.add_config(&config);
        }
        model
    }

    pub(super) fn views(&self) -> &Views {
        self.views.get_or_init(|| {
            let stored = self.index.iter();
            Views::new(stored.filter_map(|(name, &file)| Some((name.as_str(), self.files[file].info(name)?.1))))
        })
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

    /// Type and shape of a tensor, from the headers alone. Of several tensors one below the other, the first one's
    /// type.
    #[must_use]
    pub fn info(&self, name: &str) -> Option<(Dtype, &[usize])> {
        if let Some(&file) = self.index.get(name) {
            return self.files[file].info(name);
        }
        let view = self.views().tensors.get(name)?;
        let (dtype, _) = self.info(&view.pieces.first()?.tensor)?;
        Some((dtype, &view.shape))
    }

    /// A tensor; its data stay where they are, unless it is put together from several ones.
    ///
    /// # Errors
    /// [`FileError::TensorMissing`]; [`FileError::TensorDtype`] for parts of different types.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        if let Some(&file) = self.index.get(name) {
            return self.files[file].tensor(name);
        }
        let Some(pieces) = self.pieces(name) else {
            return Err(FileError::TensorMissing { key: name.to_owned() }.in_file(&self.path));
        };
        let part = |piece: &Piece| Ok(self.tensor(&piece.tensor)?.rows(piece.rows.clone()));
        let parts = pieces.iter().map(part).collect::<Result<Vec<_>>>()?;
        match &parts[..] {
            [only] => Ok(only.clone()),
            _ => Tensor::stacked(name, &parts).in_file(&self.path),
        }
    }

    /// Which rows of stored tensors a tensor is, one below the other.
    pub(crate) fn pieces(&self, name: &str) -> Option<Vec<Piece>> {
        match self.index.get(name) {
            Some(&file) => {
                let rows = self.files[file].info(name)?.1.first().copied().unwrap_or(1);
                Some(vec![Piece { tensor: name.to_owned(), rows: 0..rows }])
            }
            None => self.views().tensors.get(name).map(|view| view.pieces.clone()),
        }
    }

    /// The name of the tensor that a weight is stored in: its own, or the first that it is rows of.
    pub(crate) fn stored_in<'a>(&'a self, name: &'a str) -> &'a str {
        let view = || self.views().tensors.get(name)?.pieces.first();
        if self.stores(name) { name } else { view().map_or(name, |piece| &piece.tensor) }
    }

    /// Whether a tensor is stored under this name.
    pub(crate) fn stores(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    /// The names of query, key and value, of a tensor that holds the three and is no module's by its own name.
    pub(crate) fn thirds(&self, tensor: &str) -> Vec<String> {
        let Some((path, parameter)) =
            FUSED.iter().find_map(|(stored, name)| Some((tensor.strip_suffix(stored)?, name.rsplit_once('.')?.1)))
        else {
            return Vec::new();
        };
        let names = ["q_proj", "k_proj", "v_proj"].map(|part| format!("{path}{part}.{parameter}"));
        let third =
            |name: &&String| self.pieces(name).is_some_and(|pieces| pieces.len() == 1 && pieces[0].tensor == tensor);
        names.iter().filter(third).cloned().collect()
    }

    /// A weight's values, to compute with: where it is stored in eight bits a value with scales, what these stand for.
    ///
    /// # Errors
    /// [`FileError::TensorMissing`], [`FileError::QuantizedBase`], [`FileError::ScaleMissing`],
    /// [`FileError::ScalesTwice`], [`FileError::ScaleDtype`], [`FileError::ScaleShape`], [`FileError::ScaleValue`].
    pub fn weight<T: Scalar>(&self, name: &str) -> Result<ArrayD<T>> {
        Ok(self.stored_weight(name)?.to_array())
    }

    /// The Frobenius norm of a weight's values, in memory for a few of them only.
    ///
    /// # Errors
    /// Those of [`BaseModel::weight`].
    pub fn frobenius_norm(&self, name: &str) -> Result<f64> {
        Ok(self.stored_weight(name)?.frobenius_norm())
    }

    /// A weight as it is stored, or some rows of one.
    pub(crate) fn stored_weight(&self, name: &str) -> Result<Weight> {
        let stored =
            |tensor: &str| Ok(Weight { encoding: self.layout(tensor)?.encoding, tensor: self.tensor(tensor)? });
        if self.stores(name) {
            return stored(name);
        }
        let Some(pieces) = self.pieces(name) else {
            return Err(FileError::TensorMissing { key: name.to_owned() }.in_file(&self.path));
        };
        let part = |piece: &Piece| Ok(stored(&piece.tensor)?.rows(piece.rows.clone()));
        let parts = pieces.iter().map(part).collect::<Result<Vec<Weight>>>()?;
        if let [only] = &parts[..] {
            return Ok(only.clone());
        }
        // One below the other, as floats: each part may be stored in another way.
        let plain = parts.iter().map(|part| part.encoding.unquantized()).collect::<Option<Vec<_>>>();
        let float = match plain.as_deref() {
            Some([first, rest @ ..]) if rest.iter().all(|other| other == first) => *first,
            _ => FloatType::F32,
        };
        let tensors: Vec<_> = parts
            .iter()
            .map(|part| match part.encoding.unquantized() {
                Some(own) if own == float => part.tensor.clone(),
                _ => Tensor::from_array(&part.to_array::<f32>(), float),
            })
            .collect();
        Ok(Weight { tensor: Tensor::stacked(name, &tensors).in_file(&self.path)?, encoding: Encoding::plain(float) })
    }

    /// How a stored tensor's values follow from what is there.
    pub(crate) fn layout(&self, tensor: &str) -> Result<Layout> {
        let find = |name: &str| self.index.contains_key(name).then(|| self.tensor(name).ok()).flatten();
        let beside = Beside { description: &self.description, find: &find, markers: &self.markers };
        layout(tensor, self.info(tensor), &beside).in_file(&self.path)
    }

    /// How a stored tensor's values follow, or nothing where it holds no values that are read: integers and bytes need
    /// not be weights.
    pub(crate) fn encoding(&self, tensor: &str) -> Result<Option<Encoding>> {
        match self.layout(tensor) {
            Ok(layout) => Ok(Some(layout.encoding)),
            Err(error) if matches!(error.cause(), CheckpointError::File(FileError::QuantizedBase { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The tensors that say how others are stored, each with the one that it belongs to.
    pub(crate) fn companions(&self) -> BTreeMap<String, &str> {
        let codes = self.names().filter(|name| self.info(name).is_some_and(|(dtype, _)| may_be_codes(dtype)));
        let companions = codes.flat_map(|name| possible_companions(name).map(move |companion| (companion, name)));
        companions.filter(|(companion, _)| self.index.contains_key(companion)).collect()
    }

    /// The tensors that say that others are scaled.
    pub(crate) fn markers(&self) -> &[String] {
        &self.markers
    }

    /// Whether its configuration says that its weights are quantised, all in one way.
    pub(crate) fn is_quantized_by_config(&self) -> bool {
        self.description.has_config()
    }

    /// The modules that are stored with a weight, quantised or not.
    pub(crate) fn modules(&self) -> impl Iterator<Item = &str> {
        self.names().filter_map(module_of)
    }

    /// The other names of modules, also those under which nothing fits.
    pub(crate) fn other_modules(&self) -> impl Iterator<Item = &str> {
        let views = self.views();
        let names = views.tensors.keys().filter_map(|name| name.strip_suffix(".weight"));
        names.chain(views.misfits.keys().map(String::as_str))
    }

    /// The weight's name and shape of a module, where its values are stored in a way that is read.
    pub(crate) fn adaptable(&self, module: &str) -> Result<(String, &[usize])> {
        let weight = format!("{module}.weight");
        if let Some((_, shape)) = self.info(&weight) {
            if let Some(candidates) = self.views().doubtful.get(module).filter(|_| !self.stores(&weight)) {
                let (module, candidates) = (module.to_owned(), candidates.iter().cloned().collect());
                return Err(NameError::AmbiguousModule { module, candidates }.into());
            }
            for piece in self.pieces(&weight).unwrap_or_default() {
                self.layout(&piece.tensor)?;
            }
            return Ok((self.whole(&weight).unwrap_or(weight), shape));
        }
        if let Some(misfit) = self.views().misfits.get(module) {
            let ((rows, columns), tensor) = (misfit.size, misfit.module.clone());
            let (module, parts) = (module.to_owned(), misfit.parts.clone());
            return Err(NameError::RowsDoNotAddUp { module, tensor, rows, columns, parts }.in_file(&self.path));
        }
        // Why there is none: it may be stored in a way that is not read.
        self.layout(&weight)?;
        Err(FileError::TensorMissing { key: weight }.in_file(&self.path))
    }

    /// The stored weight that a name of a weight means all of.
    pub(crate) fn whole(&self, name: &str) -> Option<String> {
        let [only] = &self.views().tensors.get(name).filter(|_| !self.stores(name))?.pieces[..] else { return None };
        let (_, shape) = self.info(&only.tensor)?;
        (shape.first() == Some(&only.rows.len()) && only.tensor.ends_with(".weight")).then(|| only.tensor.clone())
    }

    /// The families of models that its names are recognised as.
    pub(crate) fn families(&self) -> impl Iterator<Item = &'static str> {
        self.views().families.iter().copied()
    }
}
