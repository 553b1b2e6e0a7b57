//! Powers of two that bring a matrix into the range where a decomposition is right, and its results back.
//!
//! Squares of values beyond `2^±512` (`f64`) or `2^±64` (`f32`) leave the range of the type, and decompositions are
//! full of squares. Multiplying by a power of two is exact, so a matrix is scaled before and the results are scaled
//! back.

use ndarray::{ArrayView2, CowArray, Ix2};

use super::magnitude::largest_magnitude;
use crate::scalar::Scalar;
use crate::sums::{exponent, times_two_to};

/// `2^exponent`, which no type needs to be able to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PowerOfTwo(i32);

/// What has to stay within the range of the type while a matrix is decomposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Squares of values, of all but the smallest ones beside the largest.
    Squares,
    /// The values and their reciprocals. Large matrices are made only a little smaller, which leaves their small values
    /// what they are: a pivot must not become zero.
    Values,
}

/// A result of which the true one is `power` times as large (or what its maker says instead).
#[derive(Debug, Clone)]
pub(crate) struct Scaled<R> {
    pub(crate) result: R,
    pub(crate) power: PowerOfTwo,
}

impl PowerOfTwo {
    pub(crate) const ONE: Self = Self(0);

    /// The largest power of two up to `|x|`; one for zero and what is not finite.
    pub(crate) fn of<T: Scalar>(x: T) -> Self {
        // `exponent` takes the next larger power.
        exponent(x).map_or(Self::ONE, |next| Self(next as i32 - 1))
    }

    /// The power by which a matrix is to be divided; one in the normal range, so that nothing changes there.
    pub(crate) fn out_of_range<T: Scalar>(matrix: ArrayView2<'_, T>, keep: Keep) -> Self {
        Self::beyond(largest_magnitude(matrix), keep)
    }

    /// The same for a matrix of this largest magnitude.
    pub(super) fn beyond<T: Scalar>(largest: T, keep: Keep) -> Self {
        let (Self(size), Self(last)) = (Self::of(largest), Self::of(T::max_value()));
        let (low, high) = match keep {
            Keep::Squares => (-last / 4, last * 3 / 8),
            // Elimination may let values grow.
            Keep::Values => (-last / 4, last - 10),
        };
        if size < low { Self(size) } else { Self((size - high).max(0)) }
    }

    /// What a matrix with subnormal values is divided by to make them normal numbers, if its largest value allows.
    pub(super) fn of_subnormal<T: Scalar>(largest: T) -> Option<Self> {
        let (Self(size), Self(last), Self(digits)) =
            (Self::of(largest), Self::of(T::max_value()), Self::of(T::epsilon()));
        let power = digits - 12;
        (largest.is_finite() && size - power < last - 10).then_some(Self(power))
    }

    /// The least power with a whole square root that is not less than this one.
    pub(super) fn even(self) -> Self {
        Self(self.0 + self.0.rem_euclid(2))
    }

    /// The root of an [even](Self::even) power.
    pub(super) fn root(self) -> Self {
        Self(self.0 / 2)
    }

    /// The exponent.
    pub(crate) fn exponent(self) -> i64 {
        self.0.into()
    }

    /// One divided by this power.
    pub(crate) fn inverse(self) -> Self {
        Self(-self.0)
    }

    /// The product of two powers.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// The larger of two powers.
    pub(crate) fn max(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }

    /// `2^exponent·x`, exact; rounded once where it is subnormal, infinite beyond the range.
    pub(crate) fn times<T: Scalar>(self, x: T) -> T {
        times_two_to(x, self.exponent())
    }

    /// [`times`](Self::times) for all elements of a matrix; nothing is copied when the power is one.
    pub(crate) fn times_matrix<T: Scalar>(self, matrix: ArrayView2<'_, T>) -> CowArray<'_, T, Ix2> {
        if self == Self::ONE { matrix.into() } else { matrix.mapv(|x| self.times(x)).into() }
    }

    /// [`times`](Self::times) in place, for a matrix or a slice; nothing is touched when the power is one.
    pub(crate) fn scale<'v, T: Scalar>(self, values: impl IntoIterator<Item = &'v mut T>) {
        if self != Self::ONE {
            values.into_iter().for_each(|x| *x = self.times(*x));
        }
    }
}

/// The matrix divided by the power that [brings it into range](PowerOfTwo::out_of_range).
pub(super) fn into_range<T: Scalar>(matrix: ArrayView2<'_, T>, keep: Keep) -> Scaled<CowArray<'_, T, Ix2>> {
    let power = PowerOfTwo::out_of_range(matrix, keep);
    Scaled { result: power.inverse().times_matrix(matrix), power }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn powers_of_every_size<T: Scalar>(least: i32, last: i32) {
        let two = T::from_f64_lossy(2.0);
        let mut power = T::min_positive_value() * T::epsilon();
        for exponent in least..=last {
            assert_eq!(PowerOfTwo::of(power), PowerOfTwo(exponent));
            assert_eq!(PowerOfTwo::of(-power), PowerOfTwo(exponent));
            assert_eq!(PowerOfTwo(exponent).times(T::one()), power);
            if exponent > -last {
                assert_eq!(PowerOfTwo(-exponent).times(power), T::one());
            }
            power *= two;
        }
        assert_eq!(power, T::infinity());
        assert_eq!(PowerOfTwo(last + 1).times(T::one()), T::infinity());
        assert_eq!(PowerOfTwo(3 * last).times(-T::one()), T::neg_infinity());
        assert_eq!(PowerOfTwo(-3 * last).times(T::one()), T::zero());
        assert_eq!(PowerOfTwo(least - last).times(T::max_value()), T::min_positive_value() * T::epsilon() * two);
        for none in [T::zero(), T::nan(), T::infinity()] {
            assert_eq!(PowerOfTwo::of(none), PowerOfTwo::ONE);
        }
    }

    #[test]
    fn powers_of_every_size_in_f32_and_f64() {
        powers_of_every_size::<f32>(-149, 127);
        powers_of_every_size::<f64>(-1074, 1023);
    }

    #[test]
    fn the_normal_range_is_left_alone() {
        for largest in [1.0_f64, 1e-70, 1e100] {
            for keep in [Keep::Squares, Keep::Values] {
                assert_eq!(PowerOfTwo::beyond(largest, keep), PowerOfTwo::ONE);
            }
        }
        assert_eq!(PowerOfTwo::beyond(1e200, Keep::Values), PowerOfTwo::ONE);
        assert_eq!(PowerOfTwo::beyond(2.0_f64.powi(400), Keep::Squares), PowerOfTwo(400 - 383));
        assert_eq!(PowerOfTwo::beyond(2.0_f64.powi(-300), Keep::Squares), PowerOfTwo(-300));
    }

    #[test]
    fn a_matrix_comes_into_range_and_back() {
        let matrix = array![[3.0e300, -4.0e295], [0.0, 1.0e290]];
        let Scaled { mut result, power } = into_range(matrix.view(), Keep::Squares);
        assert!(result[[0, 0]] < 1e116 && result[[0, 0]] > 1e115);
        result.mapv_inplace(|x| power.times(x));
        assert_eq!(result, matrix);
        for odd in [-7, 7] {
            let even = PowerOfTwo(odd).even();
            assert_eq!(even, PowerOfTwo(odd + 1));
            assert_eq!(even.root().and(even.root()), even);
        }
    }
}
