//! The QR decomposition of a factor of full rank.

use ndarray::{Array2, Axis};

use super::finite::check_finite;
use super::lu::Lu;
use super::power_of_two::{PowerOfTwo, Scaled};
use super::scaled;
use super::singular::scaled_dense;
use crate::error::{KronError, Result};
use crate::operator::Factor;
use crate::scalar::Scalar;

/// A factor as `Q·R` where it is at least as tall as wide, else as `Rᵀ·Qᵀ`.
#[derive(Debug, Clone)]
pub(crate) struct Qr<T> {
    /// Orthonormal columns, as many as the shorter side of the factor, as long as its longer side.
    pub(crate) q: Array2<T>,
    /// The triangular matrix `R`, or `Rᵀ`, to solve with.
    pub(crate) triangle: Lu<T>,
}

/// Decomposes; some `4·long·short²` flops.
///
/// # Errors
/// [`KronError::NonFinite`]; [`KronError::RankDeficient`] when the rank is less than the shorter side, or is so up to
/// rounding: the triangle, with the columns of a tall factor (the rows of a wide one) at the same size, has a
/// reciprocal condition number below `long·ε`.
pub(crate) fn full_rank_qr<T: Scalar>(
    operation: &'static str,
    name: &'static str,
    factor: &Factor<'_, T>,
) -> Result<Qr<T>> {
    check_finite(operation, name, factor)?;
    let (rows, cols) = factor.dim();
    let deficient = KronError::RankDeficient { operation, name };
    if factor.rank_bound() < rows.min(cols) {
        return Err(deficient);
    }
    let Scaled { result: matrix, power } = scaled_dense(factor);
    let is_tall = rows >= cols;
    let tall = if is_tall { matrix.view() } else { matrix.view().reversed_axes() };
    let Scaled { result: (q, r), power: of_r } = scaled::thin_qr(tall);
    let (triangle, axis) = if is_tall { (r, Axis(1)) } else { (r.reversed_axes(), Axis(0)) };
    let lu = Lu::new(triangle.view());
    let tolerance = T::epsilon() * T::from_usize_lossy(rows.max(cols));
    let triangle = Scaled { result: triangle.into(), power: PowerOfTwo::ONE };
    if lu.is_singular() || lu.is_bad(&triangle, &[axis], tolerance) {
        return Err(deficient);
    }
    Ok(Qr { q, triangle: lu.times(power.and(of_r)) })
}
