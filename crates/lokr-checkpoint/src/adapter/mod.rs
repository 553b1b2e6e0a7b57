//! A whole adapter: read, found in a base model, made, converted and written.
//!
//! - `adapter`: what it holds; `warning`: what the user should know of it.
//! - `options`, `read_adapter`, `sort_tensors`, `alpha`: from files, in this order.
//! - `resolve`: which weight of a base model a module belongs to; `targets`: the same for jobs that may do without one.
//! - `place`, `rename`, `fit`, `assemble`: where modules belong, the names and forms that another dialect has for them,
//!   and an adapter of such modules.
//! - `convert`: from one dialect to another; `in_parts`: modules of weights that a model keeps in several tensors.
//! - `write_adapter`: to files.
//!
//! It uses `file`, `module`, `dialect`, `family` and `model`, and knows nothing of the jobs.

#[allow(clippy::module_inception)] // The type after which the room is named.
mod adapter;
mod alpha;
mod assemble;
mod convert;
mod fit;
mod in_parts;
mod options;
mod place;
mod read_adapter;
mod rename;
mod resolve;
mod sort_tensors;
mod targets;
mod warning;
mod write_adapter;

pub use adapter::Adapter;
pub use convert::{Conversion, ConvertOptions, Rounding};
pub use options::{ForeignTensors, NonFinite, ReadOptions, ZeroAlpha};
pub use resolve::{Resolution, Unmatched};
pub(crate) use targets::{Names, Target, check_kernels, targets};
pub use warning::Warning;
pub(crate) use write_adapter::write_peft;
