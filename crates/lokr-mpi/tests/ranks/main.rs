//! What ranks do together, on ranks that are threads: no MPI is needed.

#[path = "../support/mod.rs"]
mod support;

mod agreement;
mod parts;
mod step_time;
mod training;
