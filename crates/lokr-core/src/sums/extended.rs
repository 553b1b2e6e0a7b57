//! Numbers whose exponent may leave the range of their type, for products that come back into it.

use std::iter::Sum;
use std::ops::{Div, Mul};

use ndarray::ArrayRef2;
use num_traits::One;

use super::pairwise::Pairwise;
use crate::scalar::Scalar;

/// `mantissa · 2^exponent` with a mantissa in `[1/2, 1)`, or one that is zero, infinite or NaN.
///
/// Powers of two change no digit: a product whose parts are in range has the bits of the plain product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extended<T> {
    mantissa: T,
    exponent: i64,
}

impl<T: Scalar> Extended<T> {
    pub(crate) fn new(value: T) -> Self {
        match exponent(value) {
            Some(exponent) => Self { mantissa: times_two_to(value, -exponent), exponent },
            None => Self { mantissa: value, exponent: 0 },
        }
    }

    /// The nearest value of the type: infinity or zero where it has none.
    pub(crate) fn value(self) -> T {
        times_two_to(self.mantissa, self.exponent)
    }

    /// The exponent; zero for a number that has none.
    pub(crate) fn exponent(self) -> i64 {
        self.exponent
    }

    /// This number times a power of two.
    pub(crate) fn times_two_to(self, exponent: i64) -> Self {
        Self { exponent: self.exponent.saturating_add(exponent), ..self }
    }

    /// The square root.
    pub(crate) fn sqrt(self) -> Self {
        let odd = self.exponent.rem_euclid(2);
        let root = Self::new(times_two_to(self.mantissa, odd).sqrt());
        root.times_two_to((self.exponent - odd) / 2)
    }

    /// Exactly zero, which no number becomes by being small.
    pub(crate) fn is_zero(self) -> bool {
        self.mantissa == T::zero()
    }

    /// The same number with the other sign.
    pub(crate) fn negated(self) -> Self {
        Self { mantissa: -self.mantissa, ..self }
    }
}

impl<T: Scalar> Mul for Extended<T> {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self::new(self.mantissa * other.mantissa).times_two_to(self.exponent.saturating_add(other.exponent))
    }
}

impl<T: Scalar> Div for Extended<T> {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        Self::new(self.mantissa / other.mantissa).times_two_to(self.exponent.saturating_sub(other.exponent))
    }
}

/// Added in pairs at the scale of the largest one. No sum of numbers in range is lost by numbers out of it.
impl<T: Scalar> Sum for Extended<T> {
    fn sum<I: Iterator<Item = Self>>(numbers: I) -> Self {
        let numbers: Vec<Self> = numbers.collect();
        // Zero has no exponent, nor has what is not finite.
        let largest = numbers.iter().filter(|x| !x.is_zero()).map(|x| x.exponent).max().unwrap_or(0);
        let mut sum = Pairwise::new();
        numbers.iter().for_each(|x| sum.push(x.times_two_to(-largest).value()));
        Self::new(sum.total()).times_two_to(largest)
    }
}

/// For powers.
impl<T: Scalar> One for Extended<T> {
    fn one() -> Self {
        Self::new(T::one())
    }
}

/// The exponent `e` of `value = m·2^e` with `|m|` in `[1/2, 1)`; `None` for zero, infinities and NaN.
pub(crate) fn exponent<T: Scalar>(value: T) -> Option<i64> {
    if value == T::zero() || !value.is_finite() {
        return None;
    }
    let (mantissa, exponent, _) = value.integer_decode();
    Some(i64::from(exponent) + i64::from(u64::BITS - mantissa.leading_zeros()))
}

/// The smallest and the largest exponent of a matrix; `None` when no element has one.
pub(crate) fn exponents<T: Scalar>(matrix: &ArrayRef2<T>) -> Option<(i64, i64)> {
    // By comparisons alone, which are cheap.
    let (low, high) = matrix.iter().fold((T::infinity(), T::zero()), |(low, high), value| {
        let magnitude = value.abs();
        if magnitude > T::zero() && magnitude < T::infinity() {
            (if magnitude < low { magnitude } else { low }, if magnitude > high { magnitude } else { high })
        } else {
            (low, high)
        }
    });
    exponent(low).zip(exponent(high))
}

/// `2^±e` are normal for this `e`, and so are their halves; twice of it spans most of the range.
pub(crate) fn wide_exponent<T: Scalar>() -> i64 {
    i64::from(T::max_value().integer_decode().1) // 971 for f64, 104 for f32
}

/// `value · 2^exponent`, exact; rounded once where it is subnormal, infinite beyond the range.
pub(crate) fn times_two_to<T: Scalar>(value: T, exponent: i64) -> T {
    let wide = wide_exponent::<T>();
    if exponent == 0 {
        value
    } else if exponent.abs() < wide {
        // A normal number of both types, written by its exponent.
        value * T::from_f64_lossy(f64::from_bits(((1023 + exponent) as u64) << 52))
    } else {
        // Half of so large an exponent leaves a value that is exact, or one that ends as zero or infinity.
        let exponent = exponent.clamp(-3 * wide, 3 * wide);
        let half = exponent / 2;
        times_two_to(times_two_to(value, half), exponent - half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn keeps_every_number<T: Scalar>() {
        let smallest = T::min_positive_value() * T::epsilon(); // the smallest subnormal
        for value in [T::one(), -T::epsilon(), T::max_value(), T::min_positive_value(), smallest, T::zero()] {
            assert_eq!(Extended::new(value).value(), value);
            let there_and_back = Extended::new(value).times_two_to(5000).times_two_to(-5000);
            assert_eq!(there_and_back.value(), value);
            if let Some(e) = exponent(value) {
                let mantissa = times_two_to(value, -e).abs();
                assert!(mantissa >= T::from_f64_lossy(0.5) && mantissa < T::one());
            }
        }
        assert!(Extended::new(T::nan()).value().is_nan());
        assert_eq!(Extended::new(T::neg_infinity()).value(), T::neg_infinity());
    }

    #[test]
    fn every_number_is_kept_in_f32_and_f64() {
        keeps_every_number::<f32>();
        keeps_every_number::<f64>();
    }

    #[test]
    fn products_quotients_roots_and_powers_have_the_bits_of_plain_ones() {
        for (x, y) in [(0.1_f64, 0.3_f64), (-7.3, 1e100), (1e-150, -3e-120), (2.0, 0.7)] {
            let (a, b) = (Extended::new(x), Extended::new(y));
            assert_eq!((a * b).value(), x * y);
            assert_eq!((a / b).value(), x / y);
            assert_eq!((a * a).sqrt().value(), (x * x).sqrt());
            assert_eq!(num_traits::pow(a, 2).value(), num_traits::pow(x, 2));
        }
    }

    #[test]
    fn products_come_back_from_outside_of_the_range() {
        let (large, small) = (Extended::new(1e200_f64), Extended::new(1e-200_f64));
        let product = large * large * small * small;
        assert!((product.value() - 1.0).abs() < 1e-15);
        assert_eq!((large * large).value(), f64::INFINITY);
        assert_eq!((small * small).value(), 0.0);
        assert!(!(small * small).is_zero());
        assert!(((large * large).sqrt().value() / 1e200 - 1.0).abs() < 1e-15);
        assert_eq!((small.negated() * small * large * large).value().signum(), -1.0);
        let huge = num_traits::pow(large, usize::MAX / 2);
        assert_eq!(huge.value(), f64::INFINITY);
    }

    #[test]
    fn sums_are_made_at_the_scale_of_the_largest() {
        let large = Extended::new(1e200_f64) * Extended::new(1e200);
        let sum: Extended<f64> = [large, Extended::new(3.0), Extended::new(0.0), large.negated()].into_iter().sum();
        assert!(sum.is_zero()); // 3 is nothing beside the largest
        let small = Extended::new(1e-200_f64) * Extended::new(1e-200);
        let sum: Extended<f64> = [small, Extended::new(0.0), small].into_iter().sum();
        assert!(((sum * large).value() - 2.0).abs() < 1e-14);
        let thousand: Extended<f32> = std::iter::repeat_n(Extended::new(0.1_f32), 1000).sum();
        assert!((thousand.value() - 100.0).abs() < 1e-4);
        assert!([small].into_iter().skip(1).sum::<Extended<f64>>().is_zero());
        assert!([large, Extended::new(f64::NAN)].into_iter().sum::<Extended<f64>>().value().is_nan());
        let infinite = Extended::new(f64::INFINITY);
        assert_eq!([large, infinite].into_iter().sum::<Extended<f64>>().value(), f64::INFINITY);
    }

    #[test]
    fn a_subnormal_result_is_rounded_once() {
        // 1.5 and a bit, times the smallest subnormal: 2 of it, not 1 after a second rounding to even.
        assert_eq!((Extended::new(1.5 + 1e-10) * Extended::new(5e-324)).value(), 1e-323);
        assert_eq!(times_two_to(0.75_f32, -148), f32::from_bits(2));
    }

    #[test]
    fn exponents_are_those_of_finite_elements() {
        assert_eq!(exponents(&array![[0.0, 4.0], [f64::NAN, 0.5]]), Some((0, 3)));
        assert_eq!(exponents(&array![[0.0, f64::INFINITY]]), None);
    }
}
