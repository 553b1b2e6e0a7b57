//! How many threads work on one thing.

use super::limits::waking_flops;

/// Who may work on something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The calling thread alone: what is done is a tile inside a parallel loop, or too small to be shared.
    One,
    /// BLAS where one is linked, else the threads of the current rayon pool.
    All,
}

impl Threads {
    /// How many they are.
    pub(super) fn count(self) -> usize {
        match self {
            Self::All => rayon::current_num_threads(),
            Self::One => 1,
        }
    }

    /// These threads for work of at least `least` flops; the calling thread alone for less.
    pub(crate) fn for_flops(self, flops: usize, least: usize) -> Self {
        if flops >= least { self } else { Self::One }
    }

    /// The calling thread alone where it is none of the pool's, and would sleep while the pool wakes up, for work of
    /// so few flops that it is done by then. Only where the number of threads decides no bits.
    pub(crate) fn unless_woken(self, flops: usize) -> Self {
        // Products inside a tile, of which there are many, need not be looked at.
        if self == Self::One || rayon::current_thread_index().is_some() {
            return self;
        }
        self.for_flops(flops, waking_flops())
    }
}
