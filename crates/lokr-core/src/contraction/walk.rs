//! Runs a sequence of contractions over a batch of rows, forwards and backwards.
//!
//! Every operator of this crate (two full factors, low-rank factors, chains of many) becomes a list of [`Step`]s; this
//! file is the only one that walks a batch. It works in one of two ways, chosen from sizes alone so that the result
//! does not depend on the number of threads:
//!
//! - *fused*: blocks of rows whose intermediates fit the second-level cache go through all steps, many blocks at a
//!   time, each product on one thread;
//! - *whole*: for factors too large to be read again for every block, or batches too small to be cut, larger chunks go
//!   through one step after the other, each product on all threads (and in BLAS, where one is linked).

use ndarray::{ArrayRef2, ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;
use smallvec::SmallVec;

use super::step::{Step, Steps};
use crate::gemm::Threads;
use crate::gemm::views;
use crate::scalar::Scalar;

/// Bytes of intermediates that a fused block may use: half of a common second-level cache.
const BLOCK_BYTES: usize = 256 << 10;
/// A matrix larger than this does not share the second-level cache with a block.
const LARGE_MATRIX_BYTES: usize = 1 << 20;
/// Bytes of intermediates that a chunk of the whole way may use.
const CHUNK_BYTES: usize = 8 << 20;
/// Fused blocks that a batch is cut into at least, as far as they are worth it, so that every thread finds work.
const MIN_BLOCKS: usize = 16;
/// Flops that make a block worth handing to another thread.
const BLOCK_FLOPS: usize = 200_000;
/// Below this many flops all is done in the calling thread.
const SEQUENTIAL_FLOPS: usize = 1_000_000;
/// Partial sums that a gradient is split into at most: not a number of threads, so that the order of the additions is
/// fixed.
const PARTIAL_SUMS: usize = 16;
/// Flops for every value of a partial sum that pay for clearing it and adding it up.
const FLOPS_PER_PARTIAL: usize = 64;

/// How a batch is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Walk {
    /// Rows per block or chunk.
    rows: usize,
    /// Who works inside a block: one thread (blocks are parallel), or all (blocks are sequential).
    inside: Threads,
    /// Whether the blocks are worth other threads at all.
    parallel: bool,
}

impl Walk {
    /// Decides from sizes alone. `large`: a matrix is too large for every block to go past it.
    fn new<T: Scalar>(steps: &[Step<'_, T>], batch: usize, large: bool) -> Self {
        let widest = steps.iter().map(|s| s.width_in().max(s.width_out())).max().unwrap_or(1);
        let row_bytes = widest * size_of::<T>();
        let row_flops = steps.iter().map(Step::flops).sum::<usize>().max(1);
        let flops = batch.saturating_mul(row_flops);
        let worth = batch.div_ceil(MIN_BLOCKS).max(BLOCK_FLOPS.div_ceil(row_flops));
        let rows = (BLOCK_BYTES / row_bytes).min(worth).max(1);
        let parallel = flops >= SEQUENTIAL_FLOPS;
        if parallel && (large || batch < MIN_BLOCKS / 2) {
            return Self { rows: (CHUNK_BYTES / row_bytes).clamp(1, batch), inside: Threads::All, parallel };
        }
        Self { rows, inside: Threads::One, parallel }
    }
}

/// `Y ← α·steps(X) + β·Y` for the rows of `x`; with `β = 0`, `y` may hold anything. The shapes must have been checked.
pub(crate) fn apply<T: Scalar>(steps: &[Step<'_, T>], alpha: T, x: &ArrayRef2<T>, beta: T, y: &mut ArrayRef2<T>) {
    if x.nrows() == 0 {
        return;
    }
    let rows = x.nrows();
    T::with_scratch(steps.iter().map(|s| s.strip_values(rows) + s.column_values(rows)).sum(), |mut memory| {
        let mut ready = Steps::new();
        for step in steps {
            let (strips, rest) = memory.split_at_mut(step.strip_values(rows));
            let (columns, rest) = rest.split_at_mut(step.column_values(rows));
            ready.push(if columns.is_empty() { step.with_strips(strips) } else { step.with_columns(columns) });
            memory = rest;
        }
        apply_steps(&ready, alpha, x, beta, y);
    });
}

fn apply_steps<T: Scalar>(steps: &[Step<'_, T>], alpha: T, x: &ArrayRef2<T>, beta: T, y: &mut ArrayRef2<T>) {
    // A matrix in strips streams through the caches without being laid out again for every block.
    let large = steps.iter().any(|s| s.strips.is_none() && s.matrix_bytes() > LARGE_MATRIX_BYTES);
    let walk = Walk::new(steps, x.nrows(), large);
    let (x, y) = (x.axis_chunks_iter(Axis(0), walk.rows), y.axis_chunks_iter_mut(Axis(0), walk.rows));
    if walk.parallel && walk.inside == Threads::One {
        x.into_par_iter().zip(y).for_each(|(x, y)| apply_block(steps, alpha, x, beta, y, Threads::One));
    } else {
        x.zip(y).for_each(|(x, y)| apply_block(steps, alpha, x, beta, y, walk.inside));
    }
}

fn apply_block<T: Scalar>(
    steps: &[Step<'_, T>],
    alpha: T,
    x: ArrayView2<'_, T>,
    beta: T,
    mut y: ArrayViewMut2<'_, T>,
    threads: Threads,
) {
    let rows = x.nrows();
    let copy_x = if x.as_slice().is_some() { 0 } else { x.len() };
    let copy_y = if y.as_slice().is_some() { 0 } else { y.len() };
    let (inner, last) = steps.split_at(steps.len() - 1);
    let widest = rows * inner.iter().map(Step::width_out).max().unwrap_or(0);
    T::with_scratch(copy_x + copy_y + 2 * widest, |scratch| {
        let (x_copy, scratch) = scratch.split_at_mut(copy_x);
        let (y_copy, scratch) = scratch.split_at_mut(copy_y);
        let (mut from, mut to) = scratch.split_at_mut(widest);
        let x = contiguous(&x, x_copy);
        let mut current: Option<usize> = None;
        for step in inner {
            let length = rows * step.width_out();
            let input = current.map_or(x, |length| &from[..length]);
            step.apply(T::one(), input, T::zero(), &mut to[..length], threads);
            std::mem::swap(&mut from, &mut to);
            current = Some(length);
        }
        let input = current.map_or(x, |length| &from[..length]);
        write(&mut y, y_copy, beta, |beta, y| last[0].apply(alpha, input, beta, y, threads));
    });
}

/// Adds `α·∂/∂Mₜ` to `gradients[t]` for every step `t`, and sets `dX ← α·stepsᵀ(dY) + β·dX`, from the input `x` and the
/// output gradient `dy`. The forward intermediates are computed again, block by block, and shared by all gradients.
/// The shapes must have been checked.
pub(crate) fn backward<T: Scalar>(
    steps: &[Step<'_, T>],
    alpha: T,
    x: &ArrayRef2<T>,
    dy: &ArrayRef2<T>,
    gradients: &mut [ArrayViewMut2<'_, T>],
    beta: T,
    dx: &mut ArrayRef2<T>,
) {
    if x.nrows() == 0 {
        return;
    }
    let rows = x.nrows();
    T::with_scratch(2 * steps.iter().map(|s| s.strip_values(rows)).sum::<usize>(), |mut memory| {
        let mut ready = Steps::new();
        for step in steps {
            let (strips, rest) = memory.split_at_mut(step.strip_values(rows));
            let (strips_back, rest) = rest.split_at_mut(step.strip_values(rows));
            ready.push(step.with_strips(strips).with_strips_back(strips_back));
            memory = rest;
        }
        backward_steps(&ready, alpha, x, dy, gradients, beta, dx);
    });
}

fn backward_steps<T: Scalar>(
    steps: &[Step<'_, T>],
    alpha: T,
    x: &ArrayRef2<T>,
    dy: &ArrayRef2<T>,
    gradients: &mut [ArrayViewMut2<'_, T>],
    beta: T,
    dx: &mut ArrayRef2<T>,
) {
    // Every block of its own would need partial sums of the matrix's size.
    let large = steps.iter().any(|s| s.matrix_bytes() > LARGE_MATRIX_BYTES);
    let walk = Walk::new(steps, x.nrows(), large);
    let blocks = x.nrows().div_ceil(walk.rows);
    if !walk.parallel || walk.inside == Threads::All || blocks == 1 {
        backward_rows(steps, alpha, x.view(), dy.view(), gradients, beta, dx.view_mut(), walk);
        return;
    }
    // Groups of whole blocks, each with partial sums of its own, added in order at the end.
    let size: usize = steps.iter().map(|s| s.matrix.len()).sum();
    let flops = x.nrows().saturating_mul(steps.iter().map(Step::flops).sum());
    let sums = (flops / (FLOPS_PER_PARTIAL * size)).clamp(1, PARTIAL_SUMS);
    let group_rows = blocks.div_ceil(sums) * walk.rows;
    T::with_scratch(x.nrows().div_ceil(group_rows) * size, |partial| {
        let x = x.axis_chunks_iter(Axis(0), group_rows).into_par_iter();
        let dy = dy.axis_chunks_iter(Axis(0), group_rows);
        let dx = dx.axis_chunks_iter_mut(Axis(0), group_rows);
        x.zip(dy).zip(dx).zip(partial.par_chunks_exact_mut(size)).for_each(|(((x, dy), dx), partial)| {
            partial.fill(T::zero());
            let mut rest = partial;
            let mut sums: SmallVec<[_; 4]> = SmallVec::with_capacity(steps.len());
            for step in steps {
                let (head, tail) = rest.split_at_mut(step.matrix.len());
                sums.push(views::view_mut(head, step.matrix.ncols()));
                rest = tail;
            }
            backward_rows(steps, alpha, x, dy, &mut sums, beta, dx, walk);
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
#[allow(clippy::too_many_arguments)]
fn backward_rows<T: Scalar>(
    steps: &[Step<'_, T>],
    alpha: T,
    x: ArrayView2<'_, T>,
    dy: ArrayView2<'_, T>,
    gradients: &mut [ArrayViewMut2<'_, T>],
    beta: T,
    mut dx: ArrayViewMut2<'_, T>,
    walk: Walk,
) {
    let x = x.axis_chunks_iter(Axis(0), walk.rows);
    let dy = dy.axis_chunks_iter(Axis(0), walk.rows);
    let dx = dx.axis_chunks_iter_mut(Axis(0), walk.rows);
    for ((x, dy), dx) in x.zip(dy).zip(dx) {
        backward_block(steps, alpha, x, dy, gradients, beta, dx, walk.inside);
    }
}

#[allow(clippy::too_many_arguments)]
fn backward_block<T: Scalar>(
    steps: &[Step<'_, T>],
    alpha: T,
    x: ArrayView2<'_, T>,
    dy: ArrayView2<'_, T>,
    gradients: &mut [ArrayViewMut2<'_, T>],
    beta: T,
    mut dx: ArrayViewMut2<'_, T>,
    threads: Threads,
) {
    let rows = x.nrows();
    let copies = [x.as_slice().is_none(), dy.as_slice().is_none(), dx.as_slice_mut().is_none()];
    let lengths = [x.len(), dy.len(), dx.len()];
    let [copy_x, copy_dy, copy_dx] = std::array::from_fn(|i| if copies[i] { lengths[i] } else { 0 });
    let last = steps.len() - 1;
    let kept: usize = rows * steps[..last].iter().map(Step::width_out).sum::<usize>();
    let widest = rows * steps[..last].iter().map(Step::width_out).max().unwrap_or(0);
    T::with_scratch(copy_x + copy_dy + copy_dx + kept + 2 * widest, |scratch| {
        let (x_copy, scratch) = scratch.split_at_mut(copy_x);
        let (dy_copy, scratch) = scratch.split_at_mut(copy_dy);
        let (dx_copy, scratch) = scratch.split_at_mut(copy_dx);
        let (kept, scratch) = scratch.split_at_mut(kept);
        let (mut from, mut to) = scratch.split_at_mut(widest);
        let (x, dy) = (contiguous(&x, x_copy), contiguous(&dy, dy_copy));

        // Forward again: the input of every step but the first lies in `kept`.
        let (mut done, mut input) = (0, 0..0);
        for (t, step) in steps[..last].iter().enumerate() {
            let length = rows * step.width_out();
            let (before, after) = kept.split_at_mut(done);
            let source = if t == 0 { x } else { &before[input] };
            step.apply(T::one(), source, T::zero(), &mut after[..length], threads);
            input = done..done + length;
            done += length;
        }

        let mut current: Option<usize> = None;
        for (t, step) in steps.iter().enumerate().rev() {
            let gradient = current.map_or(dy, |length| &from[..length]);
            let length = rows * step.width_in();
            if t == 0 {
                step.add_gradient(alpha, x, gradient, &mut gradients[t], threads);
                write(&mut dx, dx_copy, beta, |beta, dx| step.apply_transposed(alpha, gradient, beta, dx, threads));
            } else {
                step.add_gradient(alpha, &kept[done - length..done], gradient, &mut gradients[t], threads);
                done -= length;
                step.apply_transposed(T::one(), gradient, T::zero(), &mut to[..length], threads);
                std::mem::swap(&mut from, &mut to);
                current = Some(length);
            }
        }
    });
}

/// The matrix's memory where its rows lie one after the other, else a copy in `buffer`.
fn contiguous<'a, T: Scalar>(source: &'a ArrayView2<'_, T>, buffer: &'a mut [T]) -> &'a [T] {
    match source.as_slice() {
        Some(slice) => slice,
        None => {
            views::view_mut(buffer, source.ncols()).assign(source);
            buffer
        }
    }
}

/// Lets `work(β, memory)` write `Y ← … + β·Y`: straight into `y` where its rows lie one after the other, else into
/// `buffer` first.
fn write<T: Scalar>(y: &mut ArrayViewMut2<'_, T>, buffer: &mut [T], beta: T, work: impl FnOnce(T, &mut [T])) {
    if let Some(slice) = y.as_slice_mut() {
        return work(beta, slice);
    }
    work(T::zero(), buffer);
    let result = views::view(buffer, y.ncols());
    if beta == T::zero() {
        y.assign(&result);
    } else {
        y.zip_mut_with(&result, |y, &r| *y = beta * *y + r);
    }
}
