//! What a symmetric factor can be decomposed into.

use ndarray::{Array1, Array2, ArrayView2};

use super::door::door;
use super::finite::check_finite;
use crate::error::{KronError, Result};
use crate::operator::Factor;
use crate::scalar::Scalar;

/// The factor, which must be square, as a matrix that is exactly symmetric.
///
/// A difference `|M[i, j] − M[j, i]|` up to `size · ε · max|M|`, what rounding leaves in a product like `XᵀX`, is
/// averaged away; a larger one is an error.
///
/// # Errors
/// [`KronError::NonFinite`]; [`KronError::NotSymmetric`].
pub(crate) fn symmetric_dense<T: Scalar>(
    operation: &'static str,
    name: &'static str,
    factor: &Factor<'_, T>,
) -> Result<Array2<T>> {
    let size = factor.dim().0;
    debug_assert_eq!(size, factor.dim().1);
    check_finite(operation, name, factor)?;
    let matrix = factor.dense();
    let largest = matrix.iter().fold(T::zero(), |largest, value| largest.max(value.abs()));
    let difference =
        matrix.indexed_iter().fold(T::zero(), |difference, ((i, j), &x)| difference.max((x - matrix[[j, i]]).abs()));
    if difference > T::from_usize_lossy(size) * T::epsilon() * largest {
        return Err(KronError::NotSymmetric { operation, name, difference: difference.to_f64_exact() });
    }
    let half = T::from_f64_lossy(0.5);
    Ok(Array2::from_shape_fn((size, size), |(i, j)| half * matrix[[i, j]] + half * matrix[[j, i]]))
}

/// Ascending eigenvalues and orthonormal eigenvectors (columns) of a symmetric factor, which must be square.
///
/// # Errors
/// Those of [`symmetric_dense`]; [`KronError::NoConvergence`].
pub(crate) fn symmetric_eigen<T: Scalar>(
    operation: &'static str,
    name: &'static str,
    factor: &Factor<'_, T>,
) -> Result<(Array1<T>, Array2<T>)> {
    let matrix = symmetric_dense(operation, name, factor)?;
    (door().symmetric_eigen)(matrix.view()).ok_or(KronError::NoConvergence { operation, name })
}

/// The lower Cholesky factor of a symmetric matrix, or `None` when it is not positive definite.
pub(crate) fn cholesky_lower<T: Scalar>(matrix: ArrayView2<'_, T>) -> Option<Array2<T>> {
    (door().cholesky_lower)(matrix)
}
