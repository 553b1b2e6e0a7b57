//! The gradients of all steps' matrices and of the batch, from one output gradient.

use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;
use smallvec::{SmallVec, smallvec};

use super::block::Part;
use super::step::{Step, Steps};
use super::walk::Walk;
use crate::gemm::limits::{FLOPS_PER_PARTIAL, PARTIAL_SUMS, large_matrix_bytes};
use crate::gemm::{Blend, Threads, views, with_scratch};
use crate::scalar::{Scalar, compiled_once};

/// Rows of a batch on their way back: the input, the gradient of the output, and where the gradient of the input goes.
pub(crate) struct Rows<'r, T> {
    pub(crate) x: ArrayView2<'r, T>,
    pub(crate) dy: ArrayView2<'r, T>,
    pub(crate) dx: ArrayViewMut2<'r, T>,
}

compiled_once! {
    /// Adds `α·∂/∂Mₜ` to `gradients[t]` for every step `t`, and sets `dX ← α·stepsᵀ(dY) + β·dX`. The forward
    /// intermediates are computed again, block by block, and shared by all gradients. With `α = 0` nothing is read. The
    /// shapes must have been checked.
    pub(crate) fn backward(
        steps: &[Step<'_, T>],
        blend: Blend<T>,
        batch: Rows<'_, T>,
        gradients: &mut [ArrayViewMut2<'_, T>],
    ) by whole_batch
}

fn whole_batch<T: Scalar>(
    steps: &[Step<'_, T>],
    blend: Blend<T>,
    batch: Rows<'_, T>,
    gradients: &mut [ArrayViewMut2<'_, T>],
) {
    let rows = batch.x.nrows();
    if rows == 0 {
        return;
    }
    if blend.alpha == T::zero() {
        return blend.keep(batch.dx);
    }
    with_scratch(2 * steps.iter().map(|s| s.strip_values(rows)).sum::<usize>(), |mut memory| {
        let mut ready = Steps::new();
        for step in steps {
            let (strips, rest) = memory.split_at_mut(step.strip_values(rows));
            let (strips_back, rest) = rest.split_at_mut(step.strip_values(rows));
            ready.push(step.with_strips(strips).with_strips_back(strips_back));
            memory = rest;
        }
        all_blocks(&ready, blend, batch, gradients);
    });
}

fn all_blocks<T: Scalar>(
    steps: &[Step<'_, T>],
    blend: Blend<T>,
    batch: Rows<'_, T>,
    gradients: &mut [ArrayViewMut2<'_, T>],
) {
    let rows = batch.x.nrows();
    // Every block of its own would need partial sums of the matrix's size.
    let large = steps.iter().any(|s| s.matrix_bytes() > large_matrix_bytes());
    let walk = Walk::new(steps, rows, large);
    let blocks = rows.div_ceil(walk.rows);
    if walk.blocks == Threads::One || blocks == 1 {
        return in_order(steps, blend, batch, gradients, walk);
    }
    // Groups of whole blocks, each with partial sums of its own, added in order at the end.
    let size_of_gradient = |step: &Step<'_, T>| step.gradient_dim().0 * step.gradient_dim().1;
    let size: usize = steps.iter().map(size_of_gradient).sum();
    let flops = rows.saturating_mul(steps.iter().map(Step::flops).fold(0, usize::saturating_add));
    let sums = (flops / (FLOPS_PER_PARTIAL * size)).clamp(1, PARTIAL_SUMS);
    let group_rows = blocks.div_ceil(sums) * walk.rows;
    with_scratch(rows.div_ceil(group_rows) * size, |partial: &mut [T]| {
        let Rows { x, dy, mut dx } = batch;
        let x = x.axis_chunks_iter(Axis(0), group_rows).into_par_iter();
        let dy = dy.axis_chunks_iter(Axis(0), group_rows);
        let dx = dx.axis_chunks_iter_mut(Axis(0), group_rows);
        x.zip(dy).zip(dx).zip(partial.par_chunks_exact_mut(size)).for_each(|(((x, dy), dx), partial)| {
            partial.fill(T::zero());
            let mut rest = partial;
            let mut sums: SmallVec<[_; 4]> = SmallVec::with_capacity(steps.len());
            for step in steps {
                let (head, tail) = rest.split_at_mut(size_of_gradient(step));
                sums.push(views::view_mut(head, step.gradient_dim().1));
                rest = tail;
            }
            in_order(steps, blend, Rows { x, dy, dx }, &mut sums, walk);
        });
        for partial in partial.chunks_exact(size) {
            let mut rest = partial;
            for gradient in gradients.iter_mut() {
                let (head, tail) = rest.split_at(gradient.len());
                let sum = views::view(head, gradient.ncols());
                gradient.scaled_add(T::one(), &sum);
                rest = tail;
            }
        }
    });
}

/// One block after the other, adding to the same gradients.
fn in_order<T: Scalar>(
    steps: &[Step<'_, T>],
    blend: Blend<T>,
    rows: Rows<'_, T>,
    gradients: &mut [ArrayViewMut2<'_, T>],
    walk: Walk,
) {
    let Rows { x, dy, mut dx } = rows;
    let x = x.axis_chunks_iter(Axis(0), walk.rows);
    let dy = dy.axis_chunks_iter(Axis(0), walk.rows);
    let dx = dx.axis_chunks_iter_mut(Axis(0), walk.rows);
    for ((x, dy), dx) in x.zip(dy).zip(dx) {
        one_block(steps, blend, Rows { x, dy, dx }, gradients, walk.inside);
    }
}

fn one_block<T: Scalar>(
    steps: &[Step<'_, T>],
    blend: Blend<T>,
    block: Rows<'_, T>,
    gradients: &mut [ArrayViewMut2<'_, T>],
    threads: Threads,
) {
    let Rows { x, dy, mut dx } = block;
    let rows = x.nrows();
    let copies = [x.as_slice().is_none(), dy.as_slice().is_none(), dx.as_slice_mut().is_none()];
    let lengths = [x.len(), dy.len(), dx.len()];
    let [copy_x, copy_dy, copy_dx] = std::array::from_fn(|i| if copies[i] { lengths[i] } else { 0 });
    let last = steps.len() - 1;
    // An identity's output is its input, and is not kept again.
    let changing = || steps[..last].iter().filter(|step| !step.is_identity());
    let kept: usize = rows * changing().map(Step::width_out).sum::<usize>();
    let widest = rows * steps[1..].iter().map(Step::width_in).max().unwrap_or(0);
    with_scratch(copy_x + copy_dy + copy_dx + kept + 2 * widest, |scratch| {
        let (x_copy, scratch) = scratch.split_at_mut(copy_x);
        let (dy_copy, scratch) = scratch.split_at_mut(copy_dy);
        let (dx_copy, scratch) = scratch.split_at_mut(copy_dx);
        let (kept, scratch) = scratch.split_at_mut(kept);
        let (mut from, mut to) = scratch.split_at_mut(widest);
        let (x, dy) = (views::rows_or_copy(&x, x_copy), views::rows_or_copy(&dy, dy_copy));

        // Forward again: where the input of every step lies in `kept`; the first one's, and that of identities at the
        // beginning, is `x`.
        let mut inputs: SmallVec<[Option<Range<usize>>; 4]> = smallvec![None];
        let mut done = 0;
        for step in &steps[..last] {
            let input = inputs.last().cloned().flatten();
            if step.is_identity() {
                inputs.push(input);
                continue;
            }
            let length = rows * step.width_out();
            let (before, after) = kept.split_at_mut(done);
            let source = input.map_or(x, |input| &before[input]);
            step.apply(Blend::overwrite(), source, &mut after[..length], threads);
            inputs.push(Some(done..done + length));
            done += length;
        }

        let mut current: Option<usize> = None;
        for ((t, step), input) in steps.iter().enumerate().zip(inputs).rev() {
            let gradient = current.map_or(dy, |length| &from[..length]);
            let input = input.map_or(x, |input| &kept[input]);
            step.add_gradient(blend.alpha, input, gradient, &mut gradients[t], threads);
            if t == 0 {
                views::write(blend, &mut dx, dx_copy, |blend, dx| step.apply_transposed(blend, gradient, dx, threads));
            } else if !step.is_identity() {
                let length = rows * step.width_in();
                step.apply_transposed(Blend::overwrite(), gradient, &mut to[..length], threads);
                std::mem::swap(&mut from, &mut to);
                current = Some(length);
            }
        }
    });
}
