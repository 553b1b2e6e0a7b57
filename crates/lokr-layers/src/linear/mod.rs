//! The layer with a weight matrix and a bias, `y = activation(x·Wᵀ + bias)`, whichever way its weight is stored.
//!
//! - `parameters`: [`Linear`], made, read and set.
//! - `forward_backward`: what it computes.
//! - `gradients`: the gradients of weight and bias, added up.
//! - `orientation`: how the weight lies in memory; `dense` and `fully_connected` are the two ways, [`Dense`] with a row
//!   per input, [`FullyConnected`] with a row per output.
//! - `init`: [`Init`], the values a weight starts with.
//!
//! Uses `layer` and `activation`.

mod dense;
mod forward_backward;
mod fully_connected;
mod gradients;
mod init;
mod orientation;
mod parameters;

#[cfg(test)]
mod init_tests;
#[cfg(test)]
mod linear_tests;

pub use dense::{Dense, InputMajor};
pub use fully_connected::{FullyConnected, OutputMajor};
pub use init::Init;
pub use orientation::Orientation;
pub use parameters::Linear;
