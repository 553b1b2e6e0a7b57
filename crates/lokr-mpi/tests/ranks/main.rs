//! What ranks do together, on ranks that are threads: no MPI is needed.

#![allow(clippy::unwrap_used, clippy::expect_used)] // In helpers too, a failure is the test's.
#![allow(clippy::result_large_err)] // Errors of whole jobs, which are made once.

#[path = "../support/mod.rs"]
mod support;

mod agreement;
mod parts;
mod step_time;
mod training;
