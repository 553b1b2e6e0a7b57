//! Sums and differences of products and of sums of them; multiplication by a number, negation.

use std::ops::{Add, Mul, Neg, Sub};

use super::kron_terms::KronTerms;
use crate::error::{KronError, Result};
use crate::operator::Kron;
use crate::scalar::Scalar;

impl<'a, T: Scalar> Kron<'a, T> {
    /// The sum with another product, or with a sum of products, borrowed from both: see [`KronTerms`]. `&k + &l` is the
    /// same, and `k + l` takes over what is owned. Nothing is computed.
    ///
    /// # Errors
    /// [`KronError::Shape`] when the shapes differ as matrices; their factors' shapes may.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::{Array2, array};
    /// let k = Kron::new(array![[1.0, 2.0]], array![[3.0], [4.0]])?; // [[3, 6], [4, 8]]
    /// let l = Kron::new(array![[1.0]], array![[1.0, 0.0], [0.0, 1.0]])?;
    /// let sum = k.plus(&l)?.plus(&k)?;
    /// assert_eq!(sum.to_dense(), array![[7.0, 12.0], [8.0, 17.0]]);
    /// assert_eq!(((&k + &l)? + &k)?, sum);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn plus<'k>(&'k self, other: impl Into<KronTerms<'k, T>>) -> Result<KronTerms<'k, T>> {
        join("+", self.into(), other.into())
    }

    /// The difference to another product, or to a sum of products, borrowed from both, as [`Kron::plus`].
    ///
    /// # Errors
    /// As [`Kron::plus`].
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::{Array2, array};
    /// let k = Kron::new(array![[1.0, 2.0]], array![[3.0], [4.0]])?;
    /// assert_eq!(k.minus(&k)?.to_dense(), array![[0.0, 0.0], [0.0, 0.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn minus<'k>(&'k self, other: impl Into<KronTerms<'k, T>>) -> Result<KronTerms<'k, T>> {
        join("-", self.into(), -other.into())
    }
}

impl<'a, T: Scalar> KronTerms<'a, T> {
    /// The sum with a product, or with another sum: the terms of both. What is owned is taken over.
    ///
    /// # Errors
    /// As [`Kron::plus`].
    pub fn plus(self, other: impl Into<KronTerms<'a, T>>) -> Result<Self> {
        join("+", self, other.into())
    }

    /// The difference to a product, or to another sum: the terms of both. What is owned is taken over.
    ///
    /// # Errors
    /// As [`Kron::plus`].
    pub fn minus(self, other: impl Into<KronTerms<'a, T>>) -> Result<Self> {
        join("-", self, -other.into())
    }

    /// `s·Σ wₜ·(Aₜ ⊗ Bₜ)`, borrowed from this one: the weights are multiplied. A weight that would leave the number
    /// range goes into the factors of its product, in memory of its own.
    ///
    /// The operators `k * s` and `-k` do the same, and take over what an owned `k` holds.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronTerms};
    /// # use ndarray::{Array2, array};
    /// let sum = KronTerms::from(Kron::new(array![[2.0]], array![[1.0, 3.0]])?);
    /// assert_eq!(sum.scaled(10.0).weights(), [10.0]);
    /// assert_eq!((-0.5_f64 * sum).to_dense(), array![[-1.0, -3.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn scaled(&self, s: T) -> KronTerms<'_, T> {
        self.view() * s
    }
}

/// The terms of both.
fn join<'a, T: Scalar>(
    operation: &'static str,
    mut sum: KronTerms<'a, T>,
    other: KronTerms<'a, T>,
) -> Result<KronTerms<'a, T>> {
    KronError::check_shape(operation, "the second operand", sum.dim(), other.dim())?;
    for (weight, term) in other.into_parts() {
        sum.push(weight, term)?;
    }
    Ok(sum)
}

/// `+` and `-` of an owned or borrowed product or sum with whatever a sum is made of.
macro_rules! sum_operators {
    ($(($left:ty, $lifetime:lifetime)),*) => {$(
        /// `k + l`, of products and sums of products; an error when their shapes differ, see [`Kron::plus`].
        impl<$lifetime, T: Scalar, R: Into<KronTerms<$lifetime, T>>> Add<R> for $left {
            type Output = Result<KronTerms<$lifetime, T>>;

            fn add(self, other: R) -> Self::Output {
                join("+", self.into(), other.into())
            }
        }

        /// `k - l`, of products and sums of products; an error when their shapes differ, see [`Kron::minus`].
        impl<$lifetime, T: Scalar, R: Into<KronTerms<$lifetime, T>>> Sub<R> for $left {
            type Output = Result<KronTerms<$lifetime, T>>;

            fn sub(self, other: R) -> Self::Output {
                join("-", self.into(), -other.into())
            }
        }
    )*};
}

sum_operators!((Kron<'a, T>, 'a), (&'a Kron<'_, T>, 'a), (KronTerms<'a, T>, 'a), (&'a KronTerms<'_, T>, 'a));

/// `k * s`: see [`KronTerms::scaled`]. What is owned is taken over.
impl<T: Scalar> Mul<T> for KronTerms<'_, T> {
    type Output = Self;

    fn mul(self, s: T) -> Self {
        self.map(|weight, term| {
            let product = weight * s;
            // What is zero or not finite for another reason than the range is so in the factors as well.
            if product.is_normal() { (product, term) } else { (s, term * weight) }
        })
    }
}

/// `&k * s`: see [`KronTerms::scaled`].
impl<'k, T: Scalar> Mul<T> for &'k KronTerms<'_, T> {
    type Output = KronTerms<'k, T>;

    fn mul(self, s: T) -> KronTerms<'k, T> {
        self.scaled(s)
    }
}

/// `s * k` and `s * &k`, for each of the two element types.
macro_rules! number_times_terms {
    ($($number:ty),*) => {$(
        /// `s * k`: see [`KronTerms::scaled`]. What is owned is taken over.
        impl<'a> Mul<KronTerms<'a, $number>> for $number {
            type Output = KronTerms<'a, $number>;

            fn mul(self, k: KronTerms<'a, $number>) -> KronTerms<'a, $number> {
                k * self
            }
        }

        /// `s * &k`: see [`KronTerms::scaled`].
        impl<'k> Mul<&'k KronTerms<'_, $number>> for $number {
            type Output = KronTerms<'k, $number>;

            fn mul(self, k: &'k KronTerms<'_, $number>) -> KronTerms<'k, $number> {
                k.scaled(self)
            }
        }
    )*};
}

number_times_terms!(f32, f64);

/// `-k`: the weights are negated.
impl<T: Scalar> Neg for KronTerms<'_, T> {
    type Output = Self;

    fn neg(self) -> Self {
        self.map(|weight, term| (-weight, term))
    }
}

/// `-&k`: the weights are negated, the factors are borrowed.
impl<'k, T: Scalar> Neg for &'k KronTerms<'_, T> {
    type Output = KronTerms<'k, T>;

    fn neg(self) -> KronTerms<'k, T> {
        -self.view()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terms::test_sums::{close_to, sums};
    use crate::test_support::{all_close, kron_of};
    use ndarray::{Array2, array};

    fn agrees_with_dense_arithmetic<T: Scalar>(scales: [f64; 3]) {
        for (sum, dense) in sums::<T>() {
            let double = &dense * T::from_f64_lossy(2.0);
            let half = T::from_f64_lossy(0.5);
            let kron = sum.terms()[0].clone();
            let of_kron = kron.to_dense();
            let close = |found: Result<KronTerms<'_, T>>, expected: Array2<T>| {
                close_to(&found.unwrap().to_dense(), &expected);
            };
            close(&sum + &sum, double.clone());
            close(sum.view() + sum.view(), double);
            close(&sum - &(&sum * half), &dense * half);
            close(&kron + &sum, &of_kron + &dense);
            close(&sum - &kron, &dense - &of_kron);
            close(kron.clone() - sum.clone(), &of_kron - &dense);
            close(&kron + kron.view(), &of_kron + &of_kron);
            close(kron.plus(&sum).and_then(|sum| sum.minus(&kron)), dense.clone());
            close(kron.minus(&kron).and_then(|sum| sum.plus(kron.view())), of_kron.clone());
            assert_eq!((-&sum).to_dense(), (-sum.clone()).to_dense());
            close_to(&(-&sum).to_dense(), &(&dense * -T::one()));
            for scale in scales.map(T::from_f64_lossy) {
                close_to(&((&sum * scale).to_dense() / scale), &dense);
                // There and back, though what stands between may leave the range.
                let extreme = sum.clone() * scale * scale * (T::one() / scale);
                close_to(&(extreme.to_dense() / scale), &dense);
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_dense_arithmetic() {
        agrees_with_dense_arithmetic::<f32>([1.0, 1e-25, 1e25]);
        agrees_with_dense_arithmetic::<f64>([1.0, 1e-200, 1e200]);
    }

    #[test]
    fn numbers_of_both_types_multiply_from_the_left() {
        let sum = KronTerms::from(Kron::new(array![[1.0_f32]], array![[3.0]]).unwrap());
        assert_eq!((2.0 * &sum, 2.0 * sum.clone()), (&sum * 2.0, sum.clone() * 2.0));
        let sum = KronTerms::from(Kron::new(array![[1.0_f64]], array![[3.0]]).unwrap());
        assert_eq!((2.0 * &sum, 2.0 * sum.clone()), (&sum * 2.0, sum.clone() * 2.0));
    }

    #[test]
    fn a_weight_out_of_range_is_kept_by_the_factors() {
        let k = Kron::new(array![[1e-200, 1e-200]], array![[1e-150]]).unwrap();
        let sum = KronTerms::new([(1e200, k)]).unwrap() * 1e150;
        all_close(&sum.to_dense(), &array![[1.0, 1.0]], 1.0);
        let zero = &sum * 0.0;
        assert_eq!(zero.to_dense(), array![[0.0, 0.0]]);
        assert!((sum * f64::NAN).to_dense().iter().all(|value| value.is_nan()));
    }

    #[test]
    fn shapes_that_differ_are_an_error() {
        let (k, l) = (kron_of::<f64>(2, 3, 4, 5), kron_of(4, 3, 2, 2));
        let error = |operation| {
            let argument = "the second operand";
            KronError::Shape { operation, argument, expected: (8, 15), found: (8, 6) }
        };
        assert_eq!((&k + &l).unwrap_err(), error("+"));
        assert_eq!(k.plus(&l).unwrap_err(), error("+"));
        assert_eq!(k.minus(&l).unwrap_err(), error("-"));
        assert_eq!((KronTerms::from(&k) - &l).unwrap_err(), error("-"));
        assert_eq!((k + l).unwrap_err(), error("+"));
    }
}
