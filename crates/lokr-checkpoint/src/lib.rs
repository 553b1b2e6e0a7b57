//! LoKr adapters and base models on disk.
//!
//! Programs that train LoKr adapters differ in how they name tensors, where they keep `alpha` and what scale that
//! means. This crate reads what PEFT, LyCORIS, kohya's scripts, ai-toolkit, `OneTrainer` and `ComfyUI` write into one
//! model, with the scale each adapter was *trained* with, and computes the weights it stands for. What a file leaves
//! open is an error or a [`Warning`], never a guess.
//!
//! # What it does, by task
//! | to | use |
//! |---|---|
//! | read an adapter of any [`Dialect`] | [`Adapter::read`], [`ReadOptions`]; its parts [`Module`], [`W1`], [`W2`] |
//! | see what other algorithms change in the same file, LoRA, LoHa and stored differences | [`Adapter::others`] |
//! | open the model to adapt, one file, shards or a pipeline | [`BaseModel::open`] |
//! | find each module's weight in it | [`Adapter::resolve`] |
//! | merge adapters into a model, and take them out again | [`merge()`] and [`unmerge`], at any [`Strength`] |
//! | share out a merge or an extraction to several processes | [`Part`], [`merge_part`], [`extract_part`], [`join()`] |
//! | check a merged model | [`verify()`] |
//! | adapt one weight in memory | [`Module::merge_into`], [`Module::delta`], [`Module::kron`] |
//! | write an adapter in another dialect or element type | [`Adapter::convert`], [`Adapter::write`] |
//! | make an adapter of what two models differ by | [`extract()`] |
//! | make an adapter smaller, or split it otherwise | [`resize()`] |
//! | make one adapter of several | [`combine()`] |
//! | make a LoRA of an adapter | [`to_lora`] |
//! | know whether another program reads an adapter | [`check()`] |
//! | make an adapter of modules of your own | [`Module::new`], [`Adapter::from_modules`] |
//! | train on from an adapter, and save what was trained | [`Module::to_layer`], [`Module::from_layer`] |
//! | save and load the adapters of a whole network | [`save_adapters`], [`load_adapters`] |
//! | the same for CDKA's files | [`save_cdka`], [`load_cdka`] |
//! | stop a training run and go on, on another day | [`save_training`], [`load_training`] |
//! | keep a whole network, and its run, in one file | [`save_network`], [`read_network`], [`load_network`] |
//! | know whether an adapter belongs to a base | [`base_hash`], [`BaseCheck`] |
//! | read and write safetensors files as such | [`TensorFile`], [`TensorWriter`], [`write_tensors`] |
//! | write files that appear whole or not at all | [`OutputDirectory`], [`file::check_output`] |
//! | know what went wrong | [`CheckpointError`], and behind it a type for each group of errors |
//!
//! # Rooms
//! - [`mod@file`]: tensors as they lie in files, and outputs that appear whole or not at all.
//! - [`module`]: the adapter of one layer, and the weight it makes of another.
//! - [`model`]: the model that is adapted.
//! - [`dialect`]: how programs name tensors and where they keep the scale.
//! - [`adapter`]: a whole adapter, read, resolved, converted and written.
//! - [`mod@network`]: the adapters of a network in memory, to files and back.
//! - [`training`]: training runs and whole networks, to files and back.
//! - [`jobs`]: what is done with adapters and models.
//! - [`error`]: what can go wrong.
//!
//! A file passes through them in one direction: `file` shows its tensors, `dialect` takes its keys apart, `module` puts
//! the tensors of one layer together, `adapter` gathers the modules, and a job of `jobs` uses them, beside the weights
//! of `model`.
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
mod family;
pub mod file;
pub mod jobs;
pub mod model;
pub mod module;
pub mod network;
mod quantized;
pub mod training;

pub use adapter::{
    Adapter, Conversion, ConvertOptions, ForeignTensors, NonFinite, ReadOptions, Resolution, Rounding, Unmatched,
    Warning, ZeroAlpha,
};
pub use dialect::{Dialect, PeftConfig};
pub use error::{
    CheckpointError, ConfigError, FileError, JobError, ModuleError, NameError, OutputError, PartError, Result,
};
pub use file::{
    Dtype, FloatType, OutputDirectory, Overwrite, Tensor, TensorFile, TensorSpec, TensorWriter, write_tensors,
};
#[allow(deprecated)] // For those who use it still.
pub use jobs::JobProgress;
pub use jobs::{
    AdapterReport, AppliedModule, CheckReport, CheckedModule, Combination, CombineOptions, CombineReport,
    CombinedModule, ConvertTo, Expectation, ExtractOptions, ExtractReport, ExtractedModule, Extraction, Fit,
    JoinReport, Lora, LoraLayout, LoraModule, LoraOptions, LoraRank, LoraReport, Measured, MergeOptions, MergeReport,
    NotAdapted, NotAdaptedReason, Part, PartOutput, Program, Progress, QuantizedOptions, QuantizedRounding, Remedy,
    ResizeOptions, ResizeReport, Resized, ResizedModule, ResizedTensor, Run, TensorCheck, Verdict, VerifyOptions,
    VerifyReport, WeightReport, WholeTensors, check, combine, extract, extract_part, join, merge, merge_part, resize,
    to_lora, unmerge, verify,
};
pub use model::BaseModel;
pub use module::{
    Change, Difference, DoraAxis, DoraStrength, FactorSize, LohaFactors, LoraFactors, Module, OtherModule, Parameter,
    ScaleRule, Strength, W1, W2,
};
pub use network::{
    BaseCheck, LoadOptions, LoadedAdapters, SaveOptions, SavedAdapter, Updates, base_hash, load_adapters, load_cdka,
    save_adapters, save_cdka,
};
pub use training::{SavedNetwork, load_network, load_training, read_network, save_network, save_training};
