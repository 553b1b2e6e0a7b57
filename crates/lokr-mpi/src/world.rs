//! Ranks over MPI.

use std::fmt::Display;
use std::io::{Write, stderr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use lokr_core::Scalar;
use lokr_layers::{AllReduce, Communicator, LayerError, Result};
use mpi::collective::SystemOperation;
use mpi::datatype::PartitionMut;
use mpi::topology::{Communicator as _, SimpleCommunicator};
use mpi::traits::{CommunicatorCollectives, Equivalence};
use mpi::{Count, Threading};

/// All processes that one `mpirun` or `srun` has started. See [`run`].
pub struct World {
    ranks: SimpleCommunicator,
}

/// What a program exits with whose rank panics.
const PANIC: i32 = 101;

/// Runs `program` on this rank of a job that `mpirun` or `srun` has started, and ends MPI after it; without them, a job
/// of one rank.
///
/// Where a rank fails, by an error or a panic, it says so on standard error with its number, and the whole job ends:
/// the others would wait for it forever.
///
/// # Examples
/// ```no_run
/// use std::process::ExitCode;
/// use lokr_layers::Communicator;
///
/// fn main() -> ExitCode {
///     lokr_mpi::run(|world| {
///         println!("rank {} of {}", world.rank(), world.size());
///         Ok::<(), std::io::Error>(())
///     })
/// }
/// ```
pub fn run<E: Display>(program: impl FnOnce(&World) -> std::result::Result<(), E>) -> ExitCode {
    // Threads compute, and only this one talks to other ranks.
    let Some((universe, _)) = mpi::initialize_with_threading(Threading::Funneled) else {
        let _ = writeln!(stderr(), "error: MPI has been started in this process before");
        return ExitCode::FAILURE;
    };
    let world = World { ranks: universe.world() };
    let code = match catch_unwind(AssertUnwindSafe(|| program(&world))) {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(error)) => {
            let _ = writeln!(stderr(), "error on rank {}: {error}", world.rank());
            1
        }
        Err(_) => PANIC,
    };
    if world.size() > 1 {
        world.ranks.abort(code);
    }
    ExitCode::from(code as u8)
}

impl Communicator for World {
    fn rank(&self) -> usize {
        self.ranks.rank() as usize
    }

    fn size(&self) -> usize {
        self.ranks.size() as usize
    }

    fn gather(&self, own: &[u8], lengths: &[usize], all: &mut Vec<u8>) -> Result<()> {
        let total: usize = lengths.iter().sum();
        let Ok(_) = Count::try_from(total) else {
            let message = format!("{total} bytes are more than the {} that MPI counts", Count::MAX);
            return Err(LayerError::Communication { what: "gather bytes", message });
        };
        all.clear();
        all.resize(total, 0);
        let counts: Vec<Count> = lengths.iter().map(|&length| length as Count).collect();
        let starts: Vec<Count> =
            counts.iter().scan(0, |next, &count| Some(std::mem::replace(next, *next + count))).collect();
        self.ranks.all_gather_varcount_into(own, &mut PartitionMut::new(&mut all[..], counts, starts));
        Ok(())
    }
}

/// Values in one message: their number fits into MPI's, and their buffer into a cache of the processor.
const MESSAGE: usize = 1 << 24;

impl<T: Scalar + Equivalence> AllReduce<T> for World {
    fn sum(&self, values: &mut [T]) -> Result<()> {
        let mut sums = vec![T::zero(); values.len().min(MESSAGE)];
        for values in values.chunks_mut(MESSAGE) {
            let sums = &mut sums[..values.len()];
            self.ranks.all_reduce_into(&*values, sums, SystemOperation::sum());
            values.copy_from_slice(sums);
        }
        Ok(())
    }
}
