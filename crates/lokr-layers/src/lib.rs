//! Layers on `ndarray`: dense and fully connected bases, and the LoKr adapter around them.
#![cfg_attr(not(test), forbid(unsafe_code))] // ndarray's `s!`, which the tests use, carries an `allow` of its own

pub mod layer;
pub mod linear;
pub mod lokr;
pub mod training;

mod activation;
mod buffer;
mod error;
mod limits;

#[cfg(test)]
mod test_support;

pub use activation::Activation;
pub use error::{LayerError, Result};
pub use layer::{
    GradientAt, Layer, LinearLayer, LoadReport, Loading, LoraAdapter, Visitor, VisitorMut, load_parameters,
    named_parameters, set_parameter,
};
pub use linear::{Dense, FullyConnected, Init, InputMajor, Linear, Orientation, OutputMajor};
pub use lokr::{CompiledLoKr, DeltaPlacement, LoKrAdapter, LoKrBuilder, LoKrDiagnostics, LoKrInit};
pub use training::{
    Adam, AdamSettings, AdamW, EpochReport, Evaluation, Loss, Momentum, Optimizer, Progress, Samples, Sequential, Sgd,
    SgdSettings, Targets, Trainer, accuracy, evaluate,
};

/// The generators that [`Init`] and training take, in the version they take.
pub use ndarray_rand::rand;
