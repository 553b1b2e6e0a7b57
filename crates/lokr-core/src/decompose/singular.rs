//! Singular values and vectors of a factor.

use ndarray::{Array1, Array2};

use super::dense::ThinSvd;
use super::door::door;
use super::finite::check_finite;
use crate::error::{KronError, Result};
use crate::operator::Factor;
use crate::scalar::Scalar;

/// The thin singular value decomposition of a factor; `k` is its rank bound, [`Factor::rank_bound`].
///
/// A low-rank factor is never formed: with `left = Q_l·R_l` and `rightᵀ = Q_r·R_r` the singular values are those of the
/// small `R_l·R_rᵀ`.
///
/// # Errors
/// [`KronError::NonFinite`]; [`KronError::NoConvergence`].
pub(crate) fn thin_svd<T: Scalar>(
    operation: &'static str,
    name: &'static str,
    factor: &Factor<'_, T>,
) -> Result<ThinSvd<T>> {
    check_finite(operation, name, factor)?;
    let thin_svd = |matrix| (door().thin_svd)(matrix).ok_or(KronError::NoConvergence { operation, name });
    match core(factor) {
        None => thin_svd(factor.dense().view()),
        Some(Core { q_left, core, q_right }) => {
            let ThinSvd { u, s, v } = thin_svd(core.view())?;
            Ok(ThinSvd { u: q_left.dot(&u), s, v: q_right.dot(&v) })
        }
    }
}

/// The singular values of a factor, descending, as many as its rank bound.
///
/// # Errors
/// [`KronError::NonFinite`]; [`KronError::NoConvergence`].
pub(crate) fn singular_values<T: Scalar>(
    operation: &'static str,
    name: &'static str,
    factor: &Factor<'_, T>,
) -> Result<Array1<T>> {
    check_finite(operation, name, factor)?;
    let matrix = core(factor).map_or_else(|| factor.to_dense(), |core| core.core);
    (door().singular_values)(matrix.view()).ok_or(KronError::NoConvergence { operation, name })
}

/// A low-rank matrix as `q_left · core · q_rightᵀ` with orthonormal columns outside and a small `core (r, r)`.
pub(crate) struct Core<T> {
    q_left: Array2<T>,
    pub(crate) core: Array2<T>,
    q_right: Array2<T>,
}

/// The core of a low-rank factor whose halves are both longer than its inner size; `None` where it would save nothing.
/// Cost: `4·(rows + cols)·r²` flops, against `2·rows·cols·r` for forming the factor.
pub(crate) fn core<T: Scalar>(factor: &Factor<'_, T>) -> Option<Core<T>> {
    let Factor::LowRank(low) = factor else { return None };
    let (rows, cols) = factor.dim();
    if low.rank() >= rows.min(cols) {
        return None;
    }
    let (q_left, r_left) = (door().thin_qr)(low.left());
    let (q_right, r_right) = (door().thin_qr)(low.right().reversed_axes());
    Some(Core { q_left, core: r_left.dot(&r_right.t()), q_right })
}
