//! One contraction: multiplying one axis of every row of a batch by a matrix.

use ndarray::{ArrayView2, ArrayViewMut2};
use rayon::prelude::*;
use smallvec::SmallVec;

use crate::gemm::kernel::{Sizes, Strided, dot, outer};
use crate::gemm::{Threads, product};
use crate::gemm::{strips, views};
use crate::scalar::Scalar;

/// Matrices up to this many elements stay in the first-level cache while a batch goes by: the small kernels, which do
/// not pack, are then at least as fast as a packing product.
const SMALL_MATRIX: usize = 128 * 128;
/// Gradients of matrices up to this many elements are summed by the small kernels.
const SMALL_GRADIENT: usize = 512 * 512;
/// So few rows do not pay for transposing a small matrix.
const FEW_ROWS: usize = 16;
/// Rows that share the cost of laying a matrix out in strips.
const ROWS_FOR_STRIPS: usize = 256;
/// Flops from which other threads are worth waking inside one step.
const PARALLEL_FLOPS: usize = 1_000_000;

/// Multiplies the middle axis of every row, read as `(before, d_in, after)`, by `matrix (d_out, d_in)`, whose rows or
/// columns lie one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'a, T> {
    pub(crate) matrix: ArrayView2<'a, T>,
    pub(crate) before: usize,
    pub(crate) after: usize,
    /// The transposed matrix in strips, where that was worth doing once for the whole batch.
    pub(crate) strips: Option<&'a [T]>,
    /// The same of the matrix, for the way back.
    pub(crate) strips_back: Option<&'a [T]>,
}

/// Steps, first to last.
pub(crate) type Steps<'a, T> = SmallVec<[Step<'a, T>; 4]>;

impl<'a, T: Scalar> Step<'a, T> {
    pub(crate) fn new(matrix: ArrayView2<'a, T>, before: usize, after: usize) -> Self {
        Self { matrix, before, after, strips: None, strips_back: None }
    }

    /// Values of scratch memory that laying a small matrix out by columns takes, if it pays for a batch of `rows`: the
    /// last axis, whose kernel reads columns, and rows enough.
    pub(crate) fn column_values(&self, rows: usize) -> usize {
        let pays = self.after == 1
            && self.matrix.len() <= SMALL_MATRIX
            && self.matrix.is_standard_layout()
            && rows * self.before > FEW_ROWS;
        if pays { self.matrix.len() } else { 0 }
    }

    /// This step with its matrix by columns in `memory`, of [`Step::column_values`]; unchanged for an empty one.
    pub(crate) fn with_columns<'s>(&self, memory: &'s mut [T]) -> Step<'s, T>
    where
        'a: 's,
    {
        let mut step = Step { matrix: self.matrix.reborrow(), ..*self };
        if let (false, Some(rows)) = (memory.is_empty(), self.matrix.to_slice()) {
            strips::transpose(rows, self.d_in(), memory, self.d_out());
            step.matrix = views::view(memory, self.d_out()).reversed_axes();
        }
        step
    }

    /// Values of scratch memory that laying the matrix out in strips takes, if it pays for a batch of `rows`: the last
    /// axis, not small, and enough rows to share the cost.
    pub(crate) fn strip_values(&self, rows: usize) -> usize {
        let pays = self.after == 1
            && self.matrix.len() > SMALL_MATRIX
            && rows * self.before >= ROWS_FOR_STRIPS
            && !crate::gemm::prefers_blas();
        if pays { self.matrix.len() } else { 0 }
    }

    /// This step with its matrix laid out in `memory`, of [`Step::strip_values`]; unchanged for an empty one.
    pub(crate) fn with_strips<'s>(&self, memory: &'s mut [T]) -> Step<'s, T>
    where
        'a: 's,
    {
        let mut step = Step { matrix: self.matrix.reborrow(), ..*self };
        if let (false, Some(m)) = (memory.is_empty(), Strided::one(self.matrix)) {
            strips::lay_out(m.transposed(), self.d_in(), self.d_out(), memory);
            step.strips = Some(memory);
        }
        step
    }

    /// The same for the way back.
    pub(crate) fn with_strips_back<'s>(&self, memory: &'s mut [T]) -> Step<'s, T>
    where
        'a: 's,
    {
        let mut step = Step { matrix: self.matrix.reborrow(), ..*self };
        if let (false, Some(m)) = (memory.is_empty(), Strided::one(self.matrix)) {
            strips::lay_out(m, self.d_out(), self.d_in(), memory);
            step.strips_back = Some(memory);
        }
        step
    }

    fn d_out(&self) -> usize {
        self.matrix.nrows()
    }

    fn d_in(&self) -> usize {
        self.matrix.ncols()
    }

    /// Values in a row before the step.
    pub(crate) fn width_in(&self) -> usize {
        self.before * self.d_in() * self.after
    }

    /// Values in a row after the step.
    pub(crate) fn width_out(&self) -> usize {
        self.before * self.d_out() * self.after
    }

    /// Flops for one row.
    pub(crate) fn flops(&self) -> usize {
        2 * self.width_out() * self.d_in()
    }

    /// Bytes of the matrix.
    pub(crate) fn matrix_bytes(&self) -> usize {
        self.matrix.len() * size_of::<T>()
    }

    /// `Y ← α·step(X) + β·Y`, rows contiguous one after the other.
    pub(crate) fn apply(&self, alpha: T, x: &[T], beta: T, y: &mut [T], threads: Threads) {
        if let Some(strips) = self.strips {
            let y = views::view_mut(y, self.d_out());
            return strips::multiply(alpha, x, strips, self.d_in(), beta, y, threads == Threads::All);
        }
        multiply(self.matrix, self.after, alpha, x, beta, y, threads);
    }

    /// The way back: `dX ← α·stepᵀ(dY) + β·dX`.
    pub(crate) fn apply_transposed(&self, alpha: T, dy: &[T], beta: T, dx: &mut [T], threads: Threads) {
        if let Some(strips) = self.strips_back {
            let dx = views::view_mut(dx, self.d_in());
            return strips::multiply(alpha, dy, strips, self.d_out(), beta, dx, threads == Threads::All);
        }
        multiply(self.matrix.reversed_axes(), self.after, alpha, dy, beta, dx, threads);
    }

    /// The gradient of the matrix, `dM ← dM + α·Σ dY·Xᵀ`, summed over rows and over the axes before and after.
    pub(crate) fn add_gradient(&self, alpha: T, x: &[T], dy: &[T], dm: &mut ArrayViewMut2<'_, T>, threads: Threads) {
        let (d_out, d_in, after) = (self.d_out(), self.d_in(), self.after);
        let (x_piece, dy_piece) = (d_in * after, d_out * after);
        let count = x.len() / x_piece;
        // The small kernels work on one thread.
        let alone = threads == Threads::One || 2 * d_out * d_in * after * count < PARALLEL_FLOPS;
        match dm.as_slice_mut() {
            Some(dm) if after == 1 && alone && d_out * d_in <= SMALL_GRADIENT => {
                let dy = Strided { data: dy, row: 1, col: d_out, step: 0 };
                let x = Strided { data: x, row: d_in, col: 1, step: 0 };
                outer(Sizes { m: d_out, n: d_in, k: count }, 1, alpha, dy, x, T::one(), dm, d_in, 0);
            }
            Some(dm) if after > 1 && d_out * d_in <= SMALL_MATRIX => {
                let dy = Strided { data: dy, row: after, col: 1, step: dy_piece };
                let x = Strided { data: x, row: after, col: 1, step: x_piece };
                dot(Sizes { m: d_out, n: d_in, k: after }, count, alpha, dy, x, T::one(), dm, d_in);
            }
            _ if after == 1 => {
                let dy = views::view(dy, d_out).reversed_axes();
                product(alpha, dy, views::view(x, d_in), T::one(), dm.view_mut(), threads);
            }
            _ => {
                for (x, dy) in x.chunks_exact(x_piece).zip(dy.chunks_exact(dy_piece)) {
                    let x = views::view(x, after).reversed_axes();
                    product(alpha, views::view(dy, after), x, T::one(), dm.view_mut(), threads);
                }
            }
        }
    }
}

/// `Y ← α·m·X + β·Y` along the middle axis.
fn multiply<T: Scalar>(m: ArrayView2<'_, T>, after: usize, alpha: T, x: &[T], beta: T, y: &mut [T], threads: Threads) {
    let Some(strided) = Strided::one(m) else {
        // Plans hold matrices that lie one way or the other; any other kind is still served.
        return multiply(m.as_standard_layout().view(), after, alpha, x, beta, y, threads);
    };
    let threads = if m.ncols() * y.len() * 2 < PARALLEL_FLOPS { Threads::One } else { threads };
    if after == 1 {
        last_axis(m, strided, alpha, x, beta, y, threads);
    } else {
        inner_axis(m, strided, after, alpha, x, beta, y, threads);
    }
}

/// The axis is the last one: `Y = X·mᵀ` with one row for each value of all other axes.
fn last_axis<T: Scalar>(
    m: ArrayView2<'_, T>,
    strided: Strided<'_, T>,
    alpha: T,
    x: &[T],
    beta: T,
    y: &mut [T],
    threads: Threads,
) {
    let (d_out, d_in) = m.dim();
    if d_out * d_in > SMALL_MATRIX {
        product(alpha, views::view(x, d_in), m.reversed_axes(), beta, views::view_mut(y, d_out), threads);
    } else if strided.col == 1 && y.len() <= FEW_ROWS * d_out {
        in_chunks(x, d_in, y, d_out, threads, |x, y| {
            let sizes = Sizes { m: y.len() / d_out, n: d_out, k: d_in };
            let x = Strided { data: x, row: d_in, col: 1, step: 0 };
            dot(sizes, 1, alpha, x, strided, beta, y, d_out);
        });
    } else {
        with_columns(strided, d_out, d_in, |columns| {
            in_chunks(x, d_in, y, d_out, threads, |x, y| {
                let sizes = Sizes { m: y.len() / d_out, n: d_out, k: d_in };
                let x = Strided { data: x, row: d_in, col: 1, step: 0 };
                outer(sizes, 1, alpha, x, columns, beta, y, d_out, 0);
            });
        });
    }
}

/// There are axes after it: `Y_i = m·X_i` for every value of the axes before.
#[allow(clippy::too_many_arguments)]
fn inner_axis<T: Scalar>(
    m: ArrayView2<'_, T>,
    strided: Strided<'_, T>,
    after: usize,
    alpha: T,
    x: &[T],
    beta: T,
    y: &mut [T],
    threads: Threads,
) {
    let (d_out, d_in) = m.dim();
    let (x_piece, y_piece) = (d_in * after, d_out * after);
    let pieces = y.len() / y_piece;
    if d_out * d_in > SMALL_MATRIX {
        let one = |x: &[T], y: &mut [T], threads| {
            product(alpha, m, views::view(x, after), beta, views::view_mut(y, after), threads);
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
    if pieces == 1 && threads == Threads::All {
        // One sample: its rows are shared out.
        let rows = d_out.div_ceil(rayon::current_num_threads());
        y.par_chunks_mut(rows * after).enumerate().for_each(|(chunk, y)| {
            let a = Strided { data: &strided.data[chunk * rows * strided.row..], ..strided };
            let b = Strided { data: x, row: after, col: 1, step: 0 };
            outer(Sizes { m: y.len() / after, ..sizes }, 1, alpha, a, b, beta, y, after, 0);
        });
        return;
    }
    in_chunks(x, x_piece, y, y_piece, threads, |x, y| {
        let x = Strided { data: x, row: after, col: 1, step: x_piece };
        outer(sizes, y.len() / y_piece, alpha, strided, x, beta, y, after, y_piece);
    });
}

/// Runs `work` on matching parts of `x` and `y`, made of whole pieces, on as many threads as may be used. Every piece
/// is computed by itself, so the cut does not show in the result.
fn in_chunks<T: Scalar>(
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
fn with_columns<T: Scalar>(m: Strided<'_, T>, d_out: usize, d_in: usize, work: impl FnOnce(Strided<'_, T>)) {
    if m.row == 1 {
        return work(m.transposed());
    }
    T::with_scratch(d_out * d_in, |scratch| {
        strips::transpose(m.data, d_in, scratch, d_out);
        work(Strided { data: scratch, row: d_out, col: 1, step: 0 });
    });
}
