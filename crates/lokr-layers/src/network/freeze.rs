//! Layers that are kept as they are.

use lokr_core::Scalar;

use super::reach::{leaf_names, leaves_mut};
use super::select::Select;
use super::sequential::Sequential;
use crate::error::Result;
use crate::layer::Layer;

impl<T: Scalar> Sequential<T> {
    /// Keeps the parameters of the layers that are meant as they are, those inside their adapters included; the names
    /// of all of them, in order. Gradients are dropped where this changes anything.
    ///
    /// # Errors
    /// [`crate::LayerError::NoSuchLayer`] for what names no layer, [`crate::LayerError::Pattern`],
    /// [`crate::LayerError::NotFreezable`]; nothing is changed then.
    /// # Examples
    /// ```
    /// use lokr_layers::{Activation, Dense, Layer, Sequential};
    /// use ndarray::{Array1, Array2};
    ///
    /// let layer = || Dense::<f32>::from_arrays(Array2::zeros((3, 3)), Array1::zeros(3), Activation::Relu);
    /// let mut network = Sequential::empty();
    /// network.push_named("body", layer()?)?.push_named("head", layer()?)?;
    /// assert_eq!(network.freeze("body")?, ["body"]);
    /// assert_eq!(network.parameter_count(), 9 + 3); // the head's
    /// network.unfreeze("body")?;
    /// assert_eq!(network.parameter_count(), 2 * (9 + 3));
    /// # Ok::<(), lokr_layers::LayerError>(())
    /// ```
    pub fn freeze(&mut self, layers: impl Into<Select>) -> Result<Vec<String>> {
        self.set_leaves_frozen(&layers.into(), true)
    }

    /// Lets the layers that are meant train again; the names of all of them, in order.
    ///
    /// # Errors
    /// As [`Sequential::freeze`].
    pub fn unfreeze(&mut self, layers: impl Into<Select>) -> Result<Vec<String>> {
        self.set_leaves_frozen(&layers.into(), false)
    }

    fn set_leaves_frozen(&mut self, layers: &Select, frozen: bool) -> Result<Vec<String>> {
        let mut names = leaf_names(self);
        let meant = layers.of(&names)?;
        let leaves = leaves_mut(self).into_iter().zip(&meant).filter(|(_, meant)| **meant);
        set_all_frozen(leaves.map(|((_, layer), _)| layer), frozen)?;
        let mut meant = meant.into_iter();
        names.retain(|_| meant.next().unwrap_or(false));
        Ok(names)
    }
}

/// All of them, or none where one cannot be.
pub(super) fn set_all_frozen<'l, T: Scalar>(
    layers: impl Iterator<Item = &'l mut Box<dyn Layer<T>>>,
    frozen: bool,
) -> Result<()> {
    let mut changed: Vec<&mut Box<dyn Layer<T>>> = Vec::new();
    for layer in layers {
        if layer.is_frozen() == frozen {
            continue;
        }
        if let Err(error) = layer.set_frozen(frozen) {
            // What could be set before can be set back.
            changed.into_iter().for_each(|layer| drop(layer.set_frozen(!frozen)));
            return Err(error);
        }
        changed.push(layer);
    }
    Ok(())
}
