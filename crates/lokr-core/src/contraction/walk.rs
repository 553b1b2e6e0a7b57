//! Into which blocks a batch is cut.
//!
//! A batch goes through its steps in one of two ways, chosen from sizes alone so that the result does not depend on the
//! number of threads:
//!
//! - *fused*: blocks of rows whose intermediates fit the second-level cache go through all steps, many blocks at a
//!   time, each product on one thread;
//! - *whole*: for factors too large to be read again for every block, or batches too small to be cut, larger chunks go
//!   through one step after the other, each product on all threads (and in BLAS, where one is linked).
//!
//! Rows too long for the cache go through stages of steps instead of single ones, see `stage`.

use super::block::Part;
use super::step::Step;
use crate::gemm::Threads;
use crate::gemm::limits::{BLOCK_FLOPS, CHUNK_BYTES, MIN_BLOCKS, THREADED_BATCH_FLOPS, block_bytes};
use crate::scalar::Scalar;

/// How a batch is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Walk {
    /// Rows per block or chunk.
    pub(super) rows: usize,
    /// Who takes the blocks: all threads, or one that takes them one after the other.
    pub(super) blocks: Threads,
    /// Who takes the blocks where that decides no bits: `blocks`, unless waking others takes longer than the work.
    pub(super) takers: Threads,
    /// Who works inside a block. Never all threads on both.
    pub(super) inside: Threads,
    /// Whether the intermediates of a block fit the second-level cache.
    pub(super) fits: bool,
}

impl Walk {
    /// Decides from sizes alone. `large`: a matrix is too large for every block to go past it.
    pub(super) fn new<T: Scalar>(steps: &[Step<'_, T>], batch: usize, large: bool) -> Self {
        let widest = steps.iter().map(|s| s.width_in().max(s.width_out())).max().unwrap_or(1);
        let row_bytes = widest * size_of::<T>();
        let row_flops = steps.iter().map(Step::flops).fold(1, usize::saturating_add);
        let flops = batch.saturating_mul(row_flops);
        let worth = batch.div_ceil(MIN_BLOCKS).max(BLOCK_FLOPS.div_ceil(row_flops));
        let rows = (block_bytes() / row_bytes).min(worth).max(1);
        let blocks = Threads::All.for_flops(flops, THREADED_BATCH_FLOPS);
        if blocks == Threads::All && (large || batch < MIN_BLOCKS / 2) {
            let rows = (CHUNK_BYTES / row_bytes).clamp(1, batch);
            let fits = rows.saturating_mul(row_bytes) <= block_bytes();
            return Self { rows, blocks: Threads::One, takers: Threads::One, inside: Threads::All, fits };
        }
        let takers = blocks.unless_woken(flops);
        Self { rows, blocks, takers, inside: Threads::One, fits: row_bytes <= block_bytes() }
    }
}
