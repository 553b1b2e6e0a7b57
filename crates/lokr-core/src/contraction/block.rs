//! One block of rows through what is done to it, part by part.

use ndarray::{ArrayView2, ArrayViewMut2};

use crate::gemm::{Blend, Threads, views, with_scratch};
use crate::scalar::Scalar;

/// A part of the way through an operator.
pub(super) trait Part<T> {
    /// Values in a row after it.
    fn width_out(&self) -> usize;

    /// `Y ← α·part(X) + β·Y`, rows contiguous one after the other.
    fn apply(&self, blend: Blend<T>, x: &[T], y: &mut [T], threads: Threads);
}

/// `Y ← α·parts(X) + β·Y` for `rows` rows, whose values are those of `x` and `y` row by row.
pub(super) fn block<T: Scalar>(
    parts: &[impl Part<T>],
    rows: usize,
    blend: Blend<T>,
    x: ArrayView2<'_, T>,
    mut y: ArrayViewMut2<'_, T>,
    threads: Threads,
) {
    let copy_x = if x.as_slice().is_some() { 0 } else { x.len() };
    let copy_y = if y.as_slice().is_some() { 0 } else { y.len() };
    let (inner, last) = parts.split_at(parts.len() - 1);
    let widest = rows * inner.iter().map(Part::width_out).max().unwrap_or(0);
    with_scratch(copy_x + copy_y + 2 * widest, |scratch| {
        let (x_copy, scratch) = scratch.split_at_mut(copy_x);
        let (y_copy, scratch) = scratch.split_at_mut(copy_y);
        let (mut from, mut to) = scratch.split_at_mut(widest);
        let x = views::rows_or_copy(&x, x_copy);
        let mut current: Option<usize> = None;
        for part in inner {
            let length = rows * part.width_out();
            let input = current.map_or(x, |length| &from[..length]);
            part.apply(Blend::overwrite(), input, &mut to[..length], threads);
            std::mem::swap(&mut from, &mut to);
            current = Some(length);
        }
        let input = current.map_or(x, |length| &from[..length]);
        views::write(blend, &mut y, y_copy, |blend, y| last[0].apply(blend, input, y, threads));
    });
}
