//! From `ndarray` to `faer` and back.

use faer::{Mat, MatRef};
use ndarray::{Array2, ArrayView2};

use crate::element::Element;

pub(crate) fn to_faer<T: Element>(matrix: ArrayView2<'_, T>) -> Mat<T> {
    Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| matrix[[i, j]])
}

pub(crate) fn to_ndarray<T: Element>(matrix: MatRef<'_, T>) -> Array2<T> {
    Array2::from_shape_fn((matrix.nrows(), matrix.ncols()), |(i, j)| matrix[(i, j)])
}
