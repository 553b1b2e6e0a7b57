//! A layer with a weight matrix: what an adapter needs to know of its base.

use lokr_core::Scalar;
use ndarray::{ArrayRef2, ArrayView1, ArrayView2, ArrayViewMut2};

use crate::{Activation, Layer, Result};

/// A layer `y = activation(x·Wᵀ + bias)` whose parts can be reached one by one.
///
/// However a layer stores its weight, here it is `W (out, in)`; a layer that keeps it input-major hands out the
/// transposed view. Merging therefore honours every orientation.
pub trait LinearLayer<T: Scalar>: Layer<T> {
    /// The weight as `W (out, in)`.
    fn weight(&self) -> ArrayView2<'_, T>;

    /// The weight as `W (out, in)`, writable.
    fn weight_mut(&mut self) -> ArrayViewMut2<'_, T>;

    /// The bias, `out` values.
    fn bias(&self) -> ArrayView1<'_, T>;

    /// The activation applied to `x·Wᵀ + bias`.
    fn activation(&self) -> Activation;

    /// The pre-activation `z ← x·Wᵀ + bias`, `(batch, out)`; keeps nothing.
    ///
    /// # Errors
    /// [`crate::LayerError::Shape`].
    fn pre_activation_into(&self, x: &ArrayRef2<T>, z: &mut ArrayRef2<T>) -> Result<()>;

    /// The input gradient `dx ← dz·W`, `(batch, in)`, from the gradient `dz` of the pre-activation.
    ///
    /// # Errors
    /// [`crate::LayerError::Shape`].
    fn input_gradient_into(&self, dz: &ArrayRef2<T>, dx: &mut ArrayRef2<T>) -> Result<()>;

    /// Adds `dzᵀ·x` and the column sums of `dz` to the gradients of weight and bias.
    ///
    /// # Errors
    /// [`crate::LayerError::Shape`].
    fn accumulate_gradients(&mut self, x: &ArrayRef2<T>, dz: &ArrayRef2<T>) -> Result<()>;
}
