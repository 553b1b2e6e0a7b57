//! The crate from outside: files read and written, adapters found, converted, merged and made.
#![allow(clippy::unwrap_used, clippy::expect_used)] // In helpers too, a failure is the test's.

mod bad_files;
mod cases;
mod cdka;
mod check;
mod combine;
mod convert;
mod convolutions;
mod damaged;
mod extract;
mod families;
mod fused;
mod layers;
mod lora;
mod lora_layouts;
mod merge;
mod names;
mod network;
mod network_alone;
mod others;
mod pages;
mod parts;
mod pipeline;
mod quantized;
mod quantized_models;
mod quantized_refusals;
mod refusals_file;
mod refusals_module;
mod resize;
mod support;
mod terms;
mod training;
mod verify;
mod whole_tensors;
mod writer;
mod written_names;
