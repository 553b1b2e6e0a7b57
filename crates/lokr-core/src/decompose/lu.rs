//! The LU decomposition of a square matrix.

use ndarray::{Array2, ArrayView2};

use super::dense::{LuFactors, Memory, Storage};
use super::door::door;
use crate::scalar::Scalar;

/// `P·M = L·U` of a square matrix, by partial pivoting.
pub(crate) struct Lu<T>(LuFactors<T>);

impl<T: Scalar> Lu<T> {
    /// Factorises; `2/3·n³` flops. The shape must have been checked.
    pub(crate) fn new(matrix: ArrayView2<'_, T>) -> Self {
        Self((door().lu)(matrix))
    }

    /// The diagonal of `U`.
    pub(crate) fn pivots(&self) -> impl Iterator<Item = T> {
        self.0.pivots.iter().copied()
    }

    /// Whether a pivot is exactly zero, so that nothing can be solved.
    pub(crate) fn is_singular(&self) -> bool {
        self.pivots().any(|pivot| pivot == T::zero())
    }

    /// Whether the rows were swapped an odd number of times, which turns the determinant's sign.
    pub(crate) fn is_odd(&self) -> bool {
        self.0.odd
    }

    /// Memory for solving with `columns` right-hand sides.
    pub(crate) fn memory(&self, columns: usize) -> Memory {
        (door().lu_memory)(&self.0, columns)
    }

    /// Overwrites the columns of `rhs (n, …)`, which lies row after row, with `M⁻¹·rhs`; `2·n²` flops per column.
    pub(crate) fn solve_row_major(&self, rhs: &mut [T], memory: &mut Memory) {
        (door().lu_solve)(&self.0, rhs, Storage::RowMajor, memory);
    }

    /// The same for a `rhs` that lies column after column.
    pub(crate) fn solve_column_major(&self, rhs: &mut [T], memory: &mut Memory) {
        (door().lu_solve)(&self.0, rhs, Storage::ColumnMajor, memory);
    }

    /// `M⁻¹`; `2·n³` flops.
    pub(crate) fn inverse(&self) -> Array2<T> {
        (door().lu_inverse)(&self.0)
    }
}
