//! What a step does to its axis.

use ndarray::{ArrayView1, ArrayView2};

use crate::gemm::kernel::Strided;
use crate::scalar::Scalar;

/// What multiplies an axis. Only a matrix makes sums over it: what an identity or a diagonal does to a value depends on
/// no other value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operand<'a, T> {
    /// A matrix `(d_out, d_in)`, whose rows or columns lie one after the other.
    Matrix(ArrayView2<'a, T>),
    /// A diagonal matrix, by its diagonal.
    Diagonal(ArrayView1<'a, T>),
    /// The identity of this size.
    Identity(usize),
}

impl<'a, T: Scalar> Operand<'a, T> {
    /// Sizes `(d_out, d_in)`.
    pub(super) fn dim(&self) -> (usize, usize) {
        match self {
            Self::Matrix(matrix) => matrix.dim(),
            Self::Diagonal(diagonal) => (diagonal.len(), diagonal.len()),
            Self::Identity(size) => (*size, *size),
        }
    }

    /// The matrix, where it is one that makes sums.
    pub(super) fn matrix(&self) -> Option<ArrayView2<'a, T>> {
        if let Self::Matrix(matrix) = *self { Some(matrix) } else { None }
    }

    /// [`Operand::matrix`] as the kernels take it.
    pub(super) fn strided(&self) -> Option<Strided<'a, T>> {
        self.matrix().and_then(Strided::one)
    }

    pub(super) fn reborrow<'s>(&self) -> Operand<'s, T>
    where
        'a: 's,
    {
        match self {
            Self::Matrix(matrix) => Operand::Matrix(matrix.reborrow()),
            Self::Diagonal(diagonal) => Operand::Diagonal(diagonal.reborrow()),
            Self::Identity(size) => Operand::Identity(*size),
        }
    }
}
