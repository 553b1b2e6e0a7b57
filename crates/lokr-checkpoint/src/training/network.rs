//! A whole network, and the run that trains it, in one file.

use std::collections::BTreeMap;
use std::path::Path;

use lokr_core::Scalar;
use lokr_layers::{Layer, LayerError, LayerSpec, Loading, TrainingState, load_values, named_values};

use super::run::{FORMAT, check_format};
use super::state::{array, from_tensors, to_tensors};
use crate::error::{FileError, InFile, Result};
use crate::file::{FloatType, Overwrite, Tensor, TensorFile, write_tensors};

const NETWORK: &str = "network";
/// The entry of the header with what the network is made of.
const SPEC: &str = "lokr_network";
/// What stands in front of the names of a network's values, and of those of the run.
const VALUES: &str = "network.";
const RUN: &str = "training.";

/// Writes all values of a network to a safetensors file, frozen ones and updates that are switched off too, every bit
/// of them; and the state of a run that trains it, if one is given. An older file is replaced as
/// [`save_training`](crate::save_training) does.
///
/// The values lie under `network.` and their names in the network. What the network is made of, its layers with their
/// types, sizes, activations, settings and whether they are frozen, is in the header as a [`LayerSpec`] in JSON, so
/// that [`read_network`] makes the network from the file alone. A network with layers that do not say what they are
/// ([`Form`](lokr_layers::Form)) is written without; [`load_network`] fills one that is made in the same way.
///
/// # Errors
/// [`LayerError::AlreadyMerged`] while updates are in the weight of their base, where they would be saved twice;
/// [`LayerError::RepeatedName`], [`LayerError::NamedNonFinite`]; those of [`write_tensors`]. Nothing is written then.
/// # Examples
/// ```
/// use lokr_checkpoint::{load_network, read_network, save_network};
/// use lokr_layers::{Activation, Dense, Layer, LoKrAdapter, LoKrInit};
/// use ndarray::{Array1, Array2};
///
/// let base = |value| Dense::from_arrays(Array2::from_elem((6, 4), value), Array1::zeros(4), Activation::Tanh);
/// let adapter = LoKrAdapter::builder(base(0.5_f32)?).rank(1).init(LoKrInit::Random).build()?;
/// let folder = tempfile::tempdir()?;
/// let file = folder.path().join("network.safetensors");
/// save_network(&file, &adapter, None)?;
///
/// let read = read_network::<f32>(&file)?.network;
/// let x = Array2::from_elem((2, 6), 1.0);
/// assert_eq!(read.predict(&x)?, adapter.predict(&x)?); // the frozen base came along
///
/// let mut other = LoKrAdapter::new(base(0.0)?, 1, None, true)?;
/// load_network(&file, &mut other)?;
/// assert_eq!(other.predict(&x)?, adapter.predict(&x)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn save_network<T: Scalar>(
    path: impl AsRef<Path>,
    network: &dyn Layer<T>,
    run: Option<&TrainingState<T>>,
) -> Result<()> {
    let path = path.as_ref();
    let metadata = metadata(network).in_file(path)?;
    write_tensors(path, &tensors(network, run).in_file(path)?, &metadata, Overwrite::Replace)
}

fn metadata<T: Scalar>(network: &dyn Layer<T>) -> Result<BTreeMap<String, String>> {
    let mut metadata = BTreeMap::from([(FORMAT.to_owned(), NETWORK.to_owned())]);
    match LayerSpec::of(network) {
        Ok(spec) => drop(metadata.insert(SPEC.to_owned(), serde_json::to_string(&spec)?)),
        Err(LayerError::NotDescribed { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(metadata)
}

fn tensors<T: Scalar>(network: &dyn Layer<T>, run: Option<&TrainingState<T>>) -> Result<BTreeMap<String, Tensor>> {
    refuse_merged(network)?;
    let mut tensors = BTreeMap::new();
    for (name, values) in named_values(network)? {
        let count = values.iter().filter(|value| !value.is_finite()).count();
        if count > 0 {
            let (layer, total) = (network.type_name(), values.len());
            return Err(LayerError::NamedNonFinite { layer, name, count, total }.into());
        }
        tensors.insert(format!("{VALUES}{name}"), Tensor::from_array(&values, FloatType::of::<T>()));
    }
    if let Some(run) = run {
        tensors.extend(to_tensors(run, RUN)?);
    }
    Ok(tensors)
}

fn refuse_merged<T: Scalar>(layer: &dyn Layer<T>) -> Result<(), LayerError> {
    if let Some(adapter) = layer.as_adapter() {
        if adapter.is_merged() {
            return Err(LayerError::AlreadyMerged { layer: layer.type_name() });
        }
        refuse_merged(adapter.base())?;
    }
    layer.children().into_iter().try_for_each(|(_, child)| refuse_merged(child))
}

/// Fills a network with what [`save_network`] wrote of one that was made in the same way, and gives the state of its
/// run, if there is one in the file. All or nothing.
///
/// # Errors
/// Those of [`TensorFile::open`]; [`FileError::OtherKind`](crate::FileError::OtherKind) and
/// [`FileError::OtherType`](crate::FileError::OtherType) as [`load_training`](crate::load_training);
/// [`LayerError::AlreadyMerged`]; [`LayerError::MissingName`], [`LayerError::UnknownName`], [`LayerError::NamedShape`]
/// and [`LayerError::NamedNonFinite`] for a file of another network. The network is as it was then.
pub fn load_network<T: Scalar>(path: impl AsRef<Path>, network: &mut dyn Layer<T>) -> Result<Option<TrainingState<T>>> {
    let file = TensorFile::open(path)?;
    check_format(&file, NETWORK)?;
    load(&file, network).in_file(file.path())
}

/// A network of a file, and the state of the run that trains it, if that is there too.
pub struct SavedNetwork<T: Scalar> {
    /// The network.
    pub network: Box<dyn Layer<T>>,
    /// The state of its run.
    pub run: Option<TrainingState<T>>,
}

/// Makes the network that [`save_network`] wrote, with the state of its run, if there is one in the file. Layers have
/// the types, activations, settings and freeze flags they had; adapters are those of `Box<dyn Layer<T>>`. Multipliers,
/// which are how strongly a user applies an update and no part of it, are 1, and what dropout draws next is in the
/// state of a run.
///
/// # Errors
/// Those of [`TensorFile::open`]; [`FileError::OtherKind`](crate::FileError::OtherKind) and
/// [`FileError::OtherType`](crate::FileError::OtherType) as [`load_training`](crate::load_training), the former also
/// for a file that does not say what the network is made of; [`FileError::Json`](crate::FileError::Json); those of
/// [`LayerSpec::build`] and [`load_values`] for a header that describes no network, or one of other values.
pub fn read_network<T: Scalar>(path: impl AsRef<Path>) -> Result<SavedNetwork<T>> {
    let file = TensorFile::open(path)?;
    check_format(&file, NETWORK)?;
    read(&file).in_file(file.path())
}

fn read<T: Scalar>(file: &TensorFile) -> Result<SavedNetwork<T>> {
    let without = || FileError::OtherKind {
        expected: "network with a description of its layers",
        found: "a network without".to_owned(),
    };
    let text = file.metadata().get(SPEC).ok_or_else(without)?;
    let spec: LayerSpec = serde_json::from_str(text)?;
    let mut network = spec.build::<T>()?;
    let run = load(file, &mut network)?;
    Ok(SavedNetwork { network, run })
}

fn load<T: Scalar>(file: &TensorFile, network: &mut dyn Layer<T>) -> Result<Option<TrainingState<T>>> {
    refuse_merged(network)?;
    let mut values = BTreeMap::new();
    for key in file.names() {
        if let Some(name) = key.strip_prefix(VALUES) {
            values.insert(name.to_owned(), array(key, &file.tensor(key)?)?);
        }
    }
    let run = file.names().any(|key| key.starts_with(RUN)).then(|| from_tensors(file, RUN)).transpose()?;
    load_values(network, &values, Loading::Complete)?;
    Ok(run)
}
