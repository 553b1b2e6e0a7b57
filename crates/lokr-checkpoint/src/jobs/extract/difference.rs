//! What one weight of two models differs by.

use lokr_core::Scalar;
use ndarray::{ArrayD, ArrayRef, Dimension};

use crate::error::Result;
use crate::model::BaseModel;

/// `tuned − base` of a tensor by its names in both, and `‖base‖_F`.
pub(super) fn difference<T: Scalar>(
    base: &BaseModel,
    tuned: &BaseModel,
    (base_name, name): &(String, String),
) -> Result<(ArrayD<T>, f64)> {
    let mut difference = tuned.weight::<T>(name)?;
    let base = base.weight::<T>(base_name)?;
    difference -= &base;
    Ok((difference, frobenius(&base)))
}

pub(super) fn frobenius<T: Scalar, D: Dimension>(array: &ArrayRef<T, D>) -> f64 {
    array.iter().map(|x| x.to_f64_exact().powi(2)).sum::<f64>().sqrt()
}
