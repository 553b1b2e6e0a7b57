//! What an update refuses, wherever it is given it.

use lokr_core::{Factor, Scalar};

use super::halves::inner_rank;
use crate::error::{LayerError, Result};

/// The adapter's type, for messages.
pub(crate) const TYPE_NAME: &str = "LoKrAdapter";

pub(crate) fn check_factor<T: Scalar>(
    argument: &'static str,
    expected: (usize, usize),
    factor: &Factor<'_, T>,
) -> Result<()> {
    LayerError::check_shape(TYPE_NAME, argument, expected, factor.dim())?;
    if inner_rank(factor) == Some(0) {
        return Err(LayerError::InvalidRank { rank: 0 });
    }
    factor.parts().try_for_each(|matrix| LayerError::check_finite(TYPE_NAME, argument, matrix.iter()))
}

/// The name of the setting, and the number.
pub(crate) fn check_scaling<T: Scalar>(setting: &'static str, value: T) -> Result<()> {
    if value.is_finite() { Ok(()) } else { Err(LayerError::invalid(setting, value, "a finite number")) }
}
