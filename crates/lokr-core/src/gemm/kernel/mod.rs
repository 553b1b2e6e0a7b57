//! Small-matrix kernels: products whose operands lie in the cache and are too small, or too oddly shaped, for a
//! packing matrix product to pay.
//!
//! Two forms cover every contraction of one axis by a small matrix, without packing or transposing the batch:
//! [`outer`] walks rows of `B` with the vector lanes along the columns of `C`; [`dot`] walks two sets of rows with
//! the lanes along the inner dimension. Where rows of `C` fill half a register, [`outer`] does two steps of the inner
//! dimension at a time (`pairs`).
//!
//! With [`lanes`] this is one of the two places of the crate with unsafe code (the other is the call of the `gemm`
//! crate): every public entry checks that all the elements it will touch exist, and the loops then use raw pointers.

use ndarray::{ArrayView2, ArrayViewMut2};

mod add_row;
mod dot;
mod lanes;
mod outer;
mod pairs;

pub(crate) use add_row::add_row;
pub(crate) use dot::{dot, dot_into};
pub(crate) use lanes::Kernel;
pub(crate) use outer::{outer, outer_into};

/// `count` matrices in one slice: element `(i, j)` of matrix `t` is `data[t·step + i·row + j·col]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strided<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) row: usize,
    pub(crate) col: usize,
    pub(crate) step: usize,
}

impl<'a, T> Strided<'a, T> {
    /// One matrix, where its rows or its columns lie one after the other.
    pub(crate) fn one(matrix: ArrayView2<'a, T>) -> Option<Self> {
        let (rows, cols) = matrix.dim();
        match matrix.to_slice() {
            Some(data) => Some(Self { data, row: cols, col: 1, step: 0 }),
            None => matrix.reversed_axes().to_slice().map(|data| Self { data, row: 1, col: rows, step: 0 }),
        }
    }

    /// The transposed matrices.
    pub(crate) fn transposed(self) -> Self {
        Self { row: self.col, col: self.row, ..self }
    }

    /// Whether `count` matrices of `rows × cols` lie within the slice.
    fn holds(&self, count: usize, rows: usize, cols: usize) -> bool {
        last_index(count, rows, cols, self.step, self.row, self.col).is_none_or(|last| last < self.data.len())
    }
}

/// Largest index used by `count` matrices of `rows × cols`; `None` when there are no elements.
fn last_index(count: usize, rows: usize, cols: usize, step: usize, row: usize, col: usize) -> Option<usize> {
    let (count, rows, cols) = (count.checked_sub(1)?, rows.checked_sub(1)?, cols.checked_sub(1)?);
    Some(count * step + rows * row + cols * col)
}

/// Where a matrix with contiguous rows begins, and how far apart its rows are.
///
/// # Panics
/// When a row is not contiguous, or the rows do not follow one another upwards.
fn rows_of<T>(c: &mut ArrayViewMut2<'_, T>) -> (*mut T, usize) {
    let (rows, cols) = c.dim();
    let row = if rows > 1 { c.strides()[0] } else { 0 };
    assert!(row >= 0 && (cols < 2 || c.strides()[1] == 1), "rows of the result of a small product");
    (c.as_mut_ptr(), row.unsigned_abs())
}

/// Sizes of one product: `C (m × n)`, inner dimension `k`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
}

#[cfg(test)]
mod tests;
