//! What is expected of a type, for the Kronecker sum: taken apart, owned, compared, printed, multiplied by a number,
//! cast.

use std::fmt::{self, Debug, Display, Formatter};
use std::ops::{Mul, Neg};

use super::sum::KronSum;
use crate::operator::Factor;
use crate::scalar::Scalar;

impl<'a, T: Scalar> KronSum<'a, T> {
    /// The summands back, the outermost first, as they came in: what was owned stays owned, what was borrowed stays
    /// borrowed. Nothing is copied.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// let (a, b) = (array![[1.0]], array![[2.0]]);
    /// let parts = KronSum::new(&a, &b)?.into_parts();
    /// assert_eq!(parts, [(&a).into(), (&b).into()]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn into_parts(self) -> Vec<Factor<'a, T>> {
        self.factors
    }

    /// The same sum, borrowed from this one.
    #[must_use]
    pub fn view(&self) -> KronSum<'_, T> {
        self.map(Factor::view)
    }

    /// The same sum with factors of its own, free of the borrow.
    #[must_use]
    pub fn into_owned(self) -> KronSum<'static, T> {
        KronSum { side: self.side, factors: self.factors.into_iter().map(Factor::into_owned).collect() }
    }

    /// The transpose, `(A ⊕ B)ᵀ = Aᵀ ⊕ Bᵀ`, borrowed from this one.
    #[must_use]
    pub fn transposed(&self) -> KronSum<'_, T> {
        self.map(Factor::transposed)
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
        self.map(|factor| factor.scaled(s))
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
        self.map(Factor::cast)
    }

    fn map<'s, 'b, U: Scalar>(&'s self, factor: impl Fn(&'s Factor<'a, T>) -> Factor<'b, U>) -> KronSum<'b, U> {
        KronSum { side: self.side, factors: self.factors.iter().map(factor).collect() }
    }
}

/// `k * s`: see [`KronSum::scaled`]. What is owned is multiplied in place.
impl<T: Scalar> Mul<T> for KronSum<'_, T> {
    type Output = Self;

    fn mul(self, s: T) -> Self {
        Self { side: self.side, factors: self.factors.into_iter().map(|factor| factor * s).collect() }
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

/// All factors are negated, in place when owned.
impl<T: Scalar> Neg for KronSum<'_, T> {
    type Output = Self;

    fn neg(self) -> Self {
        self * -T::one()
    }
}

/// All factors are negated.
impl<'k, T: Scalar> Neg for &'k KronSum<'_, T> {
    type Output = KronSum<'k, T>;

    fn neg(self) -> KronSum<'k, T> {
        self.scaled(-T::one())
    }
}

/// The factors are equal, and as many.
impl<'b, T: PartialEq> PartialEq<KronSum<'b, T>> for KronSum<'_, T> {
    fn eq(&self, other: &KronSum<'b, T>) -> bool {
        self.factors == other.factors
    }
}

/// So many factors are printed.
const SHOWN: usize = 4;

/// ` ⊕ … (7 more)`, if so many factors are not printed.
fn more(f: &mut Formatter<'_>, factors: usize) -> fmt::Result {
    match factors.saturating_sub(SHOWN) {
        0 => Ok(()),
        more => write!(f, " ⊕ … ({more} more)"),
    }
}

/// The shapes and first values of its factors, or of the first of them.
impl<T: Debug> Debug for KronSum<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("KronSum(")?;
        for (index, factor) in self.factors.iter().take(SHOWN).enumerate() {
            f.write_str(if index == 0 { "" } else { " ⊕ " })?;
            factor.fmt(f)?;
        }
        more(f, self.factors.len())?;
        f.write_str(")")
    }
}

/// The shapes, then a line of values for each of the first factors. A precision, as in `{:.2}`, goes to the values.
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
        write!(f, "({side}, {side}) =", side = self.side)?;
        for (index, factor) in self.factors.iter().take(SHOWN).enumerate() {
            let (rows, cols) = factor.dim();
            write!(f, "{} ({rows}, {cols})", if index == 0 { "" } else { " ⊕" })?;
        }
        more(f, self.factors.len())?;
        for (name, factor) in self.named().take(SHOWN) {
            write!(f, "\n{name} = ")?;
            Display::fmt(factor, f)?;
        }
        f.write_str(if self.factors.len() > SHOWN { "\n…" } else { "" })
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
        let parts = sum.into_parts();
        assert!(matches!(&parts[0], Factor::Full(matrix) if matrix.is_view()));
        assert_eq!(parts[1].rank_bound(), 2);
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
        let many = KronSum::from_factors(vec![matrix::<f32>(2, 2, 1); 30]).unwrap();
        assert!(format!("{many:?} {many}").len() < 2000);
        assert!(many.to_string().contains("⊕ … (26 more)\nA₁ = (2, 2) "));
    }
}
