//! The update as a matrix, and added to a weight.

use lokr_core::Scalar;
use ndarray::Array2;

use super::lokr_adapter::LoKrAdapter;
use super::placement::DeltaPlacement;
use crate::activation::Activation;
use crate::error::{LayerError, Result};
use crate::layer::Layer;

impl<T: Scalar, L: Layer<T> + Clone> LoKrAdapter<T, L> {
    /// The update `s·(A ⊗ B) (out, in)` as a matrix of its own: `out·in` values of memory.
    #[must_use]
    pub fn delta_weight(&self) -> Array2<T> {
        self.delta.to_dense() * self.scaling
    }

    /// A copy of the base with the update added to its weight, its bias and activation kept. The adapter and its base
    /// stay as they are, byte for byte. The copy holds no gradients.
    ///
    /// # Errors
    /// [`LayerError::NotMergeable`] for a base without a weight matrix, [`LayerError::MergeThroughActivation`] for an
    /// update that is added after an activation other than the identity.
    pub fn merge(&self) -> Result<L> {
        let mut merged = self.base.clone();
        self.merge_into(&mut merged)?;
        merged.reset_state();
        Ok(merged)
    }

    /// Adds the update to the weight of `layer`, in place and without a temporary of the weight's size.
    ///
    /// # Errors
    /// As [`LoKrAdapter::merge`], and [`LayerError::Kron`] for a weight of another shape; `layer` is then untouched.
    pub fn merge_into(&self, layer: &mut L) -> Result<()> {
        self.add_delta(self.scaling, layer)
    }

    /// Takes the update off the weight of `layer` again. Exact to rounding only: `(w + d) − d` need not be `w`; keep
    /// the original where its bits matter.
    ///
    /// # Errors
    /// As [`LoKrAdapter::merge_into`].
    pub fn unmerge_from(&self, layer: &mut L) -> Result<()> {
        self.add_delta(-self.scaling, layer)
    }

    fn add_delta(&self, scaling: T, layer: &mut L) -> Result<()> {
        let name = layer.type_name();
        let linear = layer.as_linear_mut().ok_or(LayerError::NotMergeable { layer: name })?;
        let activation = linear.activation();
        if self.placement == DeltaPlacement::AfterActivation && activation != Activation::Identity {
            return Err(LayerError::MergeThroughActivation { activation: activation.name() });
        }
        Ok(self.delta.add_to(scaling, &mut linear.weight_mut())?)
    }
}
