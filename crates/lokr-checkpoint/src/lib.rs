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

pub mod adapter;
pub mod dialect;
mod dialects;
pub mod error;
pub mod file;
pub mod jobs;
pub mod model;
pub mod module;

pub use adapter::{
    Adapter, Conversion, ConvertOptions, ForeignTensors, NonFinite, ReadOptions, Resolution, Rounding, Unmatched,
    Warning, ZeroAlpha,
};
pub use dialect::{Dialect, PeftConfig};
pub use error::{CheckpointError, ConfigError, FileError, JobError, ModuleError, NameError, OutputError, Result};
pub use file::{
    Dtype, FloatType, OutputDirectory, Overwrite, Tensor, TensorFile, TensorSpec, TensorWriter, write_tensors,
};
#[allow(deprecated)] // For those who use it still.
pub use jobs::JobProgress;
pub use jobs::{
    AdapterReport, AppliedModule, Combination, CombineOptions, CombineReport, CombinedModule, Expectation,
    ExtractOptions, ExtractReport, ExtractedModule, Extraction, Lora, LoraModule, LoraRank, LoraReport, Measured,
    MergeOptions, MergeReport, NotAdapted, NotAdaptedReason, Progress, ResizeOptions, ResizeReport, Resized,
    ResizedModule, Run, TensorCheck, Verdict, VerifyOptions, VerifyReport, WeightReport, combine, extract, merge,
    resize, to_lora, unmerge, verify,
};
pub use model::BaseModel;
pub use module::{DoraAxis, DoraStrength, FactorSize, Module, ScaleRule, Strength, W1, W2};
