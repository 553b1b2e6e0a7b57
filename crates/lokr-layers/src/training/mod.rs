//! From layers to a trained network: measured, and changed step by step.
//!
//! - `targets`: [`Targets`], what outputs are compared with; `samples`: [`Samples`], inputs with their targets.
//! - `loss`: [`LossFunction`], how far outputs are from their targets, and the gradient of it; all losses.
//! - `metrics`: [`accuracy`] and other numbers for people; `evaluation`: [`evaluate`], how well a network does.
//! - `optimizer`: [`Optimizer`], how a step is made of gradients: [`Sgd`], [`Adam`], [`AdamW`], [`Soap`].
//! - `schedule`: [`Schedule`], how the learning rate changes.
//! - `clip`: [`clip_gradient_norm`] and [`clip_gradient_values`], gradients that are too long, made shorter.
//! - `trainer`: [`Trainer`], the door; `settings`: [`Training`], a run with all its settings; `ranks`: those of
//!   a run on several ranks.
//! - `plain_settings`: [`TrainingSettings`], those that are plain data; `serialize`: by `serde`.
//! - `run`: the loop; `step`: one step; `order`: the order of the samples; `watch`: early stopping and plateaus.
//! - `communicator`: [`Communicator`] and [`AllReduce`], the ranks that train one network together; `exchange`: their
//!   gradients, added up; `agreement`: what they must have in common; `random`: what each part of a batch draws.
//! - `shape`: adapters' updates, kept balanced and small.
//! - `progress`: what a run tells its caller; `log`: [`TrainingLog`], a file of it.
//! - `state`: [`TrainingState`], what a run needs to go on, as a plain list.
//!
//! Uses `layer`, and of `activation` what a network ends in; trains any layer, so it knows no linear layer and no
//! adapter by its type.

mod agreement;
mod clip;
mod communicator;
mod evaluation;
mod exchange;
mod log;
mod loss;
mod metrics;
mod optimizer;
mod order;
mod plain_settings;
mod progress;
mod random;
mod ranks;
mod run;
mod samples;
mod schedule;
#[cfg(feature = "serde")]
mod serialize;
mod settings;
mod shape;
mod state;
mod step;
mod targets;
mod trainer;
mod watch;

#[cfg(test)]
mod settings_tests;
#[cfg(test)]
mod trainer_tests;

#[doc(no_inline)]
pub use crate::network::Sequential;
pub use clip::{clip_gradient_norm, clip_gradient_values, gradient_norm};
pub use communicator::{AllReduce, Communicator, SingleProcess};
pub use evaluation::{Evaluation, evaluate};
pub use log::TrainingLog;
pub use loss::{BinaryCrossEntropy, CrossEntropy, Huber, Loss, LossFunction, MeanAbsoluteError, MeanSquaredError};
pub use metrics::{accuracy, confusion_matrix, r_squared, top_k_accuracy};
pub use optimizer::{
    Adam, AdamSettings, AdamW, AdamWSettings, Group, Momentum, Optimizer, Sgd, SgdSettings, Soap, SoapSettings,
};
pub use plain_settings::TrainingSettings;
pub use progress::{EpochReport, Next, Progress, StepReport};
pub use samples::Samples;
pub use schedule::Schedule;
pub use settings::Training;
pub use state::TrainingState;
pub use targets::{Target, Targets};
pub use trainer::Trainer;
