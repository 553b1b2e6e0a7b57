//! What all adapters of the LoRA family share, and the LoKr adapter as one of them.

use lokr_core::Scalar;
use ndarray::Array2;

use super::lokr_adapter::LoKrAdapter;
use crate::error::Result;
use crate::layer::Layer;

/// A layer that adds a small trainable update `ΔW = scaling·(…)` to a base layer, which it can keep frozen.
///
/// How the update is parametrised is the adapter's own business; what a training loop, a saver or a merger needs is
/// here. [`crate::LoKrAdapter`] has the same methods of its own, so this trait need only be in scope in generic code.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, Dense, LoKrAdapter, LoraAdapter};
/// use ndarray::{Array1, Array2};
///
/// fn strength(adapter: &impl LoraAdapter<f32>) -> f32 {
///     adapter.scaling() * adapter.rank() as f32
/// }
/// let base = Dense::from_arrays(Array2::zeros((6, 4)), Array1::zeros(4), Activation::Identity)?;
/// assert_eq!(strength(&LoKrAdapter::new(base, 2, Some(3.0), true)?), 3.0);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub trait LoraAdapter<T: Scalar>: Layer<T> {
    /// Type of the layer that is adapted.
    type Base: Layer<T>;

    /// The adapted layer, as it was given.
    fn base_layer(&self) -> &Self::Base;

    /// Takes the adapted layer out and drops the adapter.
    fn into_base(self) -> Self::Base
    where
        Self: Sized;

    /// The rank asked for.
    fn rank(&self) -> usize;

    /// Numerator of the scaling the adapter was made with.
    fn alpha(&self) -> T;

    /// What the update is multiplied by; in files, where `lokr-checkpoint` reads it by a rule, it is called the scale.
    fn scaling(&self) -> T;

    /// Changes the strength of the update; zero switches it off.
    ///
    /// # Errors
    /// [`crate::LayerError::InvalidSetting`] unless `scaling` is finite.
    fn set_scaling(&mut self, scaling: T) -> Result<()>;

    /// Whether the base's parameters are kept as they are.
    fn is_base_frozen(&self) -> bool;

    /// Freezes the base or lets it train. Gradients are dropped when this changes anything.
    fn set_base_frozen(&mut self, frozen: bool);

    /// Number of trainable values of the adapter alone, without the base's.
    fn adapter_parameter_count(&self) -> usize;

    /// The update `ΔW (out, in)`, scaling included, as a matrix of its own.
    fn delta_weight(&self) -> Array2<T>;

    /// A copy of the base with the update added to its weight; the adapter and its base stay as they are.
    ///
    /// # Errors
    /// [`crate::LayerError::NotMergeable`], [`crate::LayerError::MergeThroughActivation`].
    fn merge(&self) -> Result<Self::Base>;

    /// Adds the update to the weight of `layer`.
    ///
    /// # Errors
    /// As [`LoraAdapter::merge`], and [`crate::LayerError::Kron`] for a weight of another shape; `layer` is then
    /// untouched.
    fn merge_into(&self, layer: &mut Self::Base) -> Result<()>;

    /// Takes the update off the weight of `layer` again, exact to rounding.
    ///
    /// # Errors
    /// As [`LoraAdapter::merge_into`].
    fn unmerge_from(&self, layer: &mut Self::Base) -> Result<()>;
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
