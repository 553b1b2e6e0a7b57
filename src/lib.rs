//! LoKr.
pub use lokr_core as core;
