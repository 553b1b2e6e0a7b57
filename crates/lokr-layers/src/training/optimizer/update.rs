//! What the steps of all optimizers are made of.

use lokr_core::Scalar;
use ndarray::{ArrayViewD, ArrayViewMutD};

use super::groups::Groups;
use crate::error::{LayerError, Result};
use crate::layer::{Layer, require_gradients};

/// Number of trainable values, once it is sure that all have gradients, that there are as many as `remembered`, and
/// that each group has some.
pub(super) fn count_parameters<T: Scalar>(
    name: &'static str,
    network: &dyn Layer<T>,
    remembered: Option<usize>,
    groups: &Groups,
) -> Result<usize> {
    require_gradients(network)?;
    groups.check_names(name, network)?;
    let count = network.parameter_count();
    LayerError::check_length(name, "parameters", remembered.unwrap_or(count), count)?;
    Ok(count)
}

/// Splits the first `count` values off `rest`.
pub(super) fn take_front<'a, T>(rest: &mut &'a mut [T], count: usize) -> &'a mut [T] {
    let (front, back) = std::mem::take(rest).split_at_mut(count);
    *rest = back;
    front
}

/// Calls `f` with each value, its gradient and its state, in order.
pub(super) fn update<T: Scalar, S>(
    mut values: ArrayViewMutD<'_, T>,
    gradient: ArrayViewD<'_, T>,
    state: impl Iterator<Item = S>,
    mut f: impl FnMut(&mut T, T, S),
) {
    // Slices where they lie in order, for the sake of vectorization.
    match (values.as_slice_mut(), gradient.as_slice()) {
        (Some(values), Some(gradient)) => {
            values.iter_mut().zip(gradient).zip(state).for_each(|((v, &g), s)| f(v, g, s))
        }
        _ => values.iter_mut().zip(gradient.iter()).zip(state).for_each(|((v, &g), s)| f(v, g, s)),
    }
}
