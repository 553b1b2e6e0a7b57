//! What acts on one axis of a product.

use ndarray::{CowArray, Ix1, Ix2};
use smallvec::SmallVec;

use super::structure::Structure;
use crate::contraction::Operand;
use crate::scalar::Scalar;

/// Matrices acting on one axis, the first to be applied first.
pub(super) type AxisMatrices<'a, T> = SmallVec<[CowArray<'a, T, Ix2>; 2]>;

/// What acts on one axis.
#[derive(Debug)]
pub(super) enum Axis<'a, T> {
    /// Nothing; the axis has this size.
    Identity(usize),
    /// A diagonal matrix.
    Diagonal(CowArray<'a, T, Ix1>),
    /// Any matrices, the first to be applied first.
    Matrices(AxisMatrices<'a, T>),
}

/// The axes of a product, the outermost first.
pub(super) type Axes<'a, T> = SmallVec<[Axis<'a, T>; 4]>;

impl<'a, T: Scalar> Axis<'a, T> {
    /// The matrices, where it is some that act on it.
    pub(super) fn matrices(&self) -> &[CowArray<'a, T, Ix2>] {
        if let Self::Matrices(matrices) = self { matrices } else { &[] }
    }

    /// [`Axis::matrices`], to be replaced.
    pub(super) fn matrices_mut(&mut self) -> &mut [CowArray<'a, T, Ix2>] {
        if let Self::Matrices(matrices) = self { matrices } else { &mut [] }
    }

    /// What the matrices do together: of one alone it is known.
    pub(super) fn structure(&self) -> Structure {
        if let [matrix] = self.matrices() { Structure::of(matrix) } else { Structure::Full }
    }

    /// Leaves of the matrix what one of that structure does.
    pub(super) fn simplify(&mut self, structure: Structure) {
        let Self::Matrices(matrices) = self else { return };
        if structure == Structure::Full {
            return;
        }
        *self = match matrices.pop() {
            Some(matrix) if structure == Structure::Diagonal => Self::Diagonal(matrix.into_diag()),
            matrix => Self::Identity(matrix.map_or(1, |matrix| matrix.nrows())),
        };
    }

    /// How many matrices act on it.
    pub(super) fn len(&self) -> usize {
        if let Self::Matrices(matrices) = self { matrices.len() } else { 1 }
    }

    /// Size before everything that acts on it.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Identity(size) => *size,
            Self::Diagonal(diagonal) => diagonal.len(),
            Self::Matrices(matrices) => matrices.first().map_or(1, |matrix| matrix.ncols()),
        }
    }

    /// Size after what acts on it as the `index`-th.
    pub(super) fn size_after(&self, index: usize) -> usize {
        if let Self::Matrices(matrices) = self { matrices[index].nrows() } else { self.size() }
    }

    /// What acts on it as the `index`-th.
    pub(super) fn operand(&self, index: usize) -> Operand<'_, T> {
        match self {
            Self::Identity(size) => Operand::Identity(*size),
            Self::Diagonal(diagonal) => Operand::Diagonal(diagonal.view()),
            Self::Matrices(matrices) => Operand::Matrix(matrices[index].view()),
        }
    }
}
