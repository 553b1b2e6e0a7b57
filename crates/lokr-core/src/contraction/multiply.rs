//! The product behind a step, by the kernel that suits the sizes.

use ndarray::{ArrayView2, Axis};
use rayon::prelude::*;

use crate::gemm::kernel::{Sizes, Strided, StridedMut, dot, is_narrow, narrow, outer, outer_into, transpose};
use crate::gemm::limits::{REGISTER_BYTES, SHARED_COLUMNS, SMALL_MATRIX, THREADED_STEP_FLOPS, UNTRANSPOSED_ROWS};
use crate::gemm::{Blend, Threads, product, views, with_scratch};
use crate::scalar::Scalar;

/// `Y ← α·m·X + β·Y` along the middle axis.
pub(super) fn multiply<T: Scalar>(
    m: ArrayView2<'_, T>,
    after: usize,
    blend: Blend<T>,
    x: &[T],
    y: &mut [T],
    threads: Threads,
) {
    let Some(strided) = Strided::one(m) else {
        // Plans hold matrices that lie one way or the other; any other kind is still served.
        return multiply(m.as_standard_layout().view(), after, blend, x, y, threads);
    };
    let threads = threads.for_flops(m.ncols().saturating_mul(y.len()).saturating_mul(2), THREADED_STEP_FLOPS);
    let (d_out, d_in) = m.dim();
    if is_narrow(d_out, after, d_in) {
        let piece = d_in * after;
        in_chunks(x, piece, y, piece, threads, |x, y| narrow(d_in, after, blend, strided, x, y));
    } else if after == 1 {
        last_axis(m, strided, blend, x, y, threads);
    } else {
        inner_axis(m, strided, after, blend, x, y, threads);
    }
}

/// The axis is the last one: `Y = X·mᵀ` with one row for each value of all other axes.
fn last_axis<T: Scalar>(
    m: ArrayView2<'_, T>,
    strided: Strided<'_, T>,
    blend: Blend<T>,
    x: &[T],
    y: &mut [T],
    threads: Threads,
) {
    let (d_out, d_in) = m.dim();
    if d_out * d_in > SMALL_MATRIX {
        product(blend, views::view(x, d_in), m.reversed_axes(), views::view_mut(y, d_out), threads);
    } else if strided.col == 1 && d_in > 1 && (y.len() <= UNTRANSPOSED_ROWS * d_out || sums_along::<T>(d_out, d_in)) {
        in_chunks(x, d_in, y, d_out, threads, |x, y| {
            let sizes = Sizes { m: y.len() / d_out, n: d_out, k: d_in };
            dot(sizes, 1, blend, Strided::rows(x, d_in), strided, StridedMut::rows(y, d_out));
        });
    } else {
        with_transposed(strided, d_out, d_in, |columns| {
            in_chunks(x, d_in, y, d_out, threads, |x, y| {
                let sizes = Sizes { m: y.len() / d_out, n: d_out, k: d_in };
                outer(sizes, 1, blend, Strided::rows(x, d_in), columns, StridedMut::rows(y, d_out));
            });
        });
    }
}

/// Whether sums of a last axis are better made along the axis: so few, that side by side they would leave most of a
/// register empty, and long ones.
pub(super) fn sums_along<T>(d_out: usize, d_in: usize) -> bool {
    2 * d_out * size_of::<T>() < REGISTER_BYTES && d_in * size_of::<T>() >= 4 * REGISTER_BYTES
}

/// There are axes after it: `Y_i = m·X_i` for every value of the axes before.
fn inner_axis<T: Scalar>(
    m: ArrayView2<'_, T>,
    strided: Strided<'_, T>,
    after: usize,
    blend: Blend<T>,
    x: &[T],
    y: &mut [T],
    threads: Threads,
) {
    let (d_out, d_in) = m.dim();
    let (x_piece, y_piece) = (d_in * after, d_out * after);
    let pieces = y.len() / y_piece;
    if d_out * d_in > SMALL_MATRIX {
        let one = |x: &[T], y: &mut [T], threads| {
            product(blend, m, views::view(x, after), views::view_mut(y, after), threads);
        };
        if pieces == 1 {
            one(x, y, threads);
        } else {
            in_chunks(x, x_piece, y, y_piece, threads, |x, y| {
                x.chunks_exact(x_piece).zip(y.chunks_exact_mut(y_piece)).for_each(|(x, y)| one(x, y, Threads::One));
            });
        }
        return;
    }
    let sizes = Sizes { m: d_out, n: after, k: d_in };
    if pieces == 1 && threads == Threads::All && after >= SHARED_COLUMNS {
        // One sample with long rows: its columns are shared out.
        let (mut y, x) = (views::view_mut(y, after), Strided::rows(x, after));
        y.axis_chunks_iter_mut(Axis(1), SHARED_COLUMNS / 2).into_par_iter().enumerate().for_each(|(chunk, mut y)| {
            outer_into(blend, strided, x.from(chunk * (SHARED_COLUMNS / 2)), d_in, &mut y);
        });
        return;
    }
    if pieces == 1 && threads == Threads::All {
        // One sample: its rows are shared out.
        let rows = d_out.div_ceil(rayon::current_num_threads());
        y.par_chunks_mut(rows * after).enumerate().for_each(|(chunk, y)| {
            let (a, b) = (strided.from(chunk * rows * strided.row), Strided::rows(x, after));
            outer(Sizes { m: y.len() / after, ..sizes }, 1, blend, a, b, StridedMut::rows(y, after));
        });
        return;
    }
    in_chunks(x, x_piece, y, y_piece, threads, |x, y| {
        let (count, x) = (y.len() / y_piece, Strided { step: x_piece, ..Strided::rows(x, after) });
        outer(sizes, count, blend, strided, x, StridedMut { data: y, row: after, step: y_piece });
    });
}

/// Runs `work` on matching parts of `x` and `y`, made of whole pieces, on as many threads as may be used. Every piece
/// is computed by itself, so the cut does not show in the result.
pub(super) fn in_chunks<T: Scalar>(
    x: &[T],
    x_piece: usize,
    y: &mut [T],
    y_piece: usize,
    threads: Threads,
    work: impl Fn(&[T], &mut [T]) + Sync,
) {
    let pieces = y.len() / y_piece;
    let parts = if threads == Threads::All { rayon::current_num_threads().min(pieces) } else { 1 };
    if parts < 2 {
        return work(x, y);
    }
    let size = pieces.div_ceil(parts);
    y.par_chunks_mut(size * y_piece).zip(x.par_chunks(size * x_piece)).for_each(|(y, x)| work(x, y));
}

/// Hands `mᵀ (d_in, d_out)` over with contiguous rows: as it lies, or transposed into scratch memory.
fn with_transposed<T: Scalar>(m: Strided<'_, T>, d_out: usize, d_in: usize, work: impl FnOnce(Strided<'_, T>)) {
    if m.row == 1 {
        return work(m.transposed());
    }
    with_scratch(d_out * d_in, |scratch| {
        transpose(m.data, d_in, d_out, scratch, d_out);
        work(Strided::rows(scratch, d_out));
    });
}
