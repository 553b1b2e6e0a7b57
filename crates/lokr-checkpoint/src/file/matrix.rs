//! Values in row-major order as matrices. The sizes are those of the values, which only callers inside the crate give.
#![allow(clippy::expect_used)] // As said.

use lokr_core::Scalar;
use ndarray::{Array2, ArrayD, ArrayView2, ArrayViewMut2, Axis};

/// The values of whole rows.
pub(crate) fn rows<T>(values: &[T], columns: usize) -> ArrayView2<'_, T> {
    ArrayView2::from_shape((values.len() / columns, columns), values).expect("callers give whole rows")
}

/// The values of whole rows, to be changed.
pub(crate) fn rows_mut<T>(values: &mut [T], columns: usize) -> ArrayViewMut2<'_, T> {
    ArrayViewMut2::from_shape((values.len() / columns, columns), values).expect("callers give whole rows")
}

/// A fresh array with all axes but the first as one.
pub(crate) fn flattened<T: Scalar>(array: ArrayD<T>) -> Array2<T> {
    let rows = array.len_of(Axis(0));
    let columns = array.len() / rows.max(1);
    reshaped(array, (rows, columns))
}

/// A fresh array in another shape of as many elements.
pub(crate) fn reshaped<T: Scalar>(array: ArrayD<T>, shape: (usize, usize)) -> Array2<T> {
    array.into_shape_with_order(shape).expect("as many elements as before, in row-major order")
}
