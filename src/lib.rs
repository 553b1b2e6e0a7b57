#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

#[doc(inline)]
pub use lokr_core as core;
#[doc(inline)]
pub use lokr_layers as layers;
