//! From dense matrices of `ndarray` to those of `faer` and back: its decompositions, on one thread, are what the
//! library's results are checked against.

use faer::{Mat, MatRef};
use ndarray::linalg::kron;
use ndarray::{Array2, ArrayRef2};

/// The Kronecker product of a list of matrices, written out.
pub fn kron_all<'a>(factors: impl IntoIterator<Item = &'a Array2<f64>>) -> Array2<f64> {
    factors.into_iter().fold(Array2::ones((1, 1)), |product, factor| kron(&product, factor))
}

pub fn to_faer(matrix: &ArrayRef2<f64>) -> Mat<f64> {
    Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| matrix[[i, j]])
}

pub fn array(matrix: MatRef<'_, f64>) -> Array2<f64> {
    Array2::from_shape_fn((matrix.nrows(), matrix.ncols()), |(i, j)| matrix[(i, j)])
}
