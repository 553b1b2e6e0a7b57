//! Layers on `ndarray`: dense and fully connected bases, and the LoKr adapter around them.
#![cfg_attr(not(test), forbid(unsafe_code))] // ndarray's `s!`, which the tests use, carries an `allow` of its own
#![warn(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod activation;
mod buffer;
mod dense;
mod error;
mod fully_connected;
mod init;
mod layer;
mod linear;
mod linear_layer;
mod lokr;
mod lora_adapter;
mod loss;
mod named;
mod optimizer;
mod sequential;
#[cfg(test)]
mod test_support;
mod train;

pub use activation::Activation;
pub use dense::{Dense, InputMajor};
pub use error::{LayerError, Result};
pub use fully_connected::{FullyConnected, OutputMajor};
pub use init::Init;
pub use layer::{GradientAt, Layer, Visitor, VisitorMut};
pub use linear::{Linear, Orientation};
pub use linear_layer::LinearLayer;
pub use lokr::{CompiledLoKr, DeltaPlacement, LoKrAdapter, LoKrBuilder, LoKrDiagnostics, LoKrInit};
pub use lora_adapter::LoraAdapter;
pub use loss::{Loss, Targets, accuracy};
pub use named::{LoadReport, Loading, load_parameters, named_parameters, set_parameter};
pub use optimizer::{Adam, AdamSettings, AdamW, Momentum, Optimizer, Sgd, SgdSettings};
pub use sequential::Sequential;
pub use train::{EpochReport, Evaluation, Progress, Samples, Trainer, evaluate};

/// The generators that [`Init`] and training take, in the version they take.
pub use ndarray_rand::rand;
