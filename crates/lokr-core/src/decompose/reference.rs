//! What tests compare with: decompositions of whole dense matrices by `faer`, in `f64`.

use faer::{Mat, Side};
use ndarray::ArrayRef2;

use crate::scalar::Scalar;

fn dense<T: Scalar>(matrix: &ArrayRef2<T>) -> Mat<f64> {
    Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| matrix[[i, j]].to_f64_exact())
}

/// Singular values, descending.
pub(crate) fn singular_values<T: Scalar>(matrix: &ArrayRef2<T>) -> Vec<T> {
    dense(matrix).singular_values().unwrap().into_iter().map(T::from_f64_lossy).collect()
}

/// Eigenvalues of a symmetric matrix, ascending.
pub(crate) fn symmetric_eigenvalues<T: Scalar>(matrix: &ArrayRef2<T>) -> Vec<T> {
    dense(matrix).self_adjoint_eigenvalues(Side::Lower).unwrap().into_iter().map(T::from_f64_lossy).collect()
}

/// The determinant.
pub(crate) fn determinant<T: Scalar>(matrix: &ArrayRef2<T>) -> T {
    T::from_f64_lossy(dense(matrix).determinant())
}
