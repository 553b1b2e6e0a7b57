//! A whole adapter: read, found in a base model, made, converted and written.
//!
//! - `adapter`: what it holds; `warning`: what the user should know of it.
//! - `options`, `read_adapter`, `sort_tensors`, `selection`, `stated`, `alpha`: from files, in this order; `patterns`:
//!   names chosen by regular expressions.
//! - `resolve`: which weight of a base model a module belongs to; `one_model`: which of several models names must say;
//!   `targets`: the same for jobs that may do without a base; `counterparts`: which tensor of a base model another
//!   model's tensor is.
//! - `place`, `rename`, `fit`, `fit_other`, `assemble`: where modules belong, the names and forms that another dialect
//!   has for them,
//!   and an adapter of such modules.
//! - `names_in`: only those names.
//! - `convert`: from one dialect to another; `in_parts`: modules of weights that a model keeps in several tensors.
//! - `write_adapter`: to files.
//!
//! It uses `file`, `module`, `dialect`, `family` and `model`, and knows nothing of the jobs.

#[allow(clippy::module_inception)] // The type after which the room is named.
mod adapter;
mod alpha;
mod assemble;
mod convert;
mod counterparts;
mod fit;
mod fit_other;
mod in_parts;
mod names_in;
mod one_model;
mod options;
mod patterns;
mod place;
mod read_adapter;
mod rename;
mod resolve;
mod selection;
mod sort_tensors;
mod stated;
mod targets;
mod warning;
mod write_adapter;

pub use adapter::Adapter;
pub use convert::{Conversion, ConvertOptions, Rounding};
pub(crate) use counterparts::Counterparts;
pub(crate) use names_in::names_in;
pub use options::{ForeignTensors, NonFinite, ReadOptions, ZeroAlpha};
pub(crate) use patterns::Patterns;
pub(crate) use place::network;
pub use resolve::{Resolution, Unmatched};
pub(crate) use targets::{Names, Target, check_kernels, targets};
pub use warning::Warning;
pub(crate) use write_adapter::write_peft;
