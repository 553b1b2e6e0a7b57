//! How many threads work on one thing.

/// Who may work on something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The calling thread alone: what is done is a tile inside a parallel loop, or too small to be shared.
    One,
    /// BLAS where one is linked, else the threads of the current rayon pool.
    All,
}

impl Threads {
    /// These threads for work of at least `least` flops; the calling thread alone for less.
    pub(crate) fn for_flops(self, flops: usize, least: usize) -> Self {
        if flops >= least { self } else { Self::One }
    }
}
