//! Rows laid out as columns.

use pulp::Simd;

use super::lanes::{Lanes, Work, run_on_best};
use super::turn::SQUARE;
use crate::scalar::Scalar;

/// Writes `rows` rows of `from`, each `stride` values after the one before, as the first columns of `to`, whose rows
/// have `width` values. There are as many values of each row as `to` has rows; the other columns of `to` stay.
///
/// # Panics
/// When a value lies outside its slice: a bug of the caller.
pub(crate) fn transpose<T: Scalar>(from: &[T], stride: usize, rows: usize, to: &mut [T], width: usize) {
    Transpose { from, stride, rows, to, width }.run_on_best(SQUARE * size_of::<f32>() / size_of::<T>());
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
    fn run<S: Simd>(self, simd: S)
    where
        T: Lanes<S>,
    {
        let Self { from, stride, rows, to, width } = self;
        let depth = to.len() / width;
        if rows < SQUARE {
            for row in 0..rows {
                let values = &from[row * stride..][..depth];
                to.chunks_exact_mut(width).zip(values).for_each(|(to, &value)| to[row] = value);
            }
            return;
        }
        for square in 0..rows.div_ceil(SQUARE) {
            // The last one reaches back over rows that are done.
            let first = (square * SQUARE).min(rows - SQUARE);
            let group: [&[T]; SQUARE] = std::array::from_fn(|r| &from[(first + r) * stride..][..depth]);
            let chunks = group.map(|row| row.as_chunks::<SQUARE>());
            let mut to = to.chunks_exact_mut(width).map(|to| &mut to[first..first + SQUARE]);
            for chunk in 0..depth / SQUARE {
                let turned = <T as Lanes<S>>::turn(simd, chunks.map(|(whole, _)| &whole[chunk]));
                for (row, to) in turned.iter().zip(to.by_ref()) {
                    to.copy_from_slice(row);
                }
            }
            for (l, to) in to.enumerate() {
                for (to, (_, rest)) in to.iter_mut().zip(chunks) {
                    *to = rest[l];
                }
            }
        }
    }
}
