//! What a symmetric or a skew factor can be decomposed into.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use num_complex::Complex;

use super::finite::check_finite;
use super::power_of_two::Scaled;
use super::scaled;
use super::schur::Schur;
use super::symmetry::{Differences, Symmetry, skew_part, symmetric_part};
use crate::check::count_non_finite;
use crate::error::{KronError, Result};
use crate::operator::Factor;
use crate::scalar::Scalar;

/// What kind of matrix a factor is; zero is symmetric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Symmetric,
    /// `Mᵀ = −M`.
    Skew,
    General,
}

/// The kind of a factor, which must be square, by this measure of symmetry; one that is symmetric only because any
/// factor may be averaged is skew if it is that up to rounding.
///
/// # Errors
/// [`KronError::NonFinite`].
pub(crate) fn kind<T: Scalar>(
    operation: &'static str,
    name: &'static str,
    factor: &Factor<'_, T>,
    symmetry: Symmetry<T>,
) -> Result<Kind> {
    check_finite(operation, name, factor)?;
    let differences = Differences::of(factor.dense().view());
    let judged = if symmetry == Symmetry::Average { Symmetry::Rounding } else { symmetry };
    Ok(if differences.is_symmetric(judged) {
        Kind::Symmetric
    } else if differences.is_skew(symmetry) {
        Kind::Skew
    } else if symmetry == Symmetry::Average {
        Kind::Symmetric
    } else {
        Kind::General
    })
}

/// The symmetric part of a factor, which must be square and as nearly symmetric as asked for.
///
/// # Errors
/// [`KronError::NonFinite`], also where the product of low-rank halves leaves the range of the type;
/// [`KronError::NotSymmetric`].
pub(crate) fn symmetric_dense<T: Scalar>(
    operation: &'static str,
    name: &'static str,
    factor: &Factor<'_, T>,
    symmetry: Symmetry<T>,
) -> Result<Array2<T>> {
    debug_assert_eq!(factor.dim().0, factor.dim().1);
    check_finite(operation, name, factor)?;
    let matrix = factor.dense();
    KronError::check_all_finite(operation, name, count_non_finite(&matrix))?;
    let differences = Differences::of(matrix.view());
    if !differences.is_symmetric(symmetry) {
        let difference = differences.from_symmetric.to_f64_exact();
        return Err(KronError::NotSymmetric { operation, name, difference });
    }
    Ok(symmetric_part(matrix.view()))
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
    let matrix = symmetric_dense(operation, name, factor, Symmetry::Rounding)?;
    let Scaled { result: (values, vectors), power } =
        scaled::symmetric_eigen(matrix.view()).ok_or(KronError::NoConvergence { operation, name })?;
    Ok((values.mapv(|value| power.times(value)), vectors))
}

/// An eigenvalue decomposition with the error of each pair.
pub(crate) struct SymmetricEigen<T> {
    /// Ascending.
    pub(crate) values: Array1<T>,
    /// Orthonormal columns.
    pub(crate) vectors: Array2<T>,
    /// `‖M·q − λ·q‖` of each pair: an eigenvalue of `M` is that near to `λ`. Zero for a diagonal matrix.
    pub(crate) residuals: Array1<T>,
}

/// The eigenvalue decomposition of a symmetric factor; the power is that of its values and residuals. The residuals
/// cost `2·n³` flops beside the `9·n³` of the decomposition.
///
/// # Errors
/// Those of [`symmetric_dense`]; [`KronError::NoConvergence`].
pub(crate) fn scaled_symmetric_eigen<T: Scalar>(
    operation: &'static str,
    name: &'static str,
    factor: &Factor<'_, T>,
    symmetry: Symmetry<T>,
) -> Result<Scaled<SymmetricEigen<T>>> {
    let matrix = symmetric_dense(operation, name, factor, symmetry)?;
    let Scaled { result: (values, vectors), power } =
        scaled::symmetric_eigen(matrix.view()).ok_or(KronError::NoConvergence { operation, name })?;
    let product = power.inverse().times_matrix(matrix.view()).dot(&vectors);
    let mut eigen = SymmetricEigen { residuals: Array1::zeros(values.len()), values, vectors };
    let mut improved = false;
    for (j, mq) in product.columns().into_iter().enumerate() {
        let q = eigen.vectors.column(j);
        let distance = |value: T| mq.iter().zip(&q).fold(T::zero(), |sum, (&mq, &q)| sum.hypot(mq - value * q));
        let (mut value, mut residual) = (eigen.values[j], distance(eigen.values[j]));
        // What is nothing beside the largest eigenvalue may be exact by itself, as in a diagonal matrix: the vector
        // then knows it better than the iteration, which stops at the rounding error of the whole.
        if value.abs() <= residual {
            let quotient = mq.dot(&q);
            let of_quotient = distance(quotient);
            if of_quotient <= T::epsilon() * quotient.abs() {
                (value, residual, improved) = (quotient, of_quotient, true);
            }
        }
        (eigen.values[j], eigen.residuals[j]) = (value, residual);
    }
    Ok(Scaled { result: if improved { ascending(eigen) } else { eigen }, power })
}

fn ascending<T: Scalar>(eigen: SymmetricEigen<T>) -> SymmetricEigen<T> {
    let SymmetricEigen { values, vectors, residuals } = eigen;
    let mut order: Vec<_> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].partial_cmp(&values[j]).unwrap_or(std::cmp::Ordering::Equal));
    SymmetricEigen {
        values: order.iter().map(|&j| values[j]).collect(),
        vectors: vectors.select(Axis(1), &order),
        residuals: order.iter().map(|&j| residuals[j]).collect(),
    }
}

/// The Schur decomposition of a skew factor, which is diagonal with imaginary eigenvalues.
///
/// # Errors
/// [`KronError::NonFinite`]; [`KronError::NoConvergence`].
pub(crate) fn skew_schur<T: Scalar>(
    operation: &'static str,
    name: &'static str,
    factor: &Factor<'_, T>,
) -> Result<Schur<T>> {
    check_finite(operation, name, factor)?;
    let matrix = factor.dense();
    KronError::check_all_finite(operation, name, count_non_finite(&matrix))?;
    let matrix = skew_part(matrix.view());
    let Scaled { result: (h, q), power } =
        scaled::skew_eigen(matrix.view()).ok_or(KronError::NoConvergence { operation, name })?;
    let t = Array2::from_diag(&h.mapv(|h| Complex::new(T::zero(), h)));
    Ok(Schur::measured(power.inverse().times_matrix(matrix.view()).view(), q, t, power))
}

/// The Schur decomposition of a factor that is skew or, by this measure, symmetric: diagonal.
///
/// # Errors
/// Those of [`symmetric_dense`]; [`KronError::NoConvergence`].
pub(crate) fn normal_schur<T: Scalar>(
    operation: &'static str,
    name: &'static str,
    factor: &Factor<'_, T>,
    symmetry: Symmetry<T>,
) -> Result<Schur<T>> {
    if kind(operation, name, factor, symmetry)? == Kind::Skew {
        return skew_schur(operation, name, factor);
    }
    let Scaled { result, power } = scaled_symmetric_eigen(operation, name, factor, symmetry)?;
    let real = |value| Complex::new(value, T::zero());
    let residual = result.residuals.iter().fold(T::zero(), |sum, &residual| sum.hypot(residual));
    Ok(Schur { q: result.vectors.mapv(real), t: Array2::from_diag(&result.values.mapv(real)), power, residual })
}

/// The lower Cholesky factor of a symmetric matrix, or `None` when it is not positive definite.
pub(crate) fn cholesky_lower<T: Scalar>(matrix: ArrayView2<'_, T>) -> Option<Array2<T>> {
    scaled::cholesky_lower(matrix)
}
