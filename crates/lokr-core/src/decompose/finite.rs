//! The check that a factor's values are finite.

use crate::check::count_non_finite;
use crate::error::{KronError, Result};
use crate::operator::Factor;
use crate::scalar::Scalar;

/// [`KronError::NonFinite`] when a stored value of the factor is infinite or not a number.
pub(crate) fn check_finite<T: Scalar>(
    operation: &'static str,
    name: &'static str,
    factor: &Factor<'_, T>,
) -> Result<()> {
    KronError::check_all_finite(operation, name, factor.parts().map(|part| count_non_finite(&part)).sum())
}
