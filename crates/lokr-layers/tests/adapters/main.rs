//! Adapters as a user meets them: made, applied, trained, merged, compiled, saved by name.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A helper that fails is a test that fails.

mod adapter;
mod adapter_defects;
mod adapter_merge;
mod combine;
mod compiled;
mod convolution;
mod convolution_adapters;
mod diagnostics;
mod dora;
mod dropout;
mod in_place;
mod lora;
mod merge_guards;
mod mixed;
mod named;
mod named_updates;
mod parameters_by_name;
mod parameters_change;
mod parameters_only;
#[cfg(feature = "serde")]
mod serialize;
mod stacked;
mod starts;
mod sums;
mod support;
mod torch;
mod training;
mod tucker;
mod whole_convolutions;
mod whole_network;
