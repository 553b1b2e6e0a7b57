//! Operands and results of small products: slices with strides, and where their last element lies.

use ndarray::{ArrayView2, ArrayViewMut2};

/// Sizes of one product: `C (m × n)`, inner dimension `k`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
}

/// Some matrices in one slice: element `(i, j)` of matrix `t` is `data[t·step + i·row + j·col]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strided<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) row: usize,
    pub(crate) col: usize,
    pub(crate) step: usize,
}

impl<'a, T> Strided<'a, T> {
    /// One matrix with contiguous rows, each `row` values after the one before.
    pub(crate) fn rows(data: &'a [T], row: usize) -> Self {
        Self { data, row, col: 1, step: 0 }
    }

    /// One matrix, where its rows or its columns lie one after the other.
    pub(crate) fn one(matrix: ArrayView2<'a, T>) -> Option<Self> {
        let (rows, cols) = matrix.dim();
        match matrix.to_slice() {
            Some(data) => Some(Self::rows(data, cols)),
            None => matrix.reversed_axes().to_slice().map(|data| Self::rows(data, rows).transposed()),
        }
    }

    /// The same matrices, from another element on.
    pub(crate) fn from(self, start: usize) -> Self {
        Self { data: &self.data[start..], ..self }
    }

    /// The transposed matrices.
    pub(crate) fn transposed(self) -> Self {
        Self { row: self.col, col: self.row, ..self }
    }

    /// Whether `count` matrices of `rows × cols` lie within the slice.
    pub(super) fn holds(&self, count: usize, rows: usize, cols: usize) -> bool {
        last_index(count, rows, cols, self).is_none_or(|last| last < self.data.len())
    }
}

/// Results with contiguous rows in one slice: element `(i, j)` of matrix `t` is `data[t·step + i·row + j]`.
#[derive(Debug)]
pub(crate) struct StridedMut<'a, T> {
    pub(crate) data: &'a mut [T],
    pub(crate) row: usize,
    pub(crate) step: usize,
}

impl<'a, T> StridedMut<'a, T> {
    /// One result, each row `row` values after the one before.
    pub(crate) fn rows(data: &'a mut [T], row: usize) -> Self {
        Self { data, row, step: 0 }
    }

    /// Where the first of `count` results of `rows × cols` begins.
    ///
    /// # Panics
    /// When one of their elements lies outside the slice.
    pub(super) fn pointer(self, count: usize, rows: usize, cols: usize) -> Pointer<T> {
        let view = Strided { data: &*self.data, row: self.row, col: 1, step: self.step };
        assert!(view.holds(count, rows, cols), "result of a small product");
        Pointer { data: self.data.as_mut_ptr(), row: self.row, step: self.step }
    }
}

/// Where results lie: [`StridedMut`], checked, as a pointer.
#[derive(Clone, Copy)]
pub(super) struct Pointer<T> {
    pub(super) data: *mut T,
    pub(super) row: usize,
    pub(super) step: usize,
}

impl<T> Pointer<T> {
    /// Where a matrix with contiguous rows begins, and how far apart its rows are.
    ///
    /// # Panics
    /// When a row is not contiguous, or the rows do not follow one another upwards.
    pub(super) fn to(c: &mut ArrayViewMut2<'_, T>) -> Self {
        let (rows, cols) = c.dim();
        let row = if rows > 1 { c.strides()[0] } else { 0 };
        assert!(row >= 0 && (cols < 2 || c.strides()[1] == 1), "rows of the result of a small product");
        Self { data: c.as_mut_ptr(), row: row.unsigned_abs(), step: 0 }
    }
}

/// Largest index used by `count` matrices of `rows × cols`; `None` when there are no elements.
fn last_index<T>(count: usize, rows: usize, cols: usize, matrices: &Strided<'_, T>) -> Option<usize> {
    let (count, rows, cols) = (count.checked_sub(1)?, rows.checked_sub(1)?, cols.checked_sub(1)?);
    Some(count * matrices.step + rows * matrices.row + cols * matrices.col)
}
