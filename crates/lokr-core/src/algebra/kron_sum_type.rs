//! What is expected of a type, for the Kronecker sum: taken apart, owned, compared, printed, multiplied by a number,
//! cast.

use std::fmt::{self, Debug, Display, Formatter};
use std::ops::{Mul, Neg};

use super::kron_sum::KronSum;
use crate::operator::Factor;
use crate::scalar::Scalar;

impl<'a, T: Scalar> KronSum<'a, T> {
    /// The two factors back, `(A, B)`, as they came in: what was owned stays owned, what was borrowed stays borrowed.
    /// Nothing is copied.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// let (a, b) = (array![[1.0]], array![[2.0]]);
    /// let parts = KronSum::new(&a, &b)?.into_parts();
    /// assert_eq!(parts, ((&a).into(), (&b).into()));
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn into_parts(self) -> (Factor<'a, T>, Factor<'a, T>) {
        (self.a, self.b)
    }

    /// The same sum, borrowed from this one.
    #[must_use]
    pub fn view(&self) -> KronSum<'_, T> {
        KronSum { a: self.a.view(), b: self.b.view() }
    }

    /// The same sum with factors of its own, free of the borrow.
    #[must_use]
    pub fn into_owned(self) -> KronSum<'static, T> {
        KronSum { a: self.a.into_owned(), b: self.b.into_owned() }
    }

    /// `s·(A ⊕ B) = s·A ⊕ s·B`, factor by factor as [`Factor::scaled`].
    ///
    /// The operators `k * s`, `s * k` and `-k` do the same, and take over what an owned `k` holds.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// let sum = KronSum::new(array![[1.0, 2.0], [3.0, 4.0]], array![[10.0]])?;
    /// assert_eq!(sum.scaled(2.0).to_dense(), array![[22.0, 4.0], [6.0, 28.0]]);
    /// assert_eq!((-sum).to_dense(), array![[-11.0, -2.0], [-3.0, -14.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn scaled(&self, s: T) -> KronSum<'_, T> {
        KronSum { a: self.a.scaled(s), b: self.b.scaled(s) }
    }

    /// The same sum in another element type, factor by factor as [`Factor::cast`], in memory of its own.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// let sum = KronSum::new(array![[1.0_f32]], array![[0.5_f32]])?.cast::<f64>();
    /// assert_eq!(sum.to_dense(), array![[1.5_f64]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn cast<U: Scalar>(&self) -> KronSum<'static, U> {
        KronSum { a: self.a.cast(), b: self.b.cast() }
    }
}

/// `k * s`: see [`KronSum::scaled`]. What is owned is multiplied in place.
impl<T: Scalar> Mul<T> for KronSum<'_, T> {
    type Output = Self;

    fn mul(self, s: T) -> Self {
        Self { a: self.a * s, b: self.b * s }
    }
}

/// `&k * s`: see [`KronSum::scaled`].
impl<'k, T: Scalar> Mul<T> for &'k KronSum<'_, T> {
    type Output = KronSum<'k, T>;

    fn mul(self, s: T) -> KronSum<'k, T> {
        self.scaled(s)
    }
}

/// `s * k` and `s * &k`, for each of the two element types.
macro_rules! number_times_sum {
    ($($number:ty),*) => {$(
        /// `s * k`: see [`KronSum::scaled`]. What is owned is multiplied in place.
        impl<'a> Mul<KronSum<'a, $number>> for $number {
            type Output = KronSum<'a, $number>;

            fn mul(self, k: KronSum<'a, $number>) -> KronSum<'a, $number> {
                k * self
            }
        }

        /// `s * &k`: see [`KronSum::scaled`].
        impl<'k> Mul<&'k KronSum<'_, $number>> for $number {
            type Output = KronSum<'k, $number>;

            fn mul(self, k: &'k KronSum<'_, $number>) -> KronSum<'k, $number> {
                k.scaled(self)
            }
        }
    )*};
}

number_times_sum!(f32, f64);

/// Both factors are negated, in place when owned.
impl<T: Scalar> Neg for KronSum<'_, T> {
    type Output = Self;

    fn neg(self) -> Self {
        self * -T::one()
    }
}

/// Both factors are negated.
impl<'k, T: Scalar> Neg for &'k KronSum<'_, T> {
    type Output = KronSum<'k, T>;

    fn neg(self) -> KronSum<'k, T> {
        self.scaled(-T::one())
    }
}

/// The factors are equal.
impl<'b, T: PartialEq> PartialEq<KronSum<'b, T>> for KronSum<'_, T> {
    fn eq(&self, other: &KronSum<'b, T>) -> bool {
        self.a == other.a && self.b == other.b
    }
}

/// The shapes and first values of its factors.
impl<T: Debug> Debug for KronSum<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("KronSum(")?;
        self.a.fmt(f)?;
        f.write_str(" ⊕ ")?;
        self.b.fmt(f)?;
        f.write_str(")")
    }
}

/// The shapes, then a line of values for each factor. A precision, as in `{:.2}`, goes to the values.
///
/// # Examples
/// ```
/// # use lokr_core::KronSum;
/// # use ndarray::array;
/// let sum = KronSum::new(array![[1.0, 2.0], [3.0, 4.0]], array![[10.0]])?;
/// let text = "(2, 2) = (2, 2) ⊕ (1, 1)\nA = (2, 2) [[1.0, 2.0], [3.0, 4.0]]\nB = (1, 1) [[10.0]]";
/// assert_eq!(sum.to_string(), text);
/// # Ok::<(), lokr_core::KronError>(())
/// ```
impl<T: Scalar> Display for KronSum<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (side, ((m, n), (p, q))) = (self.dim().0, (self.a.dim(), self.b.dim()));
        write!(f, "({side}, {side}) = ({m}, {n}) ⊕ ({p}, {q})\nA = ")?;
        Display::fmt(&self.a, f)?;
        f.write_str("\nB = ")?;
        Display::fmt(&self.b, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::all_close;
    use lokr_testing::matrix;

    fn scaled_and_cast<T: Scalar>(scales: [f64; 3]) {
        let (a, b) = (matrix::<T>(3, 3, 1), Factor::low_rank(matrix::<T>(5, 2, 2), matrix(2, 5, 3)).unwrap());
        let sum = KronSum::new(&a, b).unwrap();
        let dense = sum.to_dense();
        for s in scales.map(|scale| T::from_f64_lossy(scale * 0.75)) {
            let close = |found: KronSum<'_, T>, sign: T| {
                all_close(&(found.to_dense() / s), &(&dense * sign), T::from_f64_lossy(8.0));
            };
            close(&sum * s, T::one());
            close(sum.clone() * s, T::one());
            close(-(sum.view() * s), -T::one());
            close(-&sum * s, -T::one());
        }
        assert_eq!(sum.cast::<f64>().cast::<T>(), sum);
        assert_eq!(sum.clone().into_owned(), sum);
        let (first, second) = sum.into_parts();
        assert!(matches!(first, Factor::Full(matrix) if matrix.is_view()));
        assert_eq!(second.rank_bound(), 2);
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_sum_at_every_scale() {
        scaled_and_cast::<f32>([1.0, 1e-30, 1e30]);
        scaled_and_cast::<f64>([1.0, 1e-200, 1e200]);
    }

    #[test]
    fn debug_is_short() {
        let sum = KronSum::new(ndarray::array![[1.0]], ndarray::array![[2.0]]).unwrap();
        assert_eq!(format!("{:?}", 2.0 * sum), "KronSum(Full((1, 1) [[2.0]]) ⊕ Full((1, 1) [[4.0]]))");
        let sum = KronSum::new(matrix::<f32>(300, 300, 1), matrix(300, 300, 2)).unwrap();
        assert!(format!("{sum:?} {sum}").len() < 2000);
    }
}
