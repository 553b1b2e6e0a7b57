//! What every optimizer can do.

use lokr_core::Scalar;

use crate::error::Result;
use crate::layer::Layer;

/// Changes the trainable parameters of a network by its gradients.
///
/// An optimizer that remembers past gradients belongs to one network from its first step on, until
/// [`Optimizer::reset`]. Its settings are held in `f64`, its memory in `T`.
pub trait Optimizer<T: Scalar>: Send {
    /// One step. The gradients are left as they are: [`Layer::clear_gradients`] is the caller's.
    ///
    /// # Errors
    /// [`crate::LayerError::NoGradients`]; [`crate::LayerError::Length`] when the network has another number of
    /// trainable parameters than at the first step. Nothing is changed then.
    fn step(&mut self, network: &mut dyn Layer<T>) -> Result<()>;

    /// The learning rate of the next step.
    fn learning_rate(&self) -> f64;

    /// Sets the learning rate, as a schedule does between steps.
    ///
    /// # Errors
    /// [`crate::LayerError::InvalidSetting`] unless it is finite and not negative.
    fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()>;

    /// Forgets past gradients; settings stay.
    fn reset(&mut self);
}
