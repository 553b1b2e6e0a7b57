//! Kronecker sums compared within a tolerance, by the traits of `approx`, element by element.

use approx::{AbsDiffEq, RelativeEq, UlpsEq};

use super::sum::KronSum;
use crate::operator::agree;
use crate::scalar::Scalar;

fn compare<T: Scalar>(x: &KronSum<'_, T>, y: &KronSum<'_, T>, same: impl Fn(&T, &T) -> bool) -> bool {
    agree(x.dim(), y.dim(), |i, j| Ok((x.element(i, j)?, y.element(i, j)?)), same)
}

/// The elements of the sums, whatever they are sums of.
///
/// # Examples
/// ```
/// # use lokr_core::KronSum;
/// # use ndarray::array;
/// let sum = KronSum::new(array![[1.0, 2.0], [3.0, 4.0]], array![[10.0]])?;
/// approx::assert_abs_diff_eq!(sum, KronSum::new(array![[6.0, 2.0], [3.0, 9.0]], array![[5.0]])?);
/// # Ok::<(), lokr_core::KronError>(())
/// ```
impl<'b, T: Scalar + AbsDiffEq<Epsilon = T>> AbsDiffEq<KronSum<'b, T>> for KronSum<'_, T> {
    type Epsilon = T;

    fn default_epsilon() -> T {
        T::default_epsilon()
    }

    fn abs_diff_eq(&self, other: &KronSum<'b, T>, epsilon: T) -> bool {
        compare(self, other, |x, y| x.abs_diff_eq(y, epsilon))
    }
}

/// Element by element, relative to the larger of both.
impl<'b, T: Scalar + RelativeEq<Epsilon = T>> RelativeEq<KronSum<'b, T>> for KronSum<'_, T> {
    fn default_max_relative() -> T {
        T::default_max_relative()
    }

    fn relative_eq(&self, other: &KronSum<'b, T>, epsilon: T, max_relative: T) -> bool {
        compare(self, other, |x, y| x.relative_eq(y, epsilon, max_relative))
    }
}

/// Element by element, in units of the last place.
impl<'b, T: Scalar + UlpsEq<Epsilon = T>> UlpsEq<KronSum<'b, T>> for KronSum<'_, T> {
    fn default_max_ulps() -> u32 {
        T::default_max_ulps()
    }

    fn ulps_eq(&self, other: &KronSum<'b, T>, epsilon: T, max_ulps: u32) -> bool {
        compare(self, other, |x, y| x.ulps_eq(y, epsilon, max_ulps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::{abs_diff_eq, relative_eq, ulps_eq};
    use lokr_testing::matrix;

    #[test]
    fn one_element_decides() {
        let sum = KronSum::new(matrix::<f32>(2, 2, 1), matrix(3, 3, 2)).unwrap();
        assert!(abs_diff_eq!(sum, sum.view()) && relative_eq!(sum, sum.view()) && ulps_eq!(sum, sum.view()));
        let mut b = matrix::<f32>(3, 3, 2);
        b[[2, 0]] += 1e-3;
        let other = KronSum::new(matrix(2, 2, 1), b).unwrap();
        assert!(!abs_diff_eq!(sum, other) && abs_diff_eq!(sum, other, epsilon = 2e-3) && !ulps_eq!(sum, other));
        assert!(!abs_diff_eq!(sum, KronSum::new(matrix(2, 2, 1), matrix(2, 2, 2)).unwrap(), epsilon = 1e9));
    }
}
