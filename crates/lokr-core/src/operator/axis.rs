//! What acts on one axis of a product.

use ndarray::{CowArray, Ix1};
use smallvec::SmallVec;

use super::balance::AxisMatrices;
use super::structure::Structure;
use crate::contraction::Operand;
use crate::scalar::Scalar;

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
pub(super) type Axes<'a, T> = SmallVec<[Axis<'a, T>; 2]>;

impl<'a, T: Scalar> Axis<'a, T> {
    /// The axis of these matrices, which have that structure.
    pub(super) fn new(mut matrices: AxisMatrices<'a, T>, structure: Structure) -> Self {
        if structure == Structure::Full {
            return Self::Matrices(matrices);
        }
        match matrices.pop() {
            Some(matrix) if structure == Structure::Diagonal => Self::Diagonal(matrix.into_diag()),
            matrix => Self::Identity(matrix.map_or(1, |matrix| matrix.nrows())),
        }
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
