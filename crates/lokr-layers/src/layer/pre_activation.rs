//! From the gradient a layer is given to that of its pre-activation.

use lokr_core::Scalar;
use ndarray::{ArrayRef2, ArrayView2};

use super::arguments::GradientAt;
use crate::activation::{Activation, ActivationState};
use crate::buffer::Buffer;
use crate::error::Result;

/// The gradient of the pre-activation: `dy` itself where nothing lies between the two, else made of it in `memory`.
///
/// # Errors
/// As [`Buffer::try_resize`].
pub(crate) fn pre_activation_gradient<'g, T: Scalar>(
    state: &ActivationState<T>,
    activation: Activation,
    (dy, at): (&'g ArrayRef2<T>, GradientAt),
    memory: &'g mut Buffer<T>,
) -> Result<ArrayView2<'g, T>> {
    if at == GradientAt::PreActivation || activation == Activation::Identity {
        return Ok(dy.view());
    }
    state.backward_into(activation, dy, &mut memory.try_resize(dy.dim())?);
    Ok(memory.view())
}
