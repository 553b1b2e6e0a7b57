//! The decompositions behind the door, right for matrices of every size: the matrix is divided by a power of two where
//! its squares would leave the range of the type, and the power is handed on with the result. No decomposition is made
//! otherwise.

use lokr_decompose::{Eigen, LuFactors, ThinSvd};
use ndarray::{Array1, Array2, ArrayView2};
use num_complex::Complex;

use super::door::door;
use super::magnitude::largest_magnitude;
use super::power_of_two::{Keep, PowerOfTwo, Scaled, into_range};
use crate::scalar::Scalar;

/// The thin singular value decomposition; the power is that of `s`.
pub(super) fn thin_svd<T: Scalar>(matrix: ArrayView2<'_, T>) -> Option<Scaled<ThinSvd<T>>> {
    let Scaled { result: matrix, power } = into_range(matrix, Keep::Squares);
    (door().thin_svd)(matrix.view()).map(|result| Scaled { result, power })
}

/// The singular values, descending, as many as the smaller side.
pub(super) fn singular_values<T: Scalar>(matrix: ArrayView2<'_, T>) -> Option<Scaled<Array1<T>>> {
    let Scaled { result: matrix, power } = into_range(matrix, Keep::Squares);
    (door().singular_values)(matrix.view()).map(|result| Scaled { result, power })
}

/// `Q` and `R` of a matrix that is at least as tall as wide; the power is that of `R`.
pub(super) fn thin_qr<T: Scalar>(matrix: ArrayView2<'_, T>) -> Scaled<(Array2<T>, Array2<T>)> {
    let Scaled { result: matrix, power } = into_range(matrix, Keep::Squares);
    Scaled { result: (door().thin_qr)(matrix.view()), power }
}

/// Eigenvalues, ascending, and orthonormal eigenvectors (columns) of a symmetric matrix; the power is that of the
/// values.
pub(super) fn symmetric_eigen<T: Scalar>(matrix: ArrayView2<'_, T>) -> Option<Scaled<Eigen<T, T>>> {
    let Scaled { result: matrix, power } = into_range(matrix, Keep::Squares);
    (door().symmetric_eigen)(matrix.view()).map(|result| Scaled { result, power })
}

/// `M = U·diag(i·h)·Uᴴ` of a skew matrix: `h` ascending and the unitary `U`; the power is that of `h`.
pub(super) fn skew_eigen<T: Scalar>(matrix: ArrayView2<'_, T>) -> Option<Scaled<Eigen<T, Complex<T>>>> {
    let Scaled { result: matrix, power } = into_range(matrix, Keep::Squares);
    (door().skew_eigen)(matrix.view()).map(|result| Scaled { result, power })
}

/// The eigenvalues of a square matrix; the power is theirs.
pub(super) fn eigenvalues<T: Scalar>(matrix: ArrayView2<'_, T>) -> Option<Scaled<Array1<Complex<T>>>> {
    let Scaled { result: matrix, power } = into_range(matrix, Keep::Squares);
    (door().eigenvalues)(matrix.view()).map(|result| Scaled { result, power })
}

/// `H` and `Q` of the Hessenberg form of a square matrix; the power is that of `H`.
pub(super) fn hessenberg<T: Scalar>(matrix: ArrayView2<'_, T>) -> Scaled<(Array2<T>, Array2<T>)> {
    let Scaled { result: matrix, power } = into_range(matrix, Keep::Squares);
    Scaled { result: (door().hessenberg)(matrix.view()), power }
}

/// The lower Cholesky factor of a symmetric matrix, scaled back, or `None` when it is not positive definite.
pub(super) fn cholesky_lower<T: Scalar>(matrix: ArrayView2<'_, T>) -> Option<Array2<T>> {
    let power = PowerOfTwo::out_of_range(matrix, Keep::Values).even();
    let mut lower = (door().cholesky_lower)(power.inverse().times_matrix(matrix).view())?;
    power.root().scale(&mut lower);
    Some(lower)
}

/// `P·M = L·U` of a square matrix; the power is that of `U`.
pub(super) fn lu<T: Scalar>(matrix: ArrayView2<'_, T>) -> Scaled<LuFactors<T>> {
    with_normal_pivots(largest_magnitude(matrix), |power| {
        let result = (door().lu)(power.inverse().times_matrix(matrix).view());
        Scaled { result, power }
    })
}

/// The same from the Cholesky factor of the matrix, whose largest magnitude is given, or of its negative.
pub(super) fn lu_of_cholesky<T: Scalar>(lower: ArrayView2<'_, T>, negative: bool, largest: T) -> Scaled<LuFactors<T>> {
    with_normal_pivots(largest, |power| {
        let power = power.even();
        let lower = power.root().inverse().times_matrix(lower);
        Scaled { result: (door().lu_of_cholesky)(lower.view(), negative), power }
    })
}

/// What `factorize` makes of a matrix of this largest magnitude, divided by the power that suits it.
fn with_normal_pivots<T: Scalar>(
    largest: T,
    factorize: impl Fn(PowerOfTwo) -> Scaled<LuFactors<T>>,
) -> Scaled<LuFactors<T>> {
    let lu = factorize(PowerOfTwo::beyond(largest, Keep::Values));
    // The decomposition multiplies by reciprocals of pivots, and those of subnormal ones are infinite.
    let is_right = lu.result.pivots.iter().all(|&pivot| pivot.is_normal() || pivot == T::zero());
    match PowerOfTwo::of_subnormal(largest) {
        Some(power) if !is_right => factorize(power),
        _ => lu,
    }
}
