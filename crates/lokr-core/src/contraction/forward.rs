//! A batch of rows through all steps.

use ndarray::{ArrayRef2, ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;

use super::block::block;
use super::stage::{Stage, Stages};
use super::step::{Step, Steps};
use super::walk::Walk;
use crate::gemm::limits::large_matrix_bytes;
use crate::gemm::{Blend, Threads, with_scratch};
use crate::scalar::{Scalar, compiled_once};

compiled_once! {
    /// `Y ← α·steps(X) + β·Y` for the rows of `x`; with `β = 0`, `y` may hold anything, with `α = 0`
    /// so may `x` and the steps. The shapes must have been checked.
    pub(crate) fn forward(steps: &[Step<'_, T>], blend: Blend<T>, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) by rows
}

fn rows<T: Scalar>(steps: &[Step<'_, T>], blend: Blend<T>, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) {
    if x.nrows() == 0 {
        return;
    }
    if blend.alpha == T::zero() {
        return blend.keep(y.view_mut());
    }
    let rows = x.nrows();
    let values = steps.iter().map(|s| s.strip_values(rows) + s.column_values(rows)).sum();
    if values == 0 {
        return all_blocks(steps, blend, x, y);
    }
    with_scratch(values, |mut memory| {
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
    let large = steps.iter().any(|s| s.strips.is_none() && s.matrix_bytes() > large_matrix_bytes());
    let walk = Walk::new(steps, x.nrows(), large);
    let stages = if walk.fits { Stages::new() } else { Stage::long(steps) };
    let one_block = |(x, y): (ArrayView2<'_, T>, ArrayViewMut2<'_, T>)| {
        if walk.fits {
            block(steps, x.nrows(), blend, x, y, walk.inside);
        } else {
            block(&stages, x.nrows(), blend, x, y, walk.inside);
        }
    };
    let (x, y) = (x.axis_chunks_iter(Axis(0), walk.rows), y.axis_chunks_iter_mut(Axis(0), walk.rows));
    match walk.takers {
        Threads::All => x.into_par_iter().zip(y).for_each(one_block),
        Threads::One => x.zip(y).for_each(one_block),
    }
}
