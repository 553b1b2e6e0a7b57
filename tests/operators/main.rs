//! The operators of `lokr::core` as a user meets them, against the definitions written out.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A helper that fails is a test that fails.

mod gradients;
mod kron_apply;
mod other_caches;
mod packed;
