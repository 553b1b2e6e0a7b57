//! Layers that are trained whole: their tensors as PyTorch has them, a linear weight as `(out, in)`, that of a
//! convolution as `(out, channels/groups, kernel…)`, which is how its layer shows it.

use std::collections::BTreeMap;

use lokr_core::Scalar;
use lokr_layers::{Layer, LayerError, Sequential};
use ndarray::{ArrayD, Ix2};

use crate::error::{NameError, Result};
use crate::file::{FloatType, Tensor};

const WEIGHT: &str = "weight";

/// The tensors of the layers that train whole, by the names that a model has for them.
pub(super) fn tensors<T: Scalar>(network: &Sequential<T>, dtype: FloatType) -> Result<BTreeMap<String, Tensor>> {
    let (mut tensors, mut result) = (BTreeMap::new(), Ok(()));
    for (layer_name, layer) in network.trained_whole() {
        let linear = layer.as_linear().filter(|_| layer.patches().is_none());
        layer.visit(&mut |name, values, _| {
            let key = format!("{layer_name}.{name}");
            let values = match linear {
                Some(linear) if name == WEIGHT => linear.weight().to_owned().into_dyn(),
                _ => values.to_owned(),
            };
            match finite(layer, &key, &values).and_then(|()| Tensor::rounded(&key, &values, dtype)) {
                Ok(tensor) => drop(tensors.insert(key, tensor)),
                Err(error) => result = Err(error),
            }
        });
    }
    result.map(|()| tensors)
}

/// A tensor for a layer of a network, known to fit.
pub(super) struct WholeTensor<T> {
    layer: String,
    parameter: String,
    values: ArrayD<T>,
}

impl<T: Scalar> WholeTensor<T> {
    /// The values of the tensor called `key` for the layer that it means.
    pub(super) fn new(network: &Sequential<T>, key: &str, tensor: &Tensor) -> Result<Self> {
        let unmatched = || NameError::UnmatchedModules { modules: vec![key.to_owned()], matched: Vec::new(), total: 1 };
        let (name, parameter) = key.rsplit_once('.').ok_or_else(unmatched)?;
        let layer = network.layer(name)?;
        if layer.as_adapter().is_some() {
            let wanted = format!("{name}, which the file replaces as a whole and which is an adapter here");
            return Err(LayerError::NoSuchLayer { wanted, layers: Vec::new() }.into());
        }
        let mut expected = None;
        match layer.as_linear().filter(|_| layer.patches().is_none()) {
            Some(linear) if parameter == WEIGHT => expected = Some(linear.weight().shape().to_vec()),
            _ => layer.visit_values(&mut |own, values| {
                if own == parameter {
                    expected = Some(values.shape().to_vec());
                }
            }),
        }
        let unknown = || LayerError::UnknownName { layer: layer.type_name(), name: key.to_owned() };
        let (expected, found) = (expected.ok_or_else(unknown)?, tensor.shape().to_vec());
        if expected != found {
            let (layer, name) = (layer.type_name(), key.to_owned());
            return Err(LayerError::NamedShape { layer, name, expected, found }.into());
        }
        let values = tensor.to_array(key)?;
        finite(layer, key, &values)?;
        Ok(Self { layer: name.to_owned(), parameter: parameter.to_owned(), values })
    }

    /// Puts the values into the layer.
    pub(super) fn set(&self, network: &mut Sequential<T>) -> Result<()> {
        let layer = network.layer_mut(&self.layer)?;
        match (layer.as_linear_mut(), self.values.view().into_dimensionality::<Ix2>()) {
            (Some(linear), Ok(weight)) if self.parameter == WEIGHT => linear.weight_mut().assign(&weight),
            _ => layer.visit_values_mut(&mut |own, mut values| {
                if own == self.parameter {
                    values.assign(&self.values);
                }
            }),
        }
        Ok(())
    }
}

fn finite<T: Scalar>(layer: &dyn Layer<T>, name: &str, values: &ArrayD<T>) -> Result<()> {
    let count = values.iter().filter(|value| !value.is_finite()).count();
    if count == 0 {
        return Ok(());
    }
    let (layer, name, total) = (layer.type_name(), name.to_owned(), values.len());
    Err(LayerError::NamedNonFinite { layer, name, count, total }.into())
}
