//! The model that is adapted: what tensors it has, in which of its files.
//!
//! - `base`: a model of one file, of shards, in a directory, or of a pipeline's components.
//! - `open`: its files; `pipeline`: the components of a pipeline.
//! - `views`: the other names that its tensors have, and those of their parts.
//! - `layer`: its weights as layers of `lokr-layers`.
//!
//! It uses the files of `file`, the layouts of `quantized` and the tables of `family`, and knows nothing of adapters.

mod base;
mod layer;
mod open;
mod pipeline;
mod views;

pub use base::BaseModel;
pub(crate) use views::Piece;
