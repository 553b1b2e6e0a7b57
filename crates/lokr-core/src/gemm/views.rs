//! The same values read as another matrix, and copies only where there is no such reading.

use ndarray::{Array2, ArrayRef2, ArrayView1, ArrayView2, ArrayViewMut2, CowArray, Ix2};

use super::blend::Blend;
use crate::scalar::Scalar;

/// A contiguous slice as a row-major matrix of `cols` columns.
#[allow(clippy::expect_used)] // Rows are counted from the length, so the shape never asks for more than there is.
pub(crate) fn view<T>(slice: &[T], cols: usize) -> ArrayView2<'_, T> {
    ArrayView2::from_shape((slice.len() / cols, cols), slice).expect("the shape fits the slice")
}

/// [`view`], writable.
#[allow(clippy::expect_used)] // As above.
pub(crate) fn view_mut<T>(slice: &mut [T], cols: usize) -> ArrayViewMut2<'_, T> {
    ArrayViewMut2::from_shape((slice.len() / cols, cols), slice).expect("the shape fits the slice")
}

/// The values of a matrix in standard layout, row after row, writable.
///
/// # Panics
/// When the matrix lies otherwise: a bug of the caller.
#[allow(clippy::expect_used)] // What this function is for; its callers have just made the matrix.
pub(crate) fn flat_mut<T>(matrix: &mut ArrayRef2<T>) -> &mut [T] {
    matrix.as_slice_mut().expect("standard layout")
}

/// A vector of `rows·cols` values read row by row as a matrix of its own.
pub(crate) fn folded<T: Copy>(vector: ArrayView1<'_, T>, rows: usize, cols: usize) -> Array2<T> {
    Array2::from_shape_fn((rows, cols), |(i, j)| vector[i * cols + j])
}

/// The matrix with contiguous rows: as it is when it already has them, else a copy (of a small factor).
pub(crate) fn row_major<T: Scalar>(matrix: CowArray<'_, T, Ix2>) -> CowArray<'_, T, Ix2> {
    if matrix.is_standard_layout() { matrix } else { CowArray::from(matrix.as_standard_layout().into_owned()) }
}

/// The matrix with its rows or its columns one after the other, as the kernels need it: as it is, or else a copy.
pub(crate) fn either_major<T: Scalar>(matrix: CowArray<'_, T, Ix2>) -> CowArray<'_, T, Ix2> {
    if matrix.t().is_standard_layout() { matrix } else { row_major(matrix) }
}

/// The matrix's memory where its rows lie one after the other, else a copy in `buffer`.
pub(crate) fn rows_or_copy<'a, T: Scalar>(source: &'a ArrayRef2<T>, buffer: &'a mut [T]) -> &'a [T] {
    match source.as_slice() {
        Some(slice) => slice,
        None => {
            view_mut(buffer, source.ncols()).assign(source);
            buffer
        }
    }
}

/// Lets `work(blend, memory)` write `Y ← α·(…) + β·Y`: straight into `y` where its rows lie one after the other, else
/// into `buffer` first.
pub(crate) fn write<T: Scalar>(
    blend: Blend<T>,
    y: &mut ArrayViewMut2<'_, T>,
    buffer: &mut [T],
    work: impl FnOnce(Blend<T>, &mut [T]),
) {
    if let Some(slice) = y.as_slice_mut() {
        return work(blend, slice);
    }
    work(blend.with_beta(T::zero()), buffer);
    put(view(buffer, y.ncols()), blend.beta, y.view_mut());
}

/// `Y ← R + β·Y`; with `β = 0`, `y` may hold anything.
pub(super) fn put<T: Scalar>(result: ArrayView2<'_, T>, beta: T, mut y: ArrayViewMut2<'_, T>) {
    if beta == T::zero() {
        y.assign(&result);
    } else {
        y.zip_mut_with(&result, |y, &r| *y = beta * *y + r);
    }
}
