//! Networks of `lokr-layers` as ONNX models, with their adapters merged or apart.
//!
//! # What is written
//! One graph from `input (batch, input_size)` to `output (batch, output_size)`, both in the network's own type, with a
//! batch of any size. The operators are those of the default domain at version [`OPSET`], and of them:
//!
//! | layer | nodes |
//! |---|---|
//! | linear | `Gemm`, with the weight as it is stored; in `f64` `Transpose`, `MatMul`, `Add` |
//! | adapter, apart | the base's, and for each product `Reshape`, `Mul`, `Transpose`, `MatMul`, `Add` |
//! | adapter that decomposes the weight | beside these `Mul` by its gains, which are constants |
//! | embedding | `Slice`, `Cast`, `Gather`, `Reshape`; `Concat` with columns that are passed through |
//! | layer norm | `Reshape`, `ReduceMean`, `Sub`, `Mul`, `Add`, `Sqrt`, `Div` |
//! | relu, tanh, softmax | `Relu`, `Tanh`, `Softmax` |
//! | sigmoid, silu | `Sigmoid`, `Mul`; in `f64` `Neg`, `Exp`, `Add`, `Reciprocal` |
//! | leaky relu | `LeakyRelu`; in `f64`, whose slope that operator cannot hold, `Max`, `Min`, `Mul`, `Add` |
//! | gelu | `Erf`, `Mul`, `Add` |
//!
//! An adapter that is kept apart is computed as the library computes it, for a sample `X = reshape(x, (n, q))` as
//! `A·X·Bᵀ`, the cheaper side first and the product never formed: see [`lokr_core`]. Low-rank factors stay in two
//! halves. The initializers have the names of the network's values, such as `q.weight` and `q.lokr_w1`, and
//! `q.lokr_scaling` is what `A` is multiplied by: whoever replaces these replaces the adapter.
//!
//! # Engines
//! `tests/onnx` of the repository runs such files in tract (Rust) and in onnxruntime (Python) and compares the answers.
//! Neither has `Erf` for `f64`, so a network of `f64` with gelu is a valid model that these two do not run. Some
//! engines take numbers of tokens from −`tokens` on, where an [`Embedding`](lokr_layers::Embedding) has an error.
//!
//! # What cannot be written
//! Layers that do not say what they are made of ([`Form::Unknown`](lokr_layers::Form)), and models of 2 GB and more,
//! which one ONNX file cannot hold. [`supports_export`] tells the first without trying.
#![forbid(unsafe_code)]

mod activation;
mod adapter;
mod check;
mod error;
mod graph;
mod layers;
mod model;
mod plain;
mod proto;

pub use check::supports_export;
pub use error::{ExportError, Result};
pub use model::{Adapters, ExportOptions, IR_VERSION, OPSET, OnnxModel};

/// The example of the crate's README, so that it is tested.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
