//! Networks of `lokr-layers` as ONNX models, with their adapters merged or apart.
//!
//! # What is written
//! One graph from `input (batch, input_size)` to `output (batch, output_size)`, both in the network's own type, with a
//! batch of any size. The operators are those of the default domain at version [`OPSET`], and of them:
//!
//! | layer | nodes |
//! |---|---|
//! | linear | `Gemm`, with the weight as it is stored; in `f64` `Transpose`, `MatMul`, `Add` |
//! | convolution | `Conv` between two `Reshape` |
//! | adapter, apart | the base's, and for each product `Reshape`, `Mul`, `Transpose`, `MatMul`, `Add` |
//! | the same of a convolution | the base's, and for each product `Reshape`, `Tile`, `Conv`, `Mul`, `MatMul`, `Add` |
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
//! halves. The initializers have the names of the network's values, such as `q.weight`, `q.lokr_w1` and `q.lora_A`, and
//! `q.lokr_scaling` is what `A` is multiplied by, of a LoRA its `lora_B`: whoever replaces these replaces the adapter.
//!
//! Of a convolution `B` is the kernel of a `Conv` for each of the `n` parts of the channels (groups with the same
//! kernel, which `Tile` repeats, so that the batch stays an axis of its own), and `A` a `MatMul` over what that makes
//! of them; of a low-rank `B` the right half has the kernel, of one in Tucker form the core. Where that is no form of
//! the update it goes into the weight of its layer, as if that layer were merged: convolutions of several groups,
//! decomposed weights, and factors whose columns cut through the kernel.
//!
//! # Engines
//! `tests/onnx` of the repository runs such files in tract (Rust) and in onnxruntime (Python) and compares the answers.
//! Neither has `Erf` for `f64`, and onnxruntime has no `Conv` for it, so networks of `f64` with these are valid models
//! that they do not run; nor does tract 0.22 run a stride along an axis where a convolution's kernel has the size 1.
//! Some engines take numbers of tokens from −`tokens` on, where an [`Embedding`](lokr_layers::Embedding) has an error.
//!
//! # What cannot be written
//! Layers that do not say what they are made of ([`Form::Unknown`](lokr_layers::Form)), and models of 2 GB and more,
//! which one ONNX file cannot hold. [`supports_export`] tells the first without trying.
#![forbid(unsafe_code)]

mod activation;
mod adapter;
mod check;
mod conv;
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
