//! An axis multiplied by a diagonal: every value by itself.

use ndarray::ArrayView1;
use rayon::prelude::*;

use super::multiply::in_chunks;
use crate::gemm::limits::{SCALE_TASK, SHORT_RUN, THREADED_STEP_FLOPS};
use crate::gemm::{Blend, Threads, kernel, with_scratch};
use crate::scalar::Scalar;

/// `Y ← α·diag(d)·X + β·Y` along the middle axis of `(before, d, after)`.
pub(super) fn scale<T: Scalar>(
    d: ArrayView1<'_, T>,
    after: usize,
    blend: Blend<T>,
    x: &[T],
    y: &mut [T],
    threads: Threads,
) {
    let threads = threads.for_flops(y.len().saturating_mul(2), THREADED_STEP_FLOPS);
    if after >= SHORT_RUN {
        let run = |(run, (x, y)): (usize, (&[T], &mut [T]))| kernel::scale(blend, &[d[run % d.len()]], x, y);
        match threads {
            Threads::One => x.chunks(after).zip(y.chunks_mut(after)).enumerate().for_each(run),
            Threads::All => x.par_chunks(after).zip(y.par_chunks_mut(after)).enumerate().for_each(|(index, (x, y))| {
                let tasks = x.par_chunks(SCALE_TASK).zip(y.par_chunks_mut(SCALE_TASK));
                tasks.for_each(|task| run((index, task)));
            }),
        }
        return;
    }
    // Short runs of one factor, or few factors: written out, as often as makes a long round.
    let period = d.len() * after;
    with_scratch(period * SHORT_RUN.div_ceil(period), |factors| {
        for round in factors.chunks_exact_mut(period) {
            round.chunks_exact_mut(after).zip(d).for_each(|(run, &factor)| run.fill(factor));
        }
        in_chunks(x, period, y, period, threads, |x, y| kernel::scale(blend, factors, x, y));
    });
}
