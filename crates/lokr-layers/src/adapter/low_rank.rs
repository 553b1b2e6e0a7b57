//! Factors held as two halves: from which rank on they are not, and what the halves are.

use lokr_core::{Factor, Scalar};
use ndarray::ArrayView2;

/// The smallest rank at which LyCORIS and PEFT hold a factor of this shape full: they make it low-rank while
/// `rank < max(rows, cols)/2`.
pub(super) fn full_from_rank((rows, cols): (usize, usize)) -> usize {
    rows.max(cols).div_ceil(2)
}

/// The left and the right half, if `factor` is held low-rank.
pub(super) fn halves<'f, T: Scalar>(factor: &'f Factor<'_, T>) -> Option<(ArrayView2<'f, T>, ArrayView2<'f, T>)> {
    match factor {
        Factor::Full(_) => None,
        Factor::LowRank(low) => Some((low.left(), low.right())),
    }
}

/// The inner size, if `factor` is held low-rank.
pub(super) fn inner_rank<T: Scalar>(factor: &Factor<'_, T>) -> Option<usize> {
    halves(factor).map(|(left, _)| left.ncols())
}
