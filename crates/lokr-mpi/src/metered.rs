//! A communicator that is watched: how much goes through it, and how long that takes.

use std::cell::Cell;
use std::time::{Duration, Instant};

use lokr_layers::{AllReduce, Communicator, Result};

/// What went through a [`Metered`] communicator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages: calls of any operation.
    pub messages: usize,
    /// Bytes that this rank gave to them.
    pub bytes: usize,
    /// Time in them, the waiting for slower ranks included.
    pub time: Duration,
}

/// A communicator that counts what goes through another.
///
/// # Examples
/// ```
/// use lokr_layers::{AllReduce, SingleProcess};
/// use lokr_mpi::Metered;
///
/// let ranks = Metered::new(&SingleProcess);
/// ranks.sum(&mut [1.0_f32, 2.0])?;
/// assert_eq!((ranks.traffic().messages, ranks.traffic().bytes), (1, 8));
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug)]
pub struct Metered<'a, C> {
    ranks: &'a C,
    traffic: Cell<Traffic>,
}

impl<'a, C: Communicator> Metered<'a, C> {
    /// Watches `ranks`.
    pub fn new(ranks: &'a C) -> Self {
        Self { ranks, traffic: Cell::default() }
    }

    /// What went through so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic.get()
    }

    fn count<R>(&self, bytes: usize, message: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let result = message();
        let before = self.traffic.get();
        self.traffic.set(Traffic {
            messages: before.messages + 1,
            bytes: before.bytes + bytes,
            time: before.time + start.elapsed(),
        });
        result
    }
}

impl<C: Communicator> Communicator for Metered<'_, C> {
    fn rank(&self) -> usize {
        self.ranks.rank()
    }

    fn size(&self) -> usize {
        self.ranks.size()
    }

    fn gather(&self, own: &[u8], lengths: &[usize], all: &mut Vec<u8>) -> Result<()> {
        self.count(own.len(), || self.ranks.gather(own, lengths, all))
    }
}

impl<T, C: AllReduce<T>> AllReduce<T> for Metered<'_, C> {
    fn sum(&self, values: &mut [T]) -> Result<()> {
        self.count(size_of_val(values), || self.ranks.sum(values))
    }
}
