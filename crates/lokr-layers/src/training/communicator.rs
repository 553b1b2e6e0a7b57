//! How several processes, or threads, train one network together.

use std::ops::Range;

use crate::error::Result;

/// Several processes or threads, the *ranks*, that do one thing together; MPI's word.
///
/// Its operations are collective: every rank calls the same ones in the same order, and each call waits for the other
/// ranks. A rank that cannot go on must end the others' waiting, by an error or by the end of the whole job; that is
/// the implementor's part. In one process, [`SingleProcess`]; over MPI and over threads, the crate `lokr-mpi`.
pub trait Communicator {
    /// The number of this rank, from 0.
    fn rank(&self) -> usize;

    /// How many ranks there are, at least 1.
    fn size(&self) -> usize;

    /// Gives every rank the bytes of all of them: `all` becomes those of rank 0, of rank 1 and so on. `lengths` tells
    /// how many bytes each rank gives, the same list on every rank.
    ///
    /// # Errors
    /// [`LayerError::Communication`](crate::LayerError::Communication).
    fn gather(&self, own: &[u8], lengths: &[usize], all: &mut Vec<u8>) -> Result<()>;

    /// Which of `count` things are this rank's: neighbours, in the order of ranks, and the numbers of any two ranks
    /// differ by one at most. Nothing for the last ranks where there are fewer things than ranks.
    ///
    /// # Examples
    /// ```
    /// use lokr_layers::{Communicator, SingleProcess};
    /// assert_eq!(SingleProcess.share(7), 0..7);
    /// ```
    fn share(&self, count: usize) -> Range<usize> {
        share(count, self.rank(), self.size())
    }
}

/// A [`Communicator`] that adds up numbers.
pub trait AllReduce<T>: Communicator {
    /// Replaces every value by its sum over the ranks, which all give equally many; every rank gets the same bits. The
    /// order in which ranks are added is the implementor's.
    ///
    /// # Errors
    /// [`LayerError::Communication`](crate::LayerError::Communication).
    fn sum(&self, values: &mut [T]) -> Result<()>;
}

/// One process that trains alone: the default of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SingleProcess;

impl Communicator for SingleProcess {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn gather(&self, own: &[u8], _: &[usize], all: &mut Vec<u8>) -> Result<()> {
        all.clear();
        all.extend_from_slice(own);
        Ok(())
    }
}

impl<T> AllReduce<T> for SingleProcess {
    fn sum(&self, _: &mut [T]) -> Result<()> {
        Ok(())
    }
}

/// [`Communicator::share`] of any rank.
pub(super) fn share(count: usize, rank: usize, size: usize) -> Range<usize> {
    let (each, more) = (count / size, count % size);
    let start = |rank: usize| rank * each + rank.min(more);
    start(rank)..start(rank + 1)
}
