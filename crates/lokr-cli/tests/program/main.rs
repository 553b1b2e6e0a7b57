//! The built program `lokr`, run on the recorded files of `lokr-checkpoint`.
#![allow(clippy::unwrap_used, clippy::expect_used)] // What fails in a helper fails the test.

mod adapters;
mod check;
mod command_line;
mod in_parts;
mod inspect;
#[cfg(unix)]
mod interrupt;
mod models;
mod options;
mod other_files;
mod page;
mod quantized;
mod recorded_cases;
mod selection;
mod support;
mod transcripts;
