//! What settings of optimizers must be.

use lokr_core::Scalar;

use crate::error::{LayerError, Result};

/// As a `T`: what an `f64` holds may be infinite as an `f32`.
pub(super) fn check_not_negative<T: Scalar>(setting: &'static str, value: f64) -> Result<()> {
    if T::from_f64_lossy(value).is_finite() && value >= 0.0 {
        Ok(())
    } else {
        Err(LayerError::invalid(setting, value, "a number that is finite in the type and not negative"))
    }
}

pub(super) fn check_below_one(setting: &'static str, value: f64) -> Result<()> {
    if (0.0..1.0).contains(&value) { Ok(()) } else { Err(LayerError::invalid(setting, value, "a number in [0, 1)")) }
}
