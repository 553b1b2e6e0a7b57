//! Singular values and vectors of a factor.

use lokr_decompose::ThinSvd;
use ndarray::{Array1, Array2, CowArray, Ix2};

use super::finite::check_finite;
use super::power_of_two::{Keep, PowerOfTwo, Scaled, into_range};
use super::scaled;
use crate::error::{KronError, Result};
use crate::operator::Factor;
use crate::scalar::Scalar;

/// The thin singular value decomposition of a factor; `k` is its rank bound, [`Factor::rank_bound`].
///
/// # Errors
/// [`KronError::NonFinite`]; [`KronError::NoConvergence`].
pub(crate) fn thin_svd<T: Scalar>(
    operation: &'static str,
    name: &'static str,
    factor: &Factor<'_, T>,
) -> Result<ThinSvd<T>> {
    let Scaled { result: ThinSvd { u, s, v }, power } = scaled_thin_svd(operation, name, factor)?;
    Ok(ThinSvd { u, s: s.mapv(|value| power.times(value)), v })
}

/// The same with the power of two by which `s` is to be multiplied, so that ratios and reciprocals are right where the
/// values leave the range of the type.
///
/// A low-rank factor is never formed: with `left = Q_l·R_l` and `rightᵀ = Q_r·R_r` the singular values are those of the
/// small `R_l·R_rᵀ`.
///
/// # Errors
/// [`KronError::NonFinite`]; [`KronError::NoConvergence`].
pub(crate) fn scaled_thin_svd<T: Scalar>(
    operation: &'static str,
    name: &'static str,
    factor: &Factor<'_, T>,
) -> Result<Scaled<ThinSvd<T>>> {
    check_finite(operation, name, factor)?;
    let no_convergence = KronError::NoConvergence { operation, name };
    let Some(Core { q_left, scaled: core, power, q_right }) = core(factor) else {
        let Scaled { result: matrix, power } = scaled_dense(factor);
        let svd = scaled::thin_svd(matrix.view()).ok_or(no_convergence)?;
        return Ok(Scaled { power: power.and(svd.power), ..svd });
    };
    let Scaled { result: ThinSvd { u, s, v }, power: of_core } = scaled::thin_svd(core.view()).ok_or(no_convergence)?;
    Ok(Scaled { result: ThinSvd { u: q_left.dot(&u), s, v: q_right.dot(&v) }, power: power.and(of_core) })
}

/// The singular values of a factor, descending, as many as its rank bound, with the power of two by which they are to
/// be multiplied, so that ratios and products are right where the values leave the range of the type.
///
/// # Errors
/// [`KronError::NonFinite`]; [`KronError::NoConvergence`].
pub(crate) fn scaled_singular_values<T: Scalar>(
    operation: &'static str,
    name: &'static str,
    factor: &Factor<'_, T>,
) -> Result<Scaled<Array1<T>>> {
    check_finite(operation, name, factor)?;
    let Scaled { result: matrix, power } = match core(factor) {
        Some(Core { scaled, power, .. }) => Scaled { result: scaled.into(), power },
        None => scaled_dense(factor),
    };
    let values = scaled::singular_values(matrix.view()).ok_or(KronError::NoConvergence { operation, name })?;
    Ok(Scaled { power: power.and(values.power), ..values })
}

/// A low-rank matrix as `q_left · core · q_rightᵀ` with orthonormal columns outside and a small `core (r, r)`, which is
/// `power · scaled`.
pub(crate) struct Core<T> {
    q_left: Array2<T>,
    scaled: Array2<T>,
    power: PowerOfTwo,
    q_right: Array2<T>,
}

impl<T: Scalar> Core<T> {
    /// A small matrix, and the power of two by which it is to be multiplied, with the singular values of the low-rank
    /// matrix.
    pub(crate) fn into_small(self) -> Scaled<Array2<T>> {
        Scaled { result: self.scaled, power: self.power }
    }
}

/// The core of a low-rank factor whose halves are both longer than its inner size; `None` where it would save nothing.
/// Cost: `4·(rows + cols)·r²` flops, against `2·rows·cols·r` for forming the factor.
pub(crate) fn core<T: Scalar>(factor: &Factor<'_, T>) -> Option<Core<T>> {
    let Factor::LowRank(low) = factor else { return None };
    let (rows, cols) = factor.dim();
    if low.rank() >= rows.min(cols) {
        return None;
    }
    let Scaled { result: (q_left, r_left), power: left } = scaled::thin_qr(low.left());
    let Scaled { result: (q_right, r_right), power: right } = scaled::thin_qr(low.right().reversed_axes());
    Some(Core { q_left, scaled: r_left.dot(&r_right.t()), power: left.and(right), q_right })
}

/// The factor as a dense matrix, divided by a power of two; the product of low-rank halves does not leave the range of
/// the type.
pub(super) fn scaled_dense<'f, T: Scalar>(factor: &'f Factor<'_, T>) -> Scaled<CowArray<'f, T, Ix2>> {
    match factor {
        Factor::Full(_) => Scaled { result: factor.dense(), power: PowerOfTwo::ONE },
        Factor::LowRank(low) => {
            let left = into_range(low.left(), Keep::Squares);
            let right = into_range(low.right(), Keep::Squares);
            let power = left.power.and(right.power);
            let result = if power == PowerOfTwo::ONE && left.power == PowerOfTwo::ONE {
                factor.dense()
            } else {
                left.result.dot(&right.result).into()
            };
            Scaled { result, power }
        }
    }
}
