//! The update as a matrix, and added to a weight.

use lokr_core::Scalar;
use ndarray::Array2;

use super::{DeltaPlacement, LoKrAdapter};
use crate::{Activation, Layer, LayerError, LoraAdapter, Result};

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

    /// Takes the update off the weight of `layer` again. Exact to rounding only: `(w + d) − d` need not be `w`; keep the
    /// original where its bits matter.
    ///
    /// # Errors
    /// As [`LoKrAdapter::merge_into`].
    pub fn unmerge_from(&self, layer: &mut L) -> Result<()> {
        self.add_delta(-self.scaling, layer)
    }

    fn add_delta(&self, scale: T, layer: &mut L) -> Result<()> {
        let name = layer.type_name();
        let linear = layer.as_linear_mut().ok_or(LayerError::NotMergeable { layer: name })?;
        let activation = linear.activation();
        if self.placement == DeltaPlacement::AfterActivation && activation != Activation::Identity {
            return Err(LayerError::MergeThroughActivation { activation: activation.name() });
        }
        Ok(self.delta.add_to(scale, &mut linear.weight_mut())?)
    }
}

impl<T: Scalar, L: Layer<T> + Clone + 'static> LoraAdapter<T> for LoKrAdapter<T, L> {
    type Base = L;

    fn base_layer(&self) -> &L {
        self.base_layer()
    }
    fn into_base(self) -> L {
        self.into_base()
    }
    fn rank(&self) -> usize {
        self.rank()
    }
    fn alpha(&self) -> T {
        self.alpha()
    }
    fn scaling(&self) -> T {
        self.scaling()
    }
    fn set_scaling(&mut self, scaling: T) -> Result<()> {
        self.set_scaling(scaling)
    }
    fn is_base_frozen(&self) -> bool {
        self.is_base_frozen()
    }
    fn set_base_frozen(&mut self, frozen: bool) {
        self.set_base_frozen(frozen);
    }
    fn adapter_parameter_count(&self) -> usize {
        self.adapter_parameter_count()
    }
    fn delta_weight(&self) -> Array2<T> {
        self.delta_weight()
    }
    fn merge(&self) -> Result<L> {
        self.merge()
    }
    fn merge_into(&self, layer: &mut L) -> Result<()> {
        self.merge_into(layer)
    }
    fn unmerge_from(&self, layer: &mut L) -> Result<()> {
        self.unmerge_from(layer)
    }
}
