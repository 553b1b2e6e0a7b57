//! How much is worked on at a time. Chosen for speed; but they are also the pieces in which sums are formed, so that
//! with other values DoRA's norms and what is measured would differ in their last bits.

/// Elements of a pass over a weight that is not written: all buffers of such a tile stay in a core's cache.
pub(super) const PASS_TILE: usize = 1 << 15;

/// Elements computed as one task and written as one piece: few enough that they are still in a core's cache when the
/// system copies them, and enough that threads seldom meet at the file.
pub(super) const CHUNK: usize = 1 << 18;

/// Elements of a chunk decoded and adapted at a time: with their stored bytes they stay in the first-level cache until
/// they are measured.
pub(super) const TILE: usize = 1 << 12;

/// Elements of a row measured at a time: few enough that sums of them in the arithmetic's type are exact enough.
pub(super) const BLOCK: usize = 256;

/// As many numbers as are worked on side by side.
pub(super) const LANES: usize = 16;
