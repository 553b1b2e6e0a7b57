//! One number for how far a batch of outputs is from its targets, and the gradient of it.
//!
//! - `traits`: [`LossFunction`], what a loss is; implement it for one of your own.
//! - `cross_entropy`: [`CrossEntropy`], for classes, with label smoothing and class weights.
//! - `binary`: [`BinaryCrossEntropy`], for answers that are yes or no.
//! - `elementwise`: [`MeanSquaredError`], [`MeanAbsoluteError`], [`Huber`], for values.
//! - `named`: [`Loss`], the three that need no settings, as an enum.
//!
//! Uses `targets`.

mod binary;
mod cross_entropy;
mod elementwise;
mod named;
mod traits;

#[cfg(test)]
mod loss_tests;
#[cfg(test)]
mod named_tests;

pub use binary::BinaryCrossEntropy;
pub use cross_entropy::CrossEntropy;
pub use elementwise::{Huber, MeanAbsoluteError, MeanSquaredError};
pub use named::Loss;
pub use traits::LossFunction;
pub(super) use traits::mean;
