//! What is a network as data, and how is it made again?
//!
//! - `layer_spec`: [`LayerSpec`], what a layer is without its values; `build`: the layer of one.
//! - `serialize`: layers, networks and adapters by `serde`, as a description and their values (feature `serde`).
//! - `arrays`: arrays as `serde` has them (feature `serde`).
//!
//! Settings are written in the rooms they belong to. Uses every room but `training`.

mod build;
mod layer_spec;

#[cfg(feature = "serde")]
pub(crate) mod arrays;
#[cfg(feature = "serde")]
mod serialize;

pub use layer_spec::{AdapterSpec, ConvSpec, LayerSpec, LinearSpec, NamedUpdateSpec};
