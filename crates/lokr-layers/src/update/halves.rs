//! Factors held as two halves.

use lokr_core::{Factor, Scalar};
use ndarray::ArrayView2;

/// The left and the right half, if `factor` is held low-rank.
pub(super) fn halves<'f, T: Scalar>(factor: &'f Factor<'_, T>) -> Option<(ArrayView2<'f, T>, ArrayView2<'f, T>)> {
    match factor {
        Factor::Full(_) => None,
        Factor::LowRank(low) => Some((low.left(), low.right())),
    }
}

/// The inner size, if `factor` is held low-rank.
pub(crate) fn inner_rank<T: Scalar>(factor: &Factor<'_, T>) -> Option<usize> {
    halves(factor).map(|(left, _)| left.ncols())
}
