//! A job in parts, each done by a process of its own: what one part is, and how it is told that parts belong together.
//!
//! - `part`: [`Part`], one of so many; what is its turn.
//! - `fingerprint`: numbers for what a job was given.
//! - `manifest`: what a part says of itself, beside its files.
//!
//! Used by `merge` and `extract`, which do parts, and by `join`.

pub(in crate::jobs) mod fingerprint;
mod manifest;
mod part;

pub(in crate::jobs) use manifest::{JobName, Manifest};
pub use part::Part;
