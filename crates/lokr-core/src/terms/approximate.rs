//! Sums of products compared within a tolerance, by the traits of `approx`, element by element.

use approx::{AbsDiffEq, RelativeEq, UlpsEq};

use super::kron_terms::KronTerms;
use crate::operator::agree;
use crate::scalar::Scalar;

fn compare<T: Scalar>(x: &KronTerms<'_, T>, y: &KronTerms<'_, T>, same: impl Fn(&T, &T) -> bool) -> bool {
    agree(x.dim(), y.dim(), |i, j| Ok((x.element(i, j)?, y.element(i, j)?)), same)
}

/// The elements of the sums, whatever their terms are.
///
/// # Examples
/// ```
/// # use lokr_core::{Kron, KronTerms};
/// # use ndarray::array;
/// let k = Kron::new(array![[1.0, 2.0]], array![[3.0], [4.0]])?;
/// approx::assert_abs_diff_eq!((&k + &k * 0.5)?, KronTerms::new([(1.5, k.view())])?);
/// # Ok::<(), lokr_core::KronError>(())
/// ```
impl<'b, T: Scalar + AbsDiffEq<Epsilon = T>> AbsDiffEq<KronTerms<'b, T>> for KronTerms<'_, T> {
    type Epsilon = T;

    fn default_epsilon() -> T {
        T::default_epsilon()
    }

    fn abs_diff_eq(&self, other: &KronTerms<'b, T>, epsilon: T) -> bool {
        compare(self, other, |x, y| x.abs_diff_eq(y, epsilon))
    }
}

/// Element by element, relative to the larger of both.
impl<'b, T: Scalar + RelativeEq<Epsilon = T>> RelativeEq<KronTerms<'b, T>> for KronTerms<'_, T> {
    fn default_max_relative() -> T {
        T::default_max_relative()
    }

    fn relative_eq(&self, other: &KronTerms<'b, T>, epsilon: T, max_relative: T) -> bool {
        compare(self, other, |x, y| x.relative_eq(y, epsilon, max_relative))
    }
}

/// Element by element, in units of the last place.
impl<'b, T: Scalar + UlpsEq<Epsilon = T>> UlpsEq<KronTerms<'b, T>> for KronTerms<'_, T> {
    fn default_max_ulps() -> u32 {
        T::default_max_ulps()
    }

    fn ulps_eq(&self, other: &KronTerms<'b, T>, epsilon: T, max_ulps: u32) -> bool {
        compare(self, other, |x, y| x.ulps_eq(y, epsilon, max_ulps))
    }
}

#[cfg(test)]
mod tests {
    use crate::terms::test_sums::sums;
    use approx::{abs_diff_eq, relative_eq, ulps_eq};

    #[test]
    fn one_element_decides() {
        let (sum, _) = sums::<f32>().swap_remove(4);
        assert!(abs_diff_eq!(sum, sum.view()) && relative_eq!(sum, sum.view()) && ulps_eq!(sum, sum.view()));
        let mut other = sum.clone();
        other.weights_mut()[2] += 1e-3;
        assert!(!abs_diff_eq!(sum, other) && abs_diff_eq!(sum, other, epsilon = 2e-3) && !ulps_eq!(sum, other));
        assert!(!abs_diff_eq!(sum, sum.transposed(), epsilon = 1e9) || sum.is_square());
    }
}
