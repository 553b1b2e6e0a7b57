//! One contraction: multiplying one axis of every row of a batch by a matrix.

use ndarray::{ArrayView2, ArrayViewMut2, aview1};
use smallvec::SmallVec;

use super::block::Part;
use super::multiply::{multiply, sums_along};
use super::operand::Operand;
use super::scale::scale;
use crate::gemm::kernel::{Sizes, Strided, StridedMut, dot, outer, transpose};
use crate::gemm::limits::{ROWS_FOR_STRIPS, SMALL_MATRIX, THREADED_STEP_FLOPS, UNTRANSPOSED_ROWS, small_gradient};
use crate::gemm::{Blend, Threads, prefers_blas, product, strips, views};
use crate::scalar::Scalar;

/// Multiplies the middle axis of every row, read as `(before, d_in, after)`, by an operand `(d_out, d_in)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'a, T> {
    pub(super) operand: Operand<'a, T>,
    pub(super) before: usize,
    pub(super) after: usize,
    /// The transposed matrix in strips, where that was worth doing once for the whole batch.
    pub(super) strips: Option<&'a [T]>,
    /// The same of the matrix, for the way back.
    strips_back: Option<&'a [T]>,
}

/// Steps, first to last.
pub(crate) type Steps<'a, T> = SmallVec<[Step<'a, T>; 4]>;

impl<T: Scalar> Part<T> for Step<'_, T> {
    fn width_out(&self) -> usize {
        self.before * self.d_out() * self.after
    }

    fn apply(&self, blend: Blend<T>, x: &[T], y: &mut [T], threads: Threads) {
        if let Some(strips) = self.strips {
            return strips::multiply(blend, x, strips, self.d_in(), views::view_mut(y, self.d_out()), threads);
        }
        match self.operand {
            Operand::Matrix(matrix) => multiply(matrix, self.after, blend, x, y, threads),
            _ => self.scale(blend, x, y, threads),
        }
    }
}

impl<'a, T: Scalar> Step<'a, T> {
    pub(crate) fn new(operand: Operand<'a, T>, before: usize, after: usize) -> Self {
        Self { operand, before, after, strips: None, strips_back: None }
    }

    /// Values of scratch memory that laying a small matrix out by columns takes, if it pays for a batch of `rows`: the
    /// last axis, whose kernel reads columns, and rows enough.
    pub(super) fn column_values(&self, rows: usize) -> usize {
        let pays = |matrix: &ArrayView2<'_, T>| {
            self.after == 1
                && matrix.len() <= SMALL_MATRIX
                && matrix.is_standard_layout()
                && rows * self.before > UNTRANSPOSED_ROWS
                && !sums_along::<T>(self.d_out(), self.d_in())
        };
        self.operand.matrix().filter(pays).map_or(0, |matrix| matrix.len())
    }

    /// This step with its matrix by columns in `memory`, of [`Step::column_values`]; unchanged for an empty one.
    pub(super) fn with_columns<'s>(&self, memory: &'s mut [T]) -> Step<'s, T>
    where
        'a: 's,
    {
        let mut step = self.reborrow();
        if let (false, Some(rows)) = (memory.is_empty(), self.operand.matrix().and_then(|matrix| matrix.to_slice())) {
            transpose(rows, self.d_in(), self.d_out(), memory, self.d_out());
            step.operand = Operand::Matrix(views::view(memory, self.d_out()).reversed_axes());
        }
        step
    }

    /// Values of scratch memory that laying the matrix out in strips takes, if it pays for a batch of `rows`: the last
    /// axis, not small, and enough rows to share the cost.
    pub(super) fn strip_values(&self, rows: usize) -> usize {
        let pays = |matrix: &ArrayView2<'_, T>| {
            self.after == 1 && matrix.len() > SMALL_MATRIX && rows * self.before >= ROWS_FOR_STRIPS && !prefers_blas()
        };
        self.operand.matrix().filter(pays).map_or(0, |matrix| matrix.len())
    }

    /// This step with its matrix laid out in `memory`, of [`Step::strip_values`]; unchanged for an empty one.
    pub(super) fn with_strips<'s>(&self, memory: &'s mut [T]) -> Step<'s, T>
    where
        'a: 's,
    {
        let mut step = self.reborrow();
        if let (false, Some(m)) = (memory.is_empty(), self.operand.strided()) {
            strips::lay_out(m.transposed(), self.d_in(), self.d_out(), memory);
            step.strips = Some(memory);
        }
        step
    }

    /// The same for the way back.
    pub(super) fn with_strips_back<'s>(&self, memory: &'s mut [T]) -> Step<'s, T>
    where
        'a: 's,
    {
        let mut step = self.reborrow();
        if let (false, Some(m)) = (memory.is_empty(), self.operand.strided()) {
            strips::lay_out(m, self.d_out(), self.d_in(), memory);
            step.strips_back = Some(memory);
        }
        step
    }

    /// This step on a part of its rows: with a share of the axes `before`, and with `some` of the values that are
    /// `after` all of the axes of the part.
    pub(super) fn within<'s>(&self, before: usize, after: usize, some: usize) -> Step<'s, T>
    where
        'a: 's,
    {
        let part = self.reborrow();
        Step { before: self.before / before, after: self.after / after * some, ..part }
    }

    fn reborrow<'s>(&self) -> Step<'s, T>
    where
        'a: 's,
    {
        Step { operand: self.operand.reborrow(), ..*self }
    }

    fn d_out(&self) -> usize {
        self.operand.dim().0
    }

    fn d_in(&self) -> usize {
        self.operand.dim().1
    }

    /// Whether the step changes nothing.
    pub(super) fn is_identity(&self) -> bool {
        matches!(self.operand, Operand::Identity(_))
    }

    /// Shape `(d_out, d_in)` of the gradient of what the axis is multiplied by.
    pub(super) fn gradient_dim(&self) -> (usize, usize) {
        self.operand.dim()
    }

    /// Values in a row before the step.
    pub(super) fn width_in(&self) -> usize {
        self.before * self.d_in() * self.after
    }

    /// Flops for one row; a value that is only scaled or copied is moved, and counts as much as two flops.
    pub(super) fn flops(&self) -> usize {
        let terms = self.operand.matrix().map_or(1, |matrix| matrix.ncols());
        2usize.saturating_mul(self.width_out()).saturating_mul(terms)
    }

    /// Bytes of the matrix.
    pub(super) fn matrix_bytes(&self) -> usize {
        self.operand.matrix().map_or(0, |matrix| matrix.len() * size_of::<T>())
    }

    /// Of a step that makes no sums.
    fn scale(&self, blend: Blend<T>, x: &[T], y: &mut [T], threads: Threads) {
        match self.operand {
            Operand::Diagonal(diagonal) => scale(diagonal, self.after, blend, x, y, threads),
            _ => scale(aview1(&[T::one()]), 1, blend, x, y, threads),
        }
    }

    /// The way back: `dX ← α·stepᵀ(dY) + β·dX`.
    pub(super) fn apply_transposed(&self, blend: Blend<T>, dy: &[T], dx: &mut [T], threads: Threads) {
        if let Some(strips) = self.strips_back {
            return strips::multiply(blend, dy, strips, self.d_out(), views::view_mut(dx, self.d_in()), threads);
        }
        match self.operand {
            Operand::Matrix(matrix) => multiply(matrix.reversed_axes(), self.after, blend, dy, dx, threads),
            _ => self.scale(blend, dy, dx, threads),
        }
    }

    /// The gradient of the matrix, `dM ← dM + α·Σ dY·Xᵀ`, summed over rows and over the axes before and after.
    pub(super) fn add_gradient(&self, alpha: T, x: &[T], dy: &[T], dm: &mut ArrayViewMut2<'_, T>, threads: Threads) {
        let (d_out, d_in, after) = (self.d_out(), self.d_in(), self.after);
        let (x_piece, dy_piece) = (d_in * after, d_out * after);
        let count = x.len() / x_piece;
        let blend = Blend { alpha, beta: T::one() };
        // The small kernels work on one thread.
        let alone = threads
            .for_flops(2usize.saturating_mul(d_out * d_in).saturating_mul(after * count), THREADED_STEP_FLOPS)
            == Threads::One;
        match dm.as_slice_mut() {
            Some(dm) if after == 1 && alone && d_in == 1 => {
                // A column is as good as a row, along which the registers lie.
                let (dy, x) = (Strided::rows(dy, d_out), Strided::rows(x, 1).transposed());
                outer(Sizes { m: 1, n: d_out, k: count }, 1, blend, x, dy, StridedMut::rows(dm, d_out));
            }
            Some(dm) if after == 1 && alone && d_out * d_in <= small_gradient(count) => {
                let (dy, x) = (Strided::rows(dy, d_out).transposed(), Strided::rows(x, d_in));
                outer(Sizes { m: d_out, n: d_in, k: count }, 1, blend, dy, x, StridedMut::rows(dm, d_in));
            }
            Some(dm) if after > 1 && d_out * d_in <= SMALL_MATRIX => {
                let dy = Strided { step: dy_piece, ..Strided::rows(dy, after) };
                let x = Strided { step: x_piece, ..Strided::rows(x, after) };
                dot(Sizes { m: d_out, n: d_in, k: after }, count, blend, dy, x, StridedMut::rows(dm, d_in));
            }
            _ if after == 1 => {
                let dy = views::view(dy, d_out).reversed_axes();
                product(blend, dy, views::view(x, d_in), dm.view_mut(), threads);
            }
            _ => {
                for (x, dy) in x.chunks_exact(x_piece).zip(dy.chunks_exact(dy_piece)) {
                    let x = views::view(x, after).reversed_axes();
                    product(blend, views::view(dy, after), x, dm.view_mut(), threads);
                }
            }
        }
    }
}
