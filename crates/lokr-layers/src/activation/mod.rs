//! What is applied to a layer's pre-activation, and how a gradient passes back through it.
//!
//! - `function`: [`Activation`] and its values.
//! - `derivative`: the way back, and what a forward pass keeps for it.
//! - `special`: functions of one number that several activations share.
//!
//! Uses the errors, the limits and the buffers of the crate, no other room.

mod derivative;
mod function;
mod special;

#[cfg(test)]
mod activation_tests;

pub(crate) use derivative::ActivationState;
pub use function::Activation;
pub(crate) use special::sigmoid;
