//! A batch of rows through all steps.

use ndarray::{ArrayRef2, ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;

use super::step::{Step, Steps};
use super::walk::Walk;
use crate::gemm::limits::LARGE_MATRIX_BYTES;
use crate::gemm::{Blend, Threads, views, with_scratch};
use crate::scalar::Scalar;

/// `Y ← α·steps(X) + β·Y` for the rows of `x`; with `β = 0`, `y` may hold anything, with `α = 0`
/// so may `x` and the steps. The shapes must have been checked.
pub(crate) fn forward<T: Scalar>(steps: &[Step<'_, T>], blend: Blend<T>, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) {
    if x.nrows() == 0 {
        return;
    }
    if blend.alpha == T::zero() {
        return blend.keep(y.view_mut());
    }
    let rows = x.nrows();
    with_scratch(steps.iter().map(|s| s.strip_values(rows) + s.column_values(rows)).sum(), |mut memory| {
        let mut ready = Steps::new();
        for step in steps {
            let (strips, rest) = memory.split_at_mut(step.strip_values(rows));
            let (columns, rest) = rest.split_at_mut(step.column_values(rows));
            ready.push(if columns.is_empty() { step.with_strips(strips) } else { step.with_columns(columns) });
            memory = rest;
        }
        all_blocks(&ready, blend, x, y);
    });
}

fn all_blocks<T: Scalar>(steps: &[Step<'_, T>], blend: Blend<T>, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) {
    // A matrix in strips streams through the caches without being laid out again for every block.
    let large = steps.iter().any(|s| s.strips.is_none() && s.matrix_bytes() > LARGE_MATRIX_BYTES);
    let walk = Walk::new(steps, x.nrows(), large);
    let (x, y) = (x.axis_chunks_iter(Axis(0), walk.rows), y.axis_chunks_iter_mut(Axis(0), walk.rows));
    match walk.blocks {
        Threads::All => x.into_par_iter().zip(y).for_each(|(x, y)| one_block(steps, blend, x, y, walk.inside)),
        Threads::One => x.zip(y).for_each(|(x, y)| one_block(steps, blend, x, y, walk.inside)),
    }
}

fn one_block<T: Scalar>(
    steps: &[Step<'_, T>],
    blend: Blend<T>,
    x: ArrayView2<'_, T>,
    mut y: ArrayViewMut2<'_, T>,
    threads: Threads,
) {
    let rows = x.nrows();
    let copy_x = if x.as_slice().is_some() { 0 } else { x.len() };
    let copy_y = if y.as_slice().is_some() { 0 } else { y.len() };
    let (inner, last) = steps.split_at(steps.len() - 1);
    let widest = rows * inner.iter().map(Step::width_out).max().unwrap_or(0);
    with_scratch(copy_x + copy_y + 2 * widest, |scratch| {
        let (x_copy, scratch) = scratch.split_at_mut(copy_x);
        let (y_copy, scratch) = scratch.split_at_mut(copy_y);
        let (mut from, mut to) = scratch.split_at_mut(widest);
        let x = views::rows_or_copy(&x, x_copy);
        let mut current: Option<usize> = None;
        for step in inner {
            let length = rows * step.width_out();
            let input = current.map_or(x, |length| &from[..length]);
            step.apply(Blend::overwrite(), input, &mut to[..length], threads);
            std::mem::swap(&mut from, &mut to);
            current = Some(length);
        }
        let input = current.map_or(x, |length| &from[..length]);
        views::write(blend, &mut y, y_copy, |blend, y| last[0].apply(blend, input, y, threads));
    });
}
