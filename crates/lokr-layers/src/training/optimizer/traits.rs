//! What every optimizer can do.

use lokr_core::Scalar;

use crate::error::{LayerError, Result};
use crate::layer::Layer;
use crate::training::state::TrainingState;

/// Changes the trainable parameters of a network by its gradients.
///
/// An optimizer that remembers past gradients belongs to one network from its first step on, until
/// [`Optimizer::reset`]. Its settings are held in `f64`, its memory in `T`.
pub trait Optimizer<T: Scalar>: Send {
    /// One step. The gradients are left as they are: [`Layer::clear_gradients`] is the caller's.
    ///
    /// # Errors
    /// [`LayerError::NoGradients`]; [`LayerError::Length`] when the network has another number of
    /// trainable parameters than at the first step. Nothing is changed then.
    fn step(&mut self, network: &mut dyn Layer<T>) -> Result<()>;

    /// The learning rate of the next step.
    fn learning_rate(&self) -> f64;

    /// Sets the learning rate, as a schedule does between steps.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] unless it is finite as a `T`, with what it is multiplied by, and not negative.
    fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()>;

    /// Forgets past gradients; settings stay.
    fn reset(&mut self);

    /// What the optimizer remembers of past gradients, by the names of the parameters of `network`, so that it can be
    /// put back. Settings and the learning rate are not part of it.
    ///
    /// # Errors
    /// [`LayerError::NotResumable`] unless overridden; [`LayerError::Length`] for a network with another number of
    /// parameters; [`LayerError::RepeatedName`].
    fn save_state(&self, network: &dyn Layer<T>) -> Result<TrainingState<T>> {
        let _ = network;
        Err(LayerError::NotResumable { optimizer: std::any::type_name::<Self>() })
    }

    /// Puts back what [`Optimizer::save_state`] gave.
    ///
    /// # Errors
    /// [`LayerError::NotResumable`] unless overridden; [`LayerError::MissingName`], [`LayerError::NamedShape`] and
    /// [`LayerError::Length`] for a state of another network or optimizer. Nothing is changed then.
    fn load_state(&mut self, network: &dyn Layer<T>, state: &TrainingState<T>) -> Result<()> {
        let _ = (network, state);
        Err(LayerError::NotResumable { optimizer: std::any::type_name::<Self>() })
    }
}
