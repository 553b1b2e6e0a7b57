//! The built program `lokr`, run on the recorded files of `lokr-checkpoint`.
#![allow(clippy::unwrap_used, clippy::expect_used)] // What fails in a helper fails the test.

mod adapters;
mod inspect;
#[cfg(unix)]
mod interrupt;
mod models;
mod recorded_cases;
mod support;
