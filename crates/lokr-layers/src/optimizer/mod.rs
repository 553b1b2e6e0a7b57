//! Optimizers: how a step is made of gradients.

mod adam;
mod sgd;
#[cfg(test)]
mod tests;

pub use adam::{Adam, AdamSettings, AdamW};
pub use sgd::{Momentum, Sgd, SgdSettings};

use lokr_core::Scalar;
use ndarray::{ArrayViewD, ArrayViewMutD};

use crate::{Layer, LayerError, Result};

/// Changes the trainable parameters of a network by its gradients.
///
/// An optimizer that remembers past gradients belongs to one network from its first step on, until
/// [`Optimizer::reset`]. Its settings are held in `f64`, its memory in `T`.
pub trait Optimizer<T: Scalar>: Send {
    /// One step. The gradients are left as they are: [`Layer::clear_gradients`] is the caller's.
    ///
    /// # Errors
    /// [`LayerError::NoGradients`]; [`LayerError::Length`] when the network has another number of trainable parameters
    /// than at the first step. Nothing is changed then.
    fn step(&mut self, network: &mut dyn Layer<T>) -> Result<()>;

    /// The learning rate of the next step.
    fn learning_rate(&self) -> f64;

    /// Sets the learning rate, as a schedule does between steps.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] unless it is finite and not negative.
    fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()>;

    /// Forgets past gradients; settings stay.
    fn reset(&mut self);
}

/// Number of trainable values, once it is sure that all have gradients and that there are as many as `remembered`.
fn count_parameters<T: Scalar>(name: &'static str, network: &dyn Layer<T>, remembered: Option<usize>) -> Result<usize> {
    let (mut count, mut missing) = (0, false);
    network.visit(&mut |_, values, gradient| {
        count += values.len();
        missing |= gradient.is_none();
    });
    if missing {
        return Err(LayerError::NoGradients { layer: network.type_name() });
    }
    LayerError::check_length(name, "parameters", remembered.unwrap_or(count), count)?;
    Ok(count)
}

/// Splits the first `count` values off `rest`.
fn take_front<'a, T>(rest: &mut &'a mut [T], count: usize) -> &'a mut [T] {
    let (front, back) = std::mem::take(rest).split_at_mut(count);
    *rest = back;
    front
}

/// Calls `f` with each value, its gradient and its state, in order.
fn update<T: Scalar, S>(
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

fn check_not_negative(setting: &'static str, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        Ok(())
    } else {
        Err(LayerError::invalid(setting, value, "a finite number that is not negative"))
    }
}

fn check_below_one(setting: &'static str, value: f64) -> Result<()> {
    if (0.0..1.0).contains(&value) { Ok(()) } else { Err(LayerError::invalid(setting, value, "a number in [0, 1)")) }
}
