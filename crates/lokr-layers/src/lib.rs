//! Layers on `ndarray`, the LoKr adapter around them, and a small training loop.
//!
//! A LoKr adapter keeps a layer's weight `W` and adds `s·(A ⊗ B)` to it: two small matrices, trained in its stead,
//! whose Kronecker product is never formed. See [`adapter`] for what that costs and what it gives.
//!
//! # By task
//!
//! | to | there is |
//! |---|---|
//! | make a layer | [`Dense`] and [`FullyConnected`], drawn from an [`Init`] or made from arrays; [`Activation`] |
//! | beside it | [`Conv1d`], [`Conv2d`], [`Conv3d`]; [`Embedding`], [`LayerNorm`]; [`Linear::without_bias`] |
//! | adapt it | [`LoKrAdapter::new`]; every setting: [`LoKrAdapter::builder`]; factors: [`LoKrAdapter::from_delta`] |
//! | infer | [`Layer::predict`]; [`LoKrAdapter::compile`] for many small batches |
//! | train by hand | [`Layer::forward`], [`Layer::backward`], [`Layer::update_parameters`] or an [`Optimizer`] |
//! | chain layers | [`Sequential::push`], [`Sequential::named`]; [`Sequential::freeze`], [`Layer::set_frozen`] |
//! | train a network | [`Sequential`], [`Samples`], a loss such as [`CrossEntropy`], [`Trainer::new`] with [`AdamW`] |
//! | steer a run | [`Training`]: [`Schedule`], clipping, early stopping, [`TrainingLog`], saving and resuming |
//! | train on several machines | [`Training::communicator`], [`Training::fixed_order`]; over MPI by `lokr-mpi` |
//! | measure | [`evaluate`], [`accuracy`], [`confusion_matrix`], [`gradient_norm`] |
//! | adapt a network | [`Sequential::adapt`], [`Select`], [`AdaptSettings`]; back by [`Layer::merged`] |
//! | serve many adapters of one base | [`Sequential::share`], [`Sequential::predict_mixed`] |
//! | reach adapters in it | [`Sequential::adapter`], [`Sequential::diagnostics`], [`Sequential::compile`] |
//! | adapt it by LoRA, compare, convert | [`LoKrBuilder::lora`]; [`LoKrUpdate::to_lora`], [`LoKrUpdate::to_lokr`] |
//! | add up several products | [`LoKrBuilder::terms`]; an adapter around an adapter |
//! | regularise | [`LoKrBuilder::input_dropout`], [`LoKrBuilder::rank_dropout`], [`LoKrBuilder::module_dropout`] |
//! | merge | [`LoKrAdapter::merge`] into a copy, [`LoKrAdapter::merge_into`] in place, [`LoKrAdapter::unmerge_from`] |
//! | look inside | [`LoKrAdapter::diagnostics`]; [`LoKrAdapter::delta`], with its norms and spectrum |
//! | save and load | [`named_parameters`], [`load_parameters`]; files are the business of `lokr-checkpoint` |
//! | bring a layer of your own | implement [`Layer`], and [`LinearLayer`] where it has a weight matrix |
//!
//! # An adapter from start to merge
//!
//! ```
//! use lokr_layers::{Activation, FullyConnected, Init, Layer, LoKrAdapter, rand::{SeedableRng, rngs::SmallRng}};
//! use ndarray::Array2;
//!
//! let mut rng = SmallRng::seed_from_u64(1);
//! let base = FullyConnected::<f32>::new(48, 36, Activation::Gelu, Init::HeNormal, &mut rng)?;
//! let mut adapter = LoKrAdapter::new(base, 2, None, true)?; // rank 2, alpha as the rank, the base frozen
//! assert_eq!(adapter.parameter_count(), 6 * 6 + 6 * 2 + 2 * 8); // A (6, 6), B (6, 2)·(2, 8), for a weight of 1728
//!
//! let (x, target) = (Array2::from_elem((4, 48), 0.5), Array2::<f32>::ones((4, 36)));
//! let distance = |y: &Array2<f32>| (y - &target).mapv(|d| d * d).sum();
//! let before = distance(&adapter.predict(&x)?);
//! for _ in 0..10 {
//!     let y = adapter.forward(&x)?;
//!     adapter.clear_gradients();
//!     adapter.backward(&(y - &target))?;
//!     adapter.update_parameters(0.01)?;
//! }
//! assert!(distance(&adapter.predict(&x)?) < before);
//!
//! let merged = adapter.merge()?; // a plain layer with the same answers
//! let difference = merged.predict(&x)? - adapter.predict(&x)?;
//! assert!(difference.iter().all(|d| d.abs() < 1e-4));
//! # Ok::<(), lokr_layers::LayerError>(())
//! ```
//!
//! # Rooms
//!
//! A batch passes from the top downwards: [`training`] calls a [`network`], which calls its layers, [`adapter`] the
//! layer it adapts, with the [`update`] that is added there; [`linear`] is such a layer, [`conv`] one over [`patches`],
//! [`plain`] are others, and all of them speak the language of [`layer`]. Shapes are `(batch, values)`, one
//! sample a row; a weight is `W (out, in)`. Every call checks first and computes afterwards, so a failed one changes
//! nothing ([`LayerError`]). `f32` and `f64` alike ([`lokr_core::Scalar`]).
#![cfg_attr(not(test), forbid(unsafe_code))] // ndarray's `s!`, which the tests use, carries an `allow` of its own

pub mod activation;
pub mod adapter; // Not `lokr`: with a glob import of this crate the name would stand for two things.
pub mod conv;
pub mod layer;
pub mod linear;
pub mod network;
pub mod patches;
pub mod plain;
pub mod spec;
pub mod training;
pub mod update;

mod buffer;
mod error;
mod limits;

#[cfg(test)]
mod test_support;

pub use activation::Activation;
pub use adapter::{CompiledLoKr, LoKrAdapter, LoKrDiagnostics, LoraAdapter};
pub use conv::{Conv, Conv1d, Conv2d, Conv3d, ConvGeometry};
pub use error::{LayerError, Result};
pub use layer::{
    Adapter, Form, GradientAt, GradientVisitorMut, Layer, LinearLayer, LoadReport, Loading, Merges, ParameterReport,
    Restore, RowUpdates, ShapeMismatch, ValueVisitor, ValueVisitorMut, Visitor, VisitorMut, as_rows,
    check_parameter_shapes, check_parameters, load_parameters, load_values, named_parameters, named_values, parameter,
    parameter_shapes, predict_axes, rename_parameters, set_parameter,
};
pub use linear::{Dense, FullyConnected, Init, InputMajor, Linear, Orientation, OutputMajor};
pub use network::{
    AdaptReport, AdaptSettings, AdaptedLayer, CompiledNetwork, NamePattern, NetworkDiagnostics, PlacedUpdate, Select,
    Sequential, Shared, Workspace, supports_compilation,
};
pub use patches::{ConvSizes, Patches};
pub use plain::{Embedding, LayerNorm};
pub use spec::{AdapterSpec, ConvSpec, LayerSpec, LinearSpec, NamedUpdateSpec};
pub use training::{
    Adam, AdamSettings, AdamW, AdamWSettings, AllReduce, BinaryCrossEntropy, Communicator, CrossEntropy, EpochReport,
    Evaluation, Group, Huber, Loss, LossFunction, MeanAbsoluteError, MeanSquaredError, Momentum, Next, Optimizer,
    Progress, Samples, Schedule, Sgd, SgdSettings, SingleProcess, Soap, SoapSettings, StepReport, Target, Targets,
    Trainer, Training, TrainingLog, TrainingSettings, TrainingState, accuracy, clip_gradient_norm,
    clip_gradient_values, confusion_matrix, evaluate, gradient_norm, r_squared, top_k_accuracy,
};
pub use update::{
    DeltaPlacement, DoraAxis, DoraStrength, DropoutSpec, LoKrBuilder, LoKrInit, LoKrSettings, LoKrUpdate, LoraHalves,
    TermForm, TermSpec, TuckerFactor, UpdateSpec,
};

/// The generators that [`Init`] and training take, in the version they take.
pub use ndarray_rand::rand;

/// The example of the crate's README, so that it is tested.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
