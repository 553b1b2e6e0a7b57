//! Whether an adapter belongs to the base it is put on: a hash of the base's values in the header of its file.

use std::collections::BTreeMap;

use lokr_core::Scalar;
use lokr_layers::{Layer, LayerError, Sequential};
use ndarray::ArrayViewD;
use sha2::{Digest, Sha256};

use crate::error::{ModuleError, Result};

/// The entry of the header: a JSON object with the hash of the base of each layer.
const ENTRY: &str = "lokr_base_sha256";

/// Whether [`load_adapters`](crate::load_adapters) compares the bases of a network with those that a file was made for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum BaseCheck {
    /// Where the file says which those were ([`SaveOptions::base_hash`](crate::SaveOptions::base_hash)).
    #[default]
    IfStored,
    /// The file must say so.
    Required,
    /// Not at all.
    Off,
}

/// SHA-256 of all values of a layer, in hexadecimal digits: equal for layers of equal values, whether they are `f32` or
/// `f64`, and whichever way a linear layer stores its weight. An adapter is adapted no matter by what: give it the
/// adapter's base.
///
/// # Cost
/// A pass over all values.
/// # Errors
/// [`LayerError::AlreadyMerged`] for an adapter with updates in its base's weight.
/// # Examples
/// ```
/// use lokr_checkpoint::base_hash;
/// use lokr_layers::{Activation, Dense, FullyConnected};
/// use ndarray::array;
///
/// let dense = Dense::from_arrays(array![[1.0_f32, 2.0]], array![0.0, 0.0], Activation::Relu)?;
/// let full = FullyConnected::from_arrays(array![[1.0], [2.0]], array![0.0, 0.0], Activation::Relu)?;
/// assert_eq!(base_hash::<f32>(&dense)?, base_hash::<f64>(&full)?);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub fn base_hash<T: Scalar>(layer: &dyn Layer<T>) -> Result<String, LayerError> {
    if layer.as_adapter().is_some_and(|adapter| adapter.is_merged()) {
        return Err(LayerError::AlreadyMerged { layer: layer.type_name() });
    }
    let mut hash = Sha256::new();
    let mut add = |name: &str, values: ArrayViewD<'_, T>| {
        hash.update(name.as_bytes());
        hash.update([0]);
        for &length in values.shape() {
            hash.update((length as u64).to_le_bytes());
        }
        values.iter().for_each(|value| hash.update(value.to_f64_exact().to_le_bytes()));
    };
    match layer.as_linear().filter(|_| layer.as_adapter().is_none()) {
        Some(linear) => {
            add("weight", linear.weight().into_dyn());
            if linear.has_bias() {
                add("bias", linear.bias().into_dyn());
            }
        }
        None => layer.visit_values(&mut add),
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The entry for the bases of these layers.
pub(super) fn to_metadata<T: Scalar>(network: &Sequential<T>, layers: &[String]) -> Result<BTreeMap<String, String>> {
    let mut hashes = BTreeMap::new();
    for layer in layers {
        let adapter = network.adapter(layer)?;
        if adapter.is_merged() {
            return Err(LayerError::AlreadyMerged { layer: adapter.type_name() }.into());
        }
        hashes.insert(layer, base_hash(adapter.base())?);
    }
    Ok(BTreeMap::from([(ENTRY.to_owned(), serde_json::to_string(&hashes)?)]))
}

/// Compares the bases of these layers with those that the header names.
///
/// # Errors
/// [`ModuleError::OtherBase`]; [`ModuleError::NoBaseHash`] where one is required and there is none.
pub(super) fn check<'l, T: Scalar>(
    network: &Sequential<T>,
    layers: impl Iterator<Item = &'l str>,
    metadata: &BTreeMap<String, String>,
    check: BaseCheck,
) -> Result<()> {
    if check == BaseCheck::Off {
        return Ok(());
    }
    let stored: BTreeMap<String, String> =
        metadata.get(ENTRY).map_or_else(|| Ok(BTreeMap::new()), |text| serde_json::from_str(text))?;
    for layer in layers {
        let Some(expected) = stored.get(layer) else {
            if check == BaseCheck::Required {
                return Err(ModuleError::NoBaseHash { module: layer.to_owned() }.into());
            }
            continue;
        };
        let target = network.layer(layer)?;
        let found = match target.as_adapter() {
            Some(adapter) if adapter.is_merged() => {
                return Err(LayerError::AlreadyMerged { layer: target.type_name() }.into());
            }
            Some(adapter) => base_hash(adapter.base())?,
            None => base_hash(target)?,
        };
        if found != *expected {
            let (module, expected) = (layer.to_owned(), expected.clone());
            return Err(ModuleError::OtherBase { module, expected, found }.into());
        }
    }
    Ok(())
}
