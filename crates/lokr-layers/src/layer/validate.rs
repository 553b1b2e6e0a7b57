//! Parameters by name, looked at before anything is loaded.

use std::collections::BTreeMap;
use std::fmt;

use lokr_core::Scalar;
use ndarray::ArrayD;

use super::traits::Layer;
use crate::error::{LayerError, Result};

/// How given values would meet the parameters of a layer: every mismatch, not only the first. Printed, it is a line for
/// each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ParameterReport {
    /// Parameters whose values are given and fit, in the layer's order.
    pub matched: Vec<String>,
    /// Parameters that are not given, in the layer's order.
    pub missing: Vec<String>,
    /// Names that are given and that the layer does not have, sorted.
    pub unknown: Vec<String>,
    /// Parameters whose values have another shape, in the layer's order.
    pub shapes: Vec<ShapeMismatch>,
    /// Parameters with values that are not finite, and how many, in the layer's order.
    pub not_finite: Vec<(String, usize)>,
}

/// A parameter whose values have another shape.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ShapeMismatch {
    /// The parameter's name.
    pub name: String,
    /// The shape it has in the layer.
    pub expected: Vec<usize>,
    /// The shape that is given.
    pub found: Vec<usize>,
}

impl ParameterReport {
    /// Whether [`crate::load_parameters`] would take the values with [`crate::Loading::Partial`]: something fits, and
    /// nothing that the layer has is of another shape or not finite.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        !self.matched.is_empty() && self.shapes.is_empty() && self.not_finite.is_empty()
    }

    /// Whether it would with [`crate::Loading::Complete`].
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let all = self.missing.is_empty() && self.unknown.is_empty();
        all && self.shapes.is_empty() && self.not_finite.is_empty()
    }
}

impl fmt::Display for ParameterReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} fit", self.matched.len())?;
        for ShapeMismatch { name, expected, found } in &self.shapes {
            write!(f, "\n{name} has shape {found:?}, expected {expected:?}")?;
        }
        for (name, count) in &self.not_finite {
            write!(f, "\n{name} has {count} values that are not finite")?;
        }
        self.missing.iter().try_for_each(|name| write!(f, "\n{name} is missing"))?;
        self.unknown.iter().try_for_each(|name| write!(f, "\n{name} is unknown"))
    }
}

/// The names and shapes of all trainable parameters, in the order of [`Layer::visit`].
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, Dense, parameter_shapes};
/// use ndarray::array;
///
/// let layer = Dense::from_arrays(array![[2.0, 3.0]], array![0.5, -0.5], Activation::Identity)?;
/// assert_eq!(parameter_shapes(&layer), [("weight".to_owned(), vec![1, 2]), ("bias".to_owned(), vec![2])]);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub fn parameter_shapes<T: Scalar>(layer: &dyn Layer<T>) -> Vec<(String, Vec<usize>)> {
    let mut found = Vec::new();
    layer.visit(&mut |name, values, _| found.push((name.to_owned(), values.shape().to_vec())));
    found
}

/// A copy of one trainable parameter.
///
/// # Errors
/// [`LayerError::UnknownName`].
pub fn parameter<T: Scalar>(layer: &dyn Layer<T>, name: &str) -> Result<ArrayD<T>> {
    let mut found = None;
    layer.visit(&mut |own, values, _| {
        if own == name {
            found.get_or_insert_with(|| values.to_owned());
        }
    });
    found.ok_or_else(|| LayerError::UnknownName { layer: layer.type_name(), name: name.to_owned() })
}

/// Whether values with names would meet the trainable parameters of `layer`, without loading any.
///
/// # Errors
/// [`LayerError::RepeatedName`] where two parameters of the layer have one name.
/// # Examples
/// ```
/// use std::collections::BTreeMap;
/// use lokr_layers::{Activation, Dense, check_parameters};
/// use ndarray::array;
///
/// let layer = Dense::from_arrays(array![[2.0, 3.0]], array![0.5, -0.5], Activation::Identity)?;
/// let weight = array![[1.0, 2.0], [3.0, 4.0]].into_dyn();
/// let report = check_parameters(&layer, &BTreeMap::from([("weight".to_owned(), weight)]))?;
/// assert!(!report.is_valid());
/// assert_eq!(report.to_string(), "0 fit\nweight has shape [2, 2], expected [1, 2]\nbias is missing");
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub fn check_parameters<T: Scalar>(
    layer: &dyn Layer<T>,
    values: &BTreeMap<String, ArrayD<T>>,
) -> Result<ParameterReport> {
    let count = |array: &ArrayD<T>| array.iter().filter(|value| !value.is_finite()).count();
    check(layer, values, |array: &ArrayD<T>| (array.shape(), count(array)))
}

/// [`check_parameters`] from the shapes alone, such as those in the header of a file.
///
/// # Errors
/// As [`check_parameters`].
pub fn check_parameter_shapes<T: Scalar>(
    layer: &dyn Layer<T>,
    shapes: &BTreeMap<String, Vec<usize>>,
) -> Result<ParameterReport> {
    check(layer, shapes, |shape: &Vec<usize>| (shape.as_slice(), 0))
}

/// `of` gives the shape of what is given, and how many values are not finite.
fn check<T: Scalar, V>(
    layer: &dyn Layer<T>,
    given: &BTreeMap<String, V>,
    of: impl for<'v> Fn(&'v V) -> (&'v [usize], usize),
) -> Result<ParameterReport> {
    let (mut report, mut own) = (ParameterReport::default(), std::collections::BTreeSet::new());
    for (name, expected) in parameter_shapes(layer) {
        if !own.insert(name.clone()) {
            return Err(LayerError::RepeatedName { layer: layer.type_name(), name });
        }
        match given.get(&name).map(&of) {
            None => report.missing.push(name),
            Some((found, _)) if found != expected => {
                report.shapes.push(ShapeMismatch { name, expected, found: found.to_vec() });
            }
            Some((_, count)) if count > 0 => report.not_finite.push((name, count)),
            Some(_) => report.matched.push(name),
        }
    }
    report.unknown = given.keys().filter(|name| !own.contains(*name)).cloned().collect();
    Ok(report)
}

/// Values under the names that `mapping` gives them; those it gives none are left out. For values of another program,
/// before [`crate::load_parameters`].
///
/// # Errors
/// [`LayerError::RepeatedName`] where two get one name.
/// # Examples
/// ```
/// use std::collections::BTreeMap;
/// use lokr_layers::rename_parameters;
/// use ndarray::arr0;
///
/// let given = BTreeMap::from(["model.0.weight", "step"].map(|name| (name.to_owned(), arr0(1.0).into_dyn())));
/// let renamed = rename_parameters(given, |name| name.strip_prefix("model.").map(str::to_owned))?;
/// assert_eq!(renamed.keys().collect::<Vec<_>>(), ["0.weight"]);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub fn rename_parameters<T>(
    values: BTreeMap<String, ArrayD<T>>,
    mapping: impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, ArrayD<T>>> {
    let mut renamed = BTreeMap::new();
    for (name, array) in values {
        let Some(new) = mapping(&name) else { continue };
        if renamed.insert(new.clone(), array).is_some() {
            return Err(LayerError::RepeatedName { layer: "rename_parameters", name: new });
        }
    }
    Ok(renamed)
}
