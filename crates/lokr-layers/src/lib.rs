//! Layers on `ndarray`: dense and fully connected bases, and the LoKr adapter around them.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod activation;
mod error;
mod layer;
mod linear_layer;

pub use activation::Activation;
pub use error::{LayerError, Result};
pub use layer::{GradientAt, Layer};
pub use linear_layer::LinearLayer;
