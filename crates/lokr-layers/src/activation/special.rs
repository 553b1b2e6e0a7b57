//! Functions of one number that several activations share.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use lokr_core::Scalar;

/// The logistic function `σ(z)`.
pub(crate) fn sigmoid<T: Scalar>(z: T) -> T {
    T::one() / (T::one() + (-z).exp())
}

/// `Φ(z)`. By the complementary error function, which stays accurate where `1 + erf` would cancel.
pub(super) fn normal_cdf<T: Scalar>(z: T) -> T {
    T::from_f64_lossy(0.5 * libm::erfc(-z.to_f64_exact() * FRAC_1_SQRT_2))
}

/// The derivative of `Φ`.
pub(super) fn normal_density<T: Scalar>(z: T) -> T {
    let z = z.to_f64_exact();
    T::from_f64_lossy((-0.5 * z * z).exp() * (0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2))
}
