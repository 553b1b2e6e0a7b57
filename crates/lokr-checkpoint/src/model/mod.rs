//! The model that is adapted: what tensors it has, in which of its files.
//!
//! - `base`: a model of one file, of shards or in a directory.
//! - `fused`: weights that a model stores in one tensor and adapters change apart.
//! - `layer`: its weights as layers of `lokr-layers`.
//!
//! It uses the files of `file` and the layouts of `quantized`, and knows nothing of adapters.

mod base;
mod fused;
mod layer;

pub use base::BaseModel;
pub(crate) use base::CONFIG;
