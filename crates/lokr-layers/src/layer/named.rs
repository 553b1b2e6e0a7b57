//! Parameters by name: read, set, and loaded as a whole.

use std::collections::BTreeMap;

use lokr_core::Scalar;
use ndarray::{ArrayD, ArrayRef, ArrayViewD, IxDyn};

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
    Kind::Parameters.collect(layer, |values| values.to_owned())
}

/// Copies of all values of `layer` by their names, frozen ones too: those of [`Layer::visit_values`].
///
/// # Errors
/// As [`named_parameters`].
/// # Examples
/// ```
/// use lokr_layers::{Activation, Dense, Layer, Loading, load_values, named_values};
/// use ndarray::array;
///
/// let mut layer = Dense::from_arrays(array![[2.0, 3.0]], array![0.5, -0.5], Activation::Identity)?;
/// layer.set_frozen(true)?;
/// assert_eq!(layer.parameter_count(), 0); // nothing trains
/// let values = named_values(&layer)?; // but it is all there
/// let mut other = Dense::from_arrays(array![[0.0, 0.0]], array![0.0, 0.0], Activation::Identity)?;
/// load_values(&mut other, &values, Loading::Complete)?;
/// assert_eq!(other.weights(), layer.weights());
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub fn named_values<T: Scalar>(layer: &dyn Layer<T>) -> Result<BTreeMap<String, ArrayD<T>>> {
    Kind::Values.collect(layer, |values| values.to_owned())
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
    let report = Kind::Parameters.check(layer, values, loading)?;
    layer.visit_mut(&mut |name, mut parameter, _| {
        if let Some(values) = values.get(name) {
            parameter.assign(values);
        }
    });
    layer.clear_gradients();
    Ok(report)
}

/// [`load_parameters`] for all values, frozen ones too: those of [`named_values`].
///
/// # Errors
/// As [`load_parameters`].
pub fn load_values<T: Scalar>(
    layer: &mut dyn Layer<T>,
    values: &BTreeMap<String, ArrayD<T>>,
    loading: Loading,
) -> Result<LoadReport> {
    let report = Kind::Values.check(layer, values, loading)?;
    layer.visit_values_mut(&mut |name, mut own| {
        if let Some(values) = values.get(name) {
            own.assign(values);
        }
    });
    Ok(report)
}

/// Which values of a layer are meant.
#[derive(Clone, Copy)]
enum Kind {
    Parameters,
    Values,
}

impl Kind {
    fn visit<T: Scalar>(self, layer: &dyn Layer<T>, visitor: &mut dyn FnMut(&str, ArrayViewD<'_, T>)) {
        match self {
            Self::Parameters => layer.visit(&mut |name, values, _| visitor(name, values)),
            Self::Values => layer.visit_values(visitor),
        }
    }

    /// What `of` makes of each, by their names.
    fn collect<T: Scalar, V>(
        self,
        layer: &dyn Layer<T>,
        of: impl Fn(ArrayViewD<'_, T>) -> V,
    ) -> Result<BTreeMap<String, V>> {
        let (mut found, mut repeated) = (BTreeMap::new(), None);
        self.visit(layer, &mut |name, values| {
            if found.insert(name.to_owned(), of(values)).is_some() {
                repeated.get_or_insert_with(|| name.to_owned());
            }
        });
        match repeated {
            Some(name) => Err(LayerError::RepeatedName { layer: layer.type_name(), name }),
            None => Ok(found),
        }
    }

    fn check<T: Scalar>(
        self,
        layer: &dyn Layer<T>,
        values: &BTreeMap<String, ArrayD<T>>,
        loading: Loading,
    ) -> Result<LoadReport> {
        let type_name = layer.type_name();
        let own = self.collect(layer, |values| values.shape().to_vec())?;
        for (name, shape) in &own {
            let Some(values) = values.get(name) else { continue };
            if values.shape() != shape.as_slice() {
                return Err(LayerError::NamedShape {
                    layer: type_name,
                    name: name.clone(),
                    expected: shape.clone(),
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
        self.visit(layer, &mut |name, _| {
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
}
