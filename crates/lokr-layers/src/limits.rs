//! Sizes at which the crate changes its way of working. Speed and memory depend on them; results do only where it is
//! said.

/// From this many values on, an activation and its derivative are shared out to the threads of the current rayon pool.
///
/// A power of two well above what starting the threads costs: each value is computed from one other alone, so either
/// way gives the same bits.
pub(crate) const PARALLEL_VALUES: usize = 1 << 15;

/// Rows that an evaluation takes at a time: enough for the products to run at full speed, few enough for the outputs of
/// a wide network to stay small. The mean of the losses is summed piece by piece, so its last bits depend on this.
pub(crate) const EVALUATION_ROWS: usize = 512;

/// Values of the patches of a convolution that exist at a time, unless one place has more: a few megabytes, which
/// a product can run at full speed on. The gradients are summed block by block, so their last bits depend on this.
pub(crate) const PATCH_VALUES: usize = 1 << 20;
