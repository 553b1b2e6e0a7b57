//! Products of a batch with a large weight, strip by strip of the result's columns.
//!
//! A general product packs both operands as a whole. With a batch of rows on the left that is wasteful: for few rows
//! the weight is read once, where it lies; for more, one strip of it at a time is laid out in the first-level cache
//! and all rows go past it.

use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;

use super::kernel::{Strided, dot_into, outer_into};
use crate::scalar::Scalar;

/// Rows up to which the weight is not laid out at all.
const FEW_ROWS: usize = 48;
/// Rows up to which strips are better than a general product.
const ROWS: usize = 1024;
/// Columns of the result per task, for few rows.
const COLUMNS: usize = 512;
/// Rows of `b` that are read side by side, for few rows and contiguous rows of `b`.
const SIDE_BY_SIDE: usize = 32;
/// Columns of a strip that is laid out: two or more registers on every instruction set.
const STRIP: usize = 32;
/// Inner dimension done at a time, so that a piece of a strip stays in the first-level cache.
const DEPTH: usize = 256;

/// `C ← α·A·B + β·C` if this is a job for this file: not too many rows, contiguous rows in `A` and `C`, contiguous
/// rows or columns in `B`. Says whether it was.
///
/// Every element is summed by itself, in an order that depends on the sizes only.
pub(crate) fn product<T: Scalar>(
    alpha: T,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    beta: T,
    c: &mut ArrayViewMut2<'_, T>,
    parallel: bool,
) -> bool {
    let (m, k) = a.dim();
    let n = b.ncols();
    let c_rows_lie = c.strides()[1] == 1 && (m == 1 || c.strides()[0] > 0);
    if m == 0 || m > ROWS || k == 0 || n < 2 || !c_rows_lie {
        return false;
    }
    let (Some(a), Some(b)) = (a.to_slice(), Strided::one(b)) else { return false };
    let a = Strided { data: a, row: k, col: 1, step: 0 };
    let few = m <= FEW_ROWS;
    if !few && n < STRIP {
        return false;
    }
    let columns = match (few, b.col) {
        (true, _) => COLUMNS,
        (false, 1) => 2 * STRIP, // whole pairs of cache lines of every row
        (false, _) => STRIP,
    };
    let work = |(chunk, mut c): (usize, ArrayViewMut2<'_, T>)| {
        let b = Strided { data: &b.data[chunk * columns * b.col..], ..b };
        match (few, b.row) {
            (true, 1) => dot_into(alpha, a, b.transposed(), k, beta, &mut c),
            (true, _) => side_by_side(alpha, a, b, k, beta, &mut c),
            (false, _) => laid_out(alpha, a, b, k, beta, &mut c),
        }
    };
    if parallel {
        c.axis_chunks_iter_mut(Axis(1), columns).into_par_iter().enumerate().for_each(work);
    } else {
        c.axis_chunks_iter_mut(Axis(1), columns).enumerate().for_each(work);
    }
    true
}

/// Some rows of `b`, each contiguous, at a time.
fn side_by_side<T: Scalar>(
    alpha: T,
    a: Strided<'_, T>,
    b: Strided<'_, T>,
    k: usize,
    beta: T,
    c: &mut ArrayViewMut2<'_, T>,
) {
    for start in (0..k).step_by(SIDE_BY_SIDE) {
        let depth = SIDE_BY_SIDE.min(k - start);
        let a = Strided { data: &a.data[start..], ..a };
        let b = Strided { data: &b.data[start * b.row..], ..b };
        outer_into(alpha, a, b, depth, if start == 0 { beta } else { T::one() }, c);
    }
}

/// One strip, piece by piece copied into scratch memory with its rows one after the other.
fn laid_out<T: Scalar>(
    alpha: T,
    a: Strided<'_, T>,
    b: Strided<'_, T>,
    k: usize,
    beta: T,
    c: &mut ArrayViewMut2<'_, T>,
) {
    let width = c.ncols();
    T::with_scratch(DEPTH.min(k) * width, |piece| {
        for start in (0..k).step_by(DEPTH) {
            let depth = DEPTH.min(k - start);
            let piece = &mut piece[..depth * width];
            let from = &b.data[start * b.row..];
            if b.col == 1 {
                for (to, from) in piece.chunks_exact_mut(width).zip(from.chunks(b.row)) {
                    to.copy_from_slice(&from[..width]);
                }
            } else {
                transpose(from, b.col, piece, width);
            }
            let a = Strided { data: &a.data[start..], ..a };
            let piece = Strided { data: piece, row: width, col: 1, step: 0 };
            outer_into(alpha, a, piece, depth, if start == 0 { beta } else { T::one() }, c);
        }
    });
}

/// Rows that are transposed together, so that every write fills a good part of a cache line.
const TOGETHER: usize = 8;

/// Writes `width` rows of `from`, each `stride` values after the one before, as the columns of `to`.
pub(crate) fn transpose<T: Scalar>(from: &[T], stride: usize, to: &mut [T], width: usize) {
    let depth = to.len() / width;
    let mut rows = from.chunks(stride);
    let mut column = 0;
    while column + TOGETHER <= width {
        let group: [&[T]; TOGETHER] = std::array::from_fn(|_| rows.next().map_or(&[][..], |row| &row[..depth]));
        for (k, to) in to.chunks_exact_mut(width).enumerate() {
            let to = &mut to[column..column + TOGETHER];
            for (to, row) in to.iter_mut().zip(&group) {
                *to = row[k];
            }
        }
        column += TOGETHER;
    }
    for (column, row) in (column..width).zip(rows) {
        to.chunks_exact_mut(width).zip(row).for_each(|(to, &value)| to[column] = value);
    }
}

/// Lays `b (k, n)` out strip after strip: all values of `strips`, which has `k·n` of them.
pub(crate) fn lay_out<T: Scalar>(b: Strided<'_, T>, k: usize, n: usize, strips: &mut [T]) {
    strips[..k * n].par_chunks_mut(STRIP * k).enumerate().for_each(|(strip, to)| {
        let width = to.len() / k;
        let from = &b.data[strip * STRIP * b.col..];
        if b.col == 1 {
            for (to, from) in to.chunks_exact_mut(width).zip(from.chunks(b.row)) {
                to.copy_from_slice(&from[..width]);
            }
        } else {
            transpose(from, b.col, to, width);
        }
    });
}

/// `C ← α·A·B + β·C` for rows of `a` that lie one after the other, contiguous rows of `c`, and a `B` from [`lay_out`].
pub(crate) fn multiply<T: Scalar>(
    alpha: T,
    a: &[T],
    strips: &[T],
    k: usize,
    beta: T,
    mut c: ArrayViewMut2<'_, T>,
    parallel: bool,
) {
    let work = |(strip, mut c): (usize, ArrayViewMut2<'_, T>)| {
        let width = c.ncols();
        let strip = &strips[strip * STRIP * k..][..width * k];
        for start in (0..k).step_by(DEPTH) {
            let depth = DEPTH.min(k - start);
            let a = Strided { data: &a[start..], row: k, col: 1, step: 0 };
            let b = Strided { data: &strip[start * width..], row: width, col: 1, step: 0 };
            outer_into(alpha, a, b, depth, if start == 0 { beta } else { T::one() }, &mut c);
        }
    };
    if parallel {
        c.axis_chunks_iter_mut(Axis(1), STRIP).into_par_iter().enumerate().for_each(work);
    } else {
        c.axis_chunks_iter_mut(Axis(1), STRIP).enumerate().for_each(work);
    }
}
