//! One contraction: multiplying one axis of every row of a batch by a matrix.

use ndarray::ArrayView2;
use ndarray::ArrayViewMut2;
use rayon::prelude::*;

use crate::gemm::{Threads, product};
use crate::{Scalar, matrix};

/// Multiplies the middle axis of every row, read as `(before, d_in, after)`, by `matrix (d_out, d_in)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'a, T> {
    pub(crate) matrix: ArrayView2<'a, T>,
    pub(crate) before: usize,
    pub(crate) after: usize,
}

impl<T: Scalar> Step<'_, T> {
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
        self.multiply(self.matrix, alpha, x, beta, y, threads);
    }

    /// The way back: `dX ← α·stepᵀ(dY) + β·dX`.
    pub(crate) fn apply_transposed(&self, alpha: T, dy: &[T], beta: T, dx: &mut [T], threads: Threads) {
        self.multiply(self.matrix.reversed_axes(), alpha, dy, beta, dx, threads);
    }

    fn multiply(&self, m: ArrayView2<'_, T>, alpha: T, x: &[T], beta: T, y: &mut [T], threads: Threads) {
        let ((d_out, d_in), after) = (m.dim(), self.after);
        if after == 1 {
            product(alpha, matrix::view(x, d_in), m.reversed_axes(), beta, matrix::view_mut(y, d_out), threads);
            return;
        }
        let one = |x: &[T], y: &mut [T], threads| {
            product(alpha, m, matrix::view(x, after), beta, matrix::view_mut(y, after), threads);
        };
        let pieces = y.len() / (d_out * after);
        if threads == Threads::All && pieces > 1 {
            let x = x.par_chunks_exact(d_in * after);
            y.par_chunks_exact_mut(d_out * after).zip(x).for_each(|(y, x)| one(x, y, Threads::One));
        } else {
            let threads = if pieces == 1 { threads } else { Threads::One };
            let x = x.chunks_exact(d_in * after);
            y.chunks_exact_mut(d_out * after).zip(x).for_each(|(y, x)| one(x, y, threads));
        }
    }

    /// The gradient of the matrix, `dM ← dM + α·Σ dY·Xᵀ`, summed over rows and over the axes before and after.
    pub(crate) fn add_gradient(&self, alpha: T, x: &[T], dy: &[T], dm: &mut ArrayViewMut2<'_, T>, threads: Threads) {
        let (d_out, d_in, after) = (self.d_out(), self.d_in(), self.after);
        if after == 1 {
            let dy = matrix::view(dy, d_out);
            product(alpha, dy.reversed_axes(), matrix::view(x, d_in), T::one(), dm.view_mut(), threads);
            return;
        }
        for (x, dy) in x.chunks_exact(d_in * after).zip(dy.chunks_exact(d_out * after)) {
            let x = matrix::view(x, after).reversed_axes();
            product(alpha, matrix::view(dy, after), x, T::one(), dm.view_mut(), threads);
        }
    }
}
