//! From layers to a trained network: measured, and changed step by step.
//!
//! - `targets`: [`Targets`], what outputs are compared with; `samples`: [`Samples`], inputs with their targets.
//! - `loss`: [`Loss`], how far outputs are from their targets, and the gradient of it.
//! - `evaluation`: [`evaluate`] and [`accuracy`], how well a network does.
//! - `optimizer`: [`Optimizer`], how a step is made of gradients: [`Sgd`], [`Adam`], [`AdamW`].
//! - `step`: one step; `trainer`: [`Trainer`], epochs of them; `progress`: what it tells its caller.
//!
//! Uses `layer`; trains any layer, so it knows no linear layer and no adapter by its type.

mod evaluation;
mod loss;
mod optimizer;
mod progress;
mod samples;
mod step;
mod targets;
mod trainer;

#[cfg(test)]
mod loss_tests;
#[cfg(test)]
mod trainer_tests;

#[doc(no_inline)]
pub use crate::network::Sequential;
pub use evaluation::{Evaluation, accuracy, evaluate};
pub use loss::Loss;
pub use optimizer::{Adam, AdamSettings, AdamW, Momentum, Optimizer, Sgd, SgdSettings};
pub use progress::{EpochReport, Progress};
pub use samples::Samples;
pub use targets::Targets;
pub use trainer::Trainer;
