//! LoKr adapters and base models on disk.
//!
//! Programs that train LoKr adapters differ in how they name tensors, where they keep `alpha` and what scale that means.
//! This crate reads what PEFT, LyCORIS, kohya's scripts, ai-toolkit, `OneTrainer` and `ComfyUI` write into one model, with the
//! scale each adapter was *trained* with, and computes the weights it stands for. What a file leaves open is an error or a
//! [`Warning`], never a guess.
//!
//! - [`TensorFile`]: a checked, memory-mapped safetensors file; [`Tensor`]: one tensor of it, as stored.
//! - [`Adapter`]: an adapter of any [`Dialect`]; [`Module`]: the adapter of one layer, its shapes checked.
//! - [`BaseModel`]: the model to adapt, one file or shards; [`Adapter::resolve`] finds each module's weight in it.
//! - [`TensorWriter`], [`write_tensors`], [`OutputDirectory`]: outputs that appear whole or not at all.
//! - [`merge()`], [`unmerge`], [`verify()`]: jobs on whole models, streamed.
//! - [`Adapter::convert`], [`Adapter::from_modules`] and [`Adapter::write`]: to other dialects and to disk.
//! - [`Module::to_layer`] and [`Module::from_layer`]: from and to the trainable adapters of `lokr-layers`.
//! - [`Module::merge_into`]: the adapted weight, plain or DoRA, at any [`Strength`].
//!
//! # Conventions
//! A weight is `(out, in)` or `(out, in, kernel…)` with `out = m·p` and `in = n·q`; `w1` is `(m, n)`, `w2` is
//! `(p, q, kernel…)`. The change is `s·(w1 ⊗ w2)`, where the kernel axes belong to `w2` alone: on `w2` flattened to
//! `(p, q·K)` it is the ordinary Kronecker product of two matrices.
//!
//! # Examples
//! ```no_run
//! use lokr_checkpoint::{Adapter, BaseModel, ReadOptions, Strength, Unmatched};
//!
//! let adapter = Adapter::read("my-adapter.safetensors", &ReadOptions::default())?;
//! let base = BaseModel::open("model.safetensors")?;
//! for (module, target) in adapter.resolve(&base, Unmatched::Refuse)?.targets() {
//!     let mut weight = base.weight::<f32>(target)?;
//!     adapter.modules()[module].merge_into(&mut weight, &Strength::default())?;
//! }
//! # Ok::<(), lokr_checkpoint::CheckpointError>(())
//! ```
#![warn(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod adapter;
mod assemble;
mod base;
mod combine;
mod convert;
mod delta;
mod dialect;
mod dora;
mod dtype;
mod energy;
mod error;
mod extract;
mod factor;
mod fit;
mod fused;
mod header;
mod job_progress;
mod json;
mod layers;
mod lora;
mod merge;
mod mmap;
mod module;
mod names;
mod options;
mod output;
mod parts;
mod pickle;
mod reader;
mod rename;
mod resize;
mod save;
mod scale;
mod size;
mod targets;
mod tensor;
mod verify;
mod warning;
mod writer;

pub use adapter::Adapter;
pub use base::BaseModel;
pub use combine::{Combination, CombineOptions, CombineReport, CombinedModule, combine};
pub use convert::{Conversion, ConvertOptions, Rounding};
pub use delta::Strength;
pub use dialect::Dialect;
pub use dialect::peft_config::PeftConfig;
pub use dora::{DoraAxis, DoraStrength};
pub use dtype::FloatType;
pub use error::{CheckpointError, Result};
pub use extract::{ExtractOptions, ExtractReport, ExtractedModule, Extraction, NotAdapted, NotAdaptedReason, extract};
pub use factor::{W1, W2};
pub use job_progress::JobProgress;
pub use lora::{Lora, LoraModule, LoraRank, LoraReport, to_lora};
pub use merge::report::{AdapterReport, AppliedModule, Measured, MergeReport, Progress, WeightReport};
pub use merge::{MergeOptions, Run, merge, unmerge};
pub use module::Module;
pub use names::{Resolution, Unmatched};
pub use options::{ForeignTensors, NonFinite, ReadOptions, ZeroAlpha};
pub use output::OutputDirectory;
pub use reader::TensorFile;
pub use resize::{ResizeOptions, ResizeReport, Resized, ResizedModule, resize};
/// The element types a safetensors file can hold.
pub use safetensors::Dtype;
pub use scale::ScaleRule;
pub use size::FactorSize;
pub use tensor::Tensor;
pub use verify::{Expectation, TensorCheck, Verdict, VerifyOptions, VerifyReport, verify};
pub use warning::Warning;
pub use writer::{Overwrite, TensorSpec, TensorWriter, write_tensors};
