//! `LoKr` past one machine: data-parallel fine-tuning, and merging and extracting in parts, over MPI.
//!
//! The gradient of a `LoKr` adapter is tiny: of a layer of 4096 × 4096 it has 8192 numbers instead of 16.8 million. So
//! ranks that train together exchange next to nothing, and what limits them is seldom the network between them.
//!
//! | to | there is |
//! |---|---|
//! | run a program on every rank of an `mpirun` or `srun` | `run`, `World` (feature `mpi`) |
//! | train on all ranks | [`lokr_layers::Training::communicator`] with a `World`, or with [`Threads`] |
//! | do the same without MPI, in tests | [`Threads`] |
//! | see what goes over the network | [`Metered`] |
//! | merge or extract on all ranks | [`in_parts`]; the program `lokr-mpi` |
//! | know how far it scales | [`Cluster`], [`Work`], [`simulate`] |
//!
//! # The feature `mpi`
//! Off by default, so that this crate and its tests need no MPI. On, it needs an MPI library with its compiler wrapper
//! `mpicc`, and `libclang` for the bindings: on Debian and its relatives the packages `libopenmpi-dev`, `openmpi-bin`
//! and `libclang-dev`.
//!
//! # Rooms
//! - `world`: ranks over MPI; `threads`: ranks in one process; `metered`: either of them, watched.
//! - `parts`: a job shared out to ranks.
//! - `step_time`, `simulation`: how long a step takes, by a formula and by playing it through.
//!
//! Uses `lokr-layers` and `lokr-checkpoint`; nothing uses it.
#![forbid(unsafe_code)]

mod metered;
mod parts;
mod simulation;
mod step_time;
mod threads;
#[cfg(feature = "mpi")]
mod world;

pub use metered::{Metered, Traffic};
pub use parts::{PartsError, in_parts};
pub use simulation::{Simulated, simulate};
pub use step_time::{Cluster, StepTime, Work};
pub use threads::Threads;
#[cfg(feature = "mpi")]
pub use world::{World, run};
