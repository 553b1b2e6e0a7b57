//! Parameters by name: read, set, and loaded as a whole.

use std::collections::BTreeMap;

use lokr_core::Scalar;
use ndarray::{ArrayD, ArrayRef, IxDyn};

use super::traits::Layer;
use crate::error::{LayerError, Result};

/// What [`load_parameters`] does with names that do not meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loading {
    /// Every parameter must be given, and nothing else.
    Complete,
    /// What is missing keeps its values, and what is unknown is passed over; both are reported. At least one parameter
    /// must be given.
    Partial,
}

/// How given values met the parameters of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LoadReport {
    /// Parameters that were set, in the layer's order.
    pub loaded: Vec<String>,
    /// Parameters of the layer that were not given, in the layer's order.
    pub missing: Vec<String>,
    /// Names that were given and that the layer does not have, sorted.
    pub unknown: Vec<String>,
}

impl LoadReport {
    /// Whether every parameter was given, and nothing else.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.unknown.is_empty()
    }
}

/// Copies of all trainable parameters of `layer` by their names, those of [`Layer::visit`].
///
/// # Errors
/// [`LayerError::RepeatedName`] where two parameters have one name.
/// # Examples
/// ```
/// use lokr_layers::{Activation, Dense, Loading, load_parameters, named_parameters};
/// use ndarray::array;
///
/// let trained = Dense::from_arrays(array![[2.0, 3.0]], array![0.5, -0.5], Activation::Identity)?;
/// let values = named_parameters(&trained)?;
/// assert_eq!(values["bias"], array![0.5, -0.5].into_dyn());
///
/// let mut fresh = Dense::from_arrays(array![[0.0, 0.0]], array![0.0, 0.0], Activation::Identity)?;
/// let report = load_parameters(&mut fresh, &values, Loading::Complete)?;
/// assert_eq!(report.loaded, ["weight", "bias"]);
/// assert_eq!(fresh.weights(), trained.weights());
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub fn named_parameters<T: Scalar>(layer: &dyn Layer<T>) -> Result<BTreeMap<String, ArrayD<T>>> {
    let (mut parameters, mut repeated) = (BTreeMap::new(), None);
    layer.visit(&mut |name, values, _| {
        if parameters.insert(name.to_owned(), values.to_owned()).is_some() {
            repeated.get_or_insert_with(|| name.to_owned());
        }
    });
    match repeated {
        Some(name) => Err(LayerError::RepeatedName { layer: layer.type_name(), name }),
        None => Ok(parameters),
    }
}

/// Sets one trainable parameter by its name.
///
/// # Errors
/// [`LayerError::UnknownName`], [`LayerError::RepeatedName`], [`LayerError::NamedShape`],
/// [`LayerError::NamedNonFinite`]; nothing is changed then.
pub fn set_parameter<T: Scalar>(layer: &mut dyn Layer<T>, name: &str, values: &ArrayRef<T, IxDyn>) -> Result<()> {
    let given = BTreeMap::from([(name.to_owned(), values.to_owned())]);
    load_parameters(layer, &given, Loading::Partial).map(drop)
}

/// Sets the trainable parameters of `layer` from values with names: all or nothing. Gradients are dropped, and a
/// backward needs a new forward.
///
/// # Errors
/// [`LayerError::RepeatedName`] as for [`named_parameters`]; [`LayerError::NamedShape`] and
/// [`LayerError::NamedNonFinite`] for values that a parameter cannot take; with [`Loading::Complete`]
/// [`LayerError::MissingName`] and [`LayerError::UnknownName`]; with [`Loading::Partial`] `UnknownName` when no name is
/// known, `MissingName` when none is given. Nothing is changed then.
pub fn load_parameters<T: Scalar>(
    layer: &mut dyn Layer<T>,
    values: &BTreeMap<String, ArrayD<T>>,
    loading: Loading,
) -> Result<LoadReport> {
    let report = check(layer, values, loading)?;
    layer.visit_mut(&mut |name, mut parameter, _| {
        if let Some(values) = values.get(name) {
            parameter.assign(values);
        }
    });
    layer.clear_gradients();
    Ok(report)
}

fn check<T: Scalar>(
    layer: &dyn Layer<T>,
    values: &BTreeMap<String, ArrayD<T>>,
    loading: Loading,
) -> Result<LoadReport> {
    let type_name = layer.type_name();
    let own = named_parameters(layer)?;
    for (name, parameter) in &own {
        let Some(values) = values.get(name) else { continue };
        if values.shape() != parameter.shape() {
            return Err(LayerError::NamedShape {
                layer: type_name,
                name: name.clone(),
                expected: parameter.shape().to_vec(),
                found: values.shape().to_vec(),
            });
        }
        let count = values.iter().filter(|value| !value.is_finite()).count();
        if count > 0 {
            return Err(LayerError::NamedNonFinite {
                layer: type_name,
                name: name.clone(),
                count,
                total: values.len(),
            });
        }
    }
    let mut report = LoadReport::default();
    layer.visit(&mut |name, _, _| {
        let list = if values.contains_key(name) { &mut report.loaded } else { &mut report.missing };
        list.push(name.to_owned());
    });
    report.unknown = values.keys().filter(|name| !own.contains_key(*name)).cloned().collect();
    let strict = loading == Loading::Complete || report.loaded.is_empty();
    match (report.unknown.first(), report.missing.first()) {
        (Some(name), _) if strict => Err(LayerError::UnknownName { layer: type_name, name: name.clone() }),
        (_, Some(name)) if strict => Err(LayerError::MissingName { layer: type_name, name: name.clone() }),
        _ => Ok(report),
    }
}
