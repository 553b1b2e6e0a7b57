//! What the functions of this crate need of a value.

use faer::traits::RealField;
use ndarray::NdFloat;

/// `f32` and `f64`, for which alone the functions are compiled.
pub(crate) trait Element: RealField + NdFloat {}

impl Element for f32 {}
impl Element for f64 {}
