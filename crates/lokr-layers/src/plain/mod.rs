//! Which layers are there without a weight matrix? What a small text or tabular model needs beside linear layers.
//!
//! - `embedding`: [`Embedding`], a row of values for each of some tokens or categories.
//! - `layer_norm`: [`LayerNorm`], rows of mean 0 and variance 1.
//! - `parameters`: values with their gradients, as both hold them.
//!
//! Uses `layer`, and of `activation` that they end in none.

mod embedding;
mod layer_norm;
mod parameters;

#[cfg(test)]
mod plain_tests;

pub use embedding::Embedding;
pub use layer_norm::LayerNorm;
