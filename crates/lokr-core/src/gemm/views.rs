//! Slices seen as matrices.

use ndarray::{ArrayView2, ArrayViewMut2};

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
