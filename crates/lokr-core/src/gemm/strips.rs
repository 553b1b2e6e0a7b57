//! Products of a batch with a large weight, strip by strip of the result's columns.
//!
//! A general product packs both operands as a whole. With a batch of rows on the left that is wasteful: for few rows
//! the weight is read once, where it lies; for more, one strip of it at a time is laid out in the first-level cache
//! and all rows go past it.

use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;

use super::blend::Blend;
use super::kernel::{Strided, dot_into, outer_into, transpose};
use super::limits::{
    LEAST_SIDE_BY_SIDE, MOST_SIDE_BY_SIDE, NARROW_UNPACKED_ROWS, NEAR_STRIP_ROWS, SIDE_BY_SIDE, STRIP_COLUMNS,
    STRIP_DEPTH, STRIP_ROWS, UNPACKED_COLUMNS, near_bytes, panels_pay, panels_rows, unpacked_rows,
};
use super::panels;
use super::scratch::with_scratch;
use super::threads::Threads;
use crate::scalar::Scalar;

/// `C ← α·A·B + β·C` if this is a job for this file: not too many rows, contiguous rows in `A` and `C`, contiguous
/// rows or columns in `B`. Says whether it was.
///
/// Every element is summed by itself, in an order that depends on the sizes only.
pub(super) fn product<T: Scalar>(
    blend: Blend<T>,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    c: &mut ArrayViewMut2<'_, T>,
    threads: Threads,
) -> bool {
    let (m, k) = a.dim();
    let n = b.ncols();
    if m == 0 || m > NEAR_STRIP_ROWS || k == 0 || n < 2 || !rows_lie(c) {
        return false;
    }
    let (Some(a), Some(b)) = (a.to_slice(), Strided::one(b)) else { return false };
    let a = Strided::rows(a, k);
    let few = m <= if n < STRIP_COLUMNS { NARROW_UNPACKED_ROWS } else { unpacked_rows(b.row == 1) };
    if !few && m >= panels_rows() && panels_pay(k.saturating_mul(n).saturating_mul(size_of::<T>())) {
        return false;
    }
    let far = m > STRIP_ROWS && m.saturating_mul(k * size_of::<T>()) > near_bytes();
    if far || (!few && n < STRIP_COLUMNS) {
        return false;
    }
    let columns = match (few, b.col) {
        (true, 1) => share(n, threads),
        (true, _) => UNPACKED_COLUMNS,
        (false, 1) => 2 * STRIP_COLUMNS, // whole pairs of cache lines of every row
        (false, _) => STRIP_COLUMNS,
    };
    in_strips(c, columns, threads, |strip, c| {
        let b = b.from(strip * columns * b.col);
        match (few, b.row) {
            (true, 1) => dot_into(blend, a, b.transposed(), k, c),
            (true, _) => side_by_side(blend, a, b, k, c),
            (false, _) => laid_out(blend, a, b, k, c),
        }
    });
    true
}

/// Whether the rows of a result are contiguous and follow one another upwards, as the kernels write them.
pub(super) fn rows_lie<T>(c: &ArrayViewMut2<'_, T>) -> bool {
    c.strides()[1] == 1 && (c.nrows() == 1 || c.strides()[0] > 0)
}

/// Runs `work` with every strip of so many columns of the result, and its number.
fn in_strips<T: Scalar>(
    c: &mut ArrayViewMut2<'_, T>,
    columns: usize,
    threads: Threads,
    work: impl Fn(usize, &mut ArrayViewMut2<'_, T>) + Sync,
) {
    let strips = c.axis_chunks_iter_mut(Axis(1), columns);
    match threads {
        Threads::All => strips.into_par_iter().enumerate().for_each(|(strip, mut c)| work(strip, &mut c)),
        Threads::One => strips.enumerate().for_each(|(strip, mut c)| work(strip, &mut c)),
    }
}

/// Columns for each thread, as many as there are, so that every row of the weight is read in long pieces.
fn share(n: usize, threads: Threads) -> usize {
    n.div_ceil(threads.count()).next_multiple_of(STRIP_COLUMNS).max(UNPACKED_COLUMNS)
}

/// Some rows of `b`, each contiguous, at a time.
fn side_by_side<T: Scalar>(
    blend: Blend<T>,
    a: Strided<'_, T>,
    b: Strided<'_, T>,
    k: usize,
    c: &mut ArrayViewMut2<'_, T>,
) {
    let together = (SIDE_BY_SIDE * c.nrows()).clamp(LEAST_SIDE_BY_SIDE, MOST_SIDE_BY_SIDE);
    for start in (0..k).step_by(together) {
        let depth = together.min(k - start);
        outer_into(blend.piece(start), a.from(start), b.from(start * b.row), depth, c);
    }
}

/// One strip, piece by piece copied into scratch memory with its rows one after the other.
fn laid_out<T: Scalar>(blend: Blend<T>, a: Strided<'_, T>, b: Strided<'_, T>, k: usize, c: &mut ArrayViewMut2<'_, T>) {
    let width = c.ncols();
    with_scratch(STRIP_DEPTH.min(k) * width, |memory| {
        for start in (0..k).step_by(STRIP_DEPTH) {
            let depth = STRIP_DEPTH.min(k - start);
            let piece = &mut memory[..depth * width];
            copy_rows(b.from(start * b.row), piece, width);
            outer_into(blend.piece(start), a.from(start), Strided::rows(piece, width), depth, c);
        }
    });
}

/// Copies the first `width` columns of `b`, row after row, until `to` is full.
fn copy_rows<T: Scalar>(b: Strided<'_, T>, to: &mut [T], width: usize) {
    if b.col == 1 {
        for (to, from) in to.chunks_exact_mut(width).zip(b.data.chunks(b.row)) {
            to.copy_from_slice(&from[..width]);
        }
    } else {
        transpose(b.data, b.col, width, to, width);
    }
}

/// Lays `b (k, n)` out strip after strip: all values of `strips`, which has `k·n` of them.
pub(crate) fn lay_out<T: Scalar>(b: Strided<'_, T>, k: usize, n: usize, strips: &mut [T]) {
    strips[..k * n].par_chunks_mut(STRIP_COLUMNS * k).enumerate().for_each(|(strip, to)| {
        let width = to.len() / k;
        copy_rows(b.from(strip * STRIP_COLUMNS * b.col), to, width);
    });
}

/// `C ← α·A·B + β·C` for rows of `a` that lie one after the other, contiguous rows of `c`, and a `B` from [`lay_out`].
pub(crate) fn multiply<T: Scalar>(
    blend: Blend<T>,
    a: &[T],
    strips: &[T],
    k: usize,
    mut c: ArrayViewMut2<'_, T>,
    threads: Threads,
) {
    let a = Strided::rows(a, k);
    if c.nrows() >= panels_rows() && panels_pay(size_of_val(strips)) {
        return panels::with_strips(blend, a, strips, k, &mut c, threads);
    }
    in_strips(&mut c, STRIP_COLUMNS, threads, |strip, c| {
        let width = c.ncols();
        let strip = Strided::rows(&strips[strip * STRIP_COLUMNS * k..][..width * k], width);
        for start in (0..k).step_by(STRIP_DEPTH) {
            let depth = STRIP_DEPTH.min(k - start);
            outer_into(blend.piece(start), a.from(start), strip.from(start * width), depth, c);
        }
    });
}
