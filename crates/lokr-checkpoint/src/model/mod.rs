//! The model that is adapted: what tensors it has, in which of its files.
//!
//! - `base`: a model of one file, of shards, in a directory, or of a pipeline's components.
//! - `open`: its files; `pipeline`: the components of a pipeline.
//! - `fused`: weights that a model stores in one tensor and adapters change apart.
//! - `layer`: its weights as layers of `lokr-layers`.
//!
//! It uses the files of `file`, and knows nothing of adapters.

mod base;
mod fused;
mod layer;
mod open;
mod pipeline;

pub use base::BaseModel;
