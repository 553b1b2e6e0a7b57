//! Rows laid out as columns.

use pulp::Simd;

use super::lanes::{Lanes, Work, run_on_best};
use crate::scalar::Scalar;

/// Rows and columns of the squares that are turned in registers.
const SQUARE: usize = 8;

/// Writes `rows` rows of `from`, each `stride` values after the one before, as the first columns of `to`, whose rows
/// have `width` values. There are as many values of each row as `to` has rows; the other columns of `to` stay.
///
/// # Panics
/// When a value lies outside its slice: a bug of the caller.
pub(crate) fn transpose<T: Scalar>(from: &[T], stride: usize, rows: usize, to: &mut [T], width: usize) {
    Transpose { from, stride, rows, to, width }.run_on_best(usize::MAX);
}

struct Transpose<'a, T> {
    from: &'a [T],
    stride: usize,
    rows: usize,
    to: &'a mut [T],
    width: usize,
}

run_on_best!(Transpose);

impl<T: Scalar> Work<T> for Transpose<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S)
    where
        T: Lanes<S>,
    {
        let Self { from, stride, rows, to, width } = self;
        let depth = to.len() / width;
        let mut first = 0;
        while first + SQUARE <= rows {
            let group: [&[T]; SQUARE] = std::array::from_fn(|r| &from[(first + r) * stride..][..depth]);
            let mut to = to.chunks_exact_mut(width);
            let mut l = 0;
            while l + SQUARE <= depth {
                // Plain loops over fixed sizes: compiled for the registers of `S`.
                let square: [[T; SQUARE]; SQUARE] = std::array::from_fn(|r| std::array::from_fn(|j| group[r][l + j]));
                for (j, to) in to.by_ref().take(SQUARE).enumerate() {
                    let to = &mut to[first..first + SQUARE];
                    for (to, row) in to.iter_mut().zip(&square) {
                        *to = row[j];
                    }
                }
                l += SQUARE;
            }
            for (l, to) in (l..depth).zip(to) {
                for (to, row) in to[first..first + SQUARE].iter_mut().zip(&group) {
                    *to = row[l];
                }
            }
            first += SQUARE;
        }
        for row in first..rows {
            let values = &from[row * stride..][..depth];
            to.chunks_exact_mut(width).zip(values).for_each(|(to, &value)| to[row] = value);
        }
    }
}
