//! Adapters as a user meets them: made, applied, trained, merged, compiled, saved by name.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A helper that fails is a test that fails.

mod adapter;
mod adapter_defects;
mod adapter_merge;
mod compiled;
mod diagnostics;
mod merge_guards;
mod named;
mod parameters_change;
mod stacked;
mod support;
mod training;
