//! Everything that a training run needs to go on, as a plain list.

use std::collections::BTreeMap;

use ndarray::{ArrayD, ArrayViewD};

use crate::error::{LayerError, Result};

/// Named arrays and numbers: the state of an optimizer ([`crate::Optimizer::save_state`]), or of a whole run
/// ([`crate::Training::save_every`]).
///
/// Plain data, to be written in any format that keeps every bit. Names hold letters, digits, `_` and `.` as those of
/// the parameters do.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, Adam, Dense, Layer, Optimizer};
/// use ndarray::array;
///
/// let mut layer = Dense::from_arrays(array![[2.0]], array![0.0], Activation::Identity)?;
/// let mut adam = Adam::new(0.5)?;
/// layer.forward(&array![[3.0]])?;
/// layer.backward(&array![[1.0]])?;
/// adam.step(&mut layer)?;
///
/// let state = adam.save_state(&layer)?;
/// assert_eq!(state.counts["steps"], 1);
/// let names: Vec<&String> = state.arrays.keys().collect();
/// assert_eq!(names, ["mean.bias", "mean.weight", "square.bias", "square.weight"]);
///
/// let mut other = Adam::new(0.5)?;
/// other.load_state(&layer, &state)?; // goes on where the first one was
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
#[cfg_attr(
    feature = "serde",
    serde(bound(serialize = "T: serde::Serialize", deserialize = "T: serde::Deserialize<'de>"))
)]
pub struct TrainingState<T> {
    /// Parameters, and memories of the optimizer in their shapes.
    #[cfg_attr(feature = "serde", serde(with = "crate::spec::arrays"))]
    pub arrays: BTreeMap<String, ArrayD<T>>,
    /// Rates and losses.
    pub numbers: BTreeMap<String, f64>,
    /// Steps, epochs, seeds. All 64 bits count.
    pub counts: BTreeMap<String, u64>,
}

impl<T> Default for TrainingState<T> {
    fn default() -> Self {
        Self { arrays: BTreeMap::new(), numbers: BTreeMap::new(), counts: BTreeMap::new() }
    }
}

const OWNER: &str = "TrainingState";

impl<T> TrainingState<T> {
    /// The array called `name`, which must have that shape.
    pub(super) fn array(&self, name: &str, shape: &[usize]) -> Result<ArrayViewD<'_, T>> {
        let found = self.arrays.get(name);
        let name = || name.to_owned();
        match found {
            None => Err(LayerError::MissingName { layer: OWNER, name: name() }),
            Some(array) if array.shape() != shape => Err(LayerError::NamedShape {
                layer: OWNER,
                name: name(),
                expected: shape.to_vec(),
                found: array.shape().to_vec(),
            }),
            Some(array) => Ok(array.view()),
        }
    }

    /// The number called `name`.
    pub(super) fn number(&self, name: &str) -> Result<f64> {
        found(&self.numbers, name)
    }

    /// The count called `name`.
    pub(super) fn count(&self, name: &str) -> Result<u64> {
        found(&self.counts, name)
    }

    /// Takes all of `part` in, with `prefix` and a point before each name.
    pub(super) fn insert(&mut self, prefix: &str, part: Self) {
        let name = |name: String| format!("{prefix}.{name}");
        self.arrays.extend(part.arrays.into_iter().map(|(key, array)| (name(key), array)));
        self.numbers.extend(part.numbers.into_iter().map(|(key, number)| (name(key), number)));
        self.counts.extend(part.counts.into_iter().map(|(key, count)| (name(key), count)));
    }
}

impl<T: Clone> TrainingState<T> {
    /// The reverse of [`TrainingState::insert`].
    pub(super) fn part(&self, prefix: &str) -> Self {
        Self {
            arrays: part(&self.arrays, prefix),
            numbers: part(&self.numbers, prefix),
            counts: part(&self.counts, prefix),
        }
    }
}

fn part<V: Clone>(values: &BTreeMap<String, V>, prefix: &str) -> BTreeMap<String, V> {
    let rest = |name: &str| Some(name.strip_prefix(prefix)?.strip_prefix('.')?.to_owned());
    values.iter().filter_map(|(name, value)| Some((rest(name)?, value.clone()))).collect()
}

fn found<V: Copy>(values: &BTreeMap<String, V>, name: &str) -> Result<V> {
    values.get(name).copied().ok_or_else(|| LayerError::MissingName { layer: OWNER, name: name.to_owned() })
}
