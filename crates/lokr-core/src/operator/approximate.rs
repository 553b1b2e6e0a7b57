//! Comparison within a tolerance, by the traits of `approx`: of the matrices that operators stand for, element by
//! element.
//!
//! So `2·A ⊗ B` and `A ⊗ 2·B` are equal here, which they are not for `==`, and so are products of factors of other
//! shapes, and low-rank factors and those multiplied out. Nothing of the size of the product is held. Shapes that
//! differ are not equal.

use approx::{AbsDiffEq, RelativeEq, UlpsEq};

use super::chain::KronChain;
use super::factor::Factor;
use super::factor_list::FactorList;
use super::kron::{Kron, KronBase};
use crate::error::Result;
use crate::scalar::Scalar;

/// The three traits, by a method `compare` that takes a comparison of elements.
macro_rules! approximate {
    ($($operator:ident: $example:literal),*) => {$(
        #[doc = $example]
        impl<'b, T> AbsDiffEq<$operator<'b, T>> for $operator<'_, T>
        where
            T: Scalar + AbsDiffEq<Epsilon = T>,
        {
            type Epsilon = T;

            fn default_epsilon() -> T {
                T::default_epsilon()
            }

            fn abs_diff_eq(&self, other: &$operator<'b, T>, epsilon: T) -> bool {
                compare::$operator(self, other, |x, y| x.abs_diff_eq(y, epsilon))
            }
        }

        /// Element by element, relative to the larger of both.
        impl<'b, T> RelativeEq<$operator<'b, T>> for $operator<'_, T>
        where
            T: Scalar + RelativeEq<Epsilon = T>,
        {
            fn default_max_relative() -> T {
                T::default_max_relative()
            }

            fn relative_eq(&self, other: &$operator<'b, T>, epsilon: T, max_relative: T) -> bool {
                compare::$operator(self, other, |x, y| x.relative_eq(y, epsilon, max_relative))
            }
        }

        /// Element by element, in units of the last place.
        impl<'b, T> UlpsEq<$operator<'b, T>> for $operator<'_, T>
        where
            T: Scalar + UlpsEq<Epsilon = T>,
        {
            fn default_max_ulps() -> u32 {
                T::default_max_ulps()
            }

            fn ulps_eq(&self, other: &$operator<'b, T>, epsilon: T, max_ulps: u32) -> bool {
                compare::$operator(self, other, |x, y| x.ulps_eq(y, epsilon, max_ulps))
            }
        }
    )*};
}

approximate!(
    Factor: "
The elements of the matrices, a low-rank one multiplied out.

# Examples
```
# use lokr_core::Factor;
# use ndarray::array;
let low = Factor::low_rank(array![[1.0], [2.0]], array![[3.0, 4.0]])?;
approx::assert_abs_diff_eq!(low, Factor::from(array![[3.0, 4.0], [6.0, 8.0 + 1e-12]]), epsilon = 1e-11);
# Ok::<(), lokr_core::KronError>(())
```",
    Kron: "
The elements of the products, whatever they are products of.

# Examples
```
# use lokr_core::Kron;
# use ndarray::array;
let (a, b) = (array![[1.0, 2.0]], array![[3.0], [4.0]]);
let k = Kron::new(&a * 2.0, &b)?;
approx::assert_abs_diff_eq!(k, Kron::new(&a, &b * 2.0)?);
approx::assert_relative_eq!(k, &k * (1.0 + 1e-10), max_relative = 1e-9);
# Ok::<(), lokr_core::KronError>(())
```",
    KronChain: "
The elements of the products, whatever they are products of.

# Examples
```
# use lokr_core::KronChain;
# use ndarray::array;
let chain = KronChain::new([array![[1.0, 2.0]], array![[3.0]]])?;
approx::assert_ulps_eq!(chain, KronChain::new([array![[3.0]], array![[1.0, 2.0]]])?);
# Ok::<(), lokr_core::KronError>(())
```"
);

/// How each operator is walked, by its name.
#[allow(non_snake_case)]
mod compare {
    use super::*;

    pub(super) fn Factor<T: Scalar>(x: &Factor<'_, T>, y: &Factor<'_, T>, same: impl Fn(&T, &T) -> bool) -> bool {
        let (x, y) = (x.dense(), y.dense());
        x.dim() == y.dim() && x.iter().zip(&y).all(|(x, y)| same(x, y))
    }

    pub(super) fn Kron<T: Scalar>(x: &Kron<'_, T>, y: &Kron<'_, T>, same: impl Fn(&T, &T) -> bool) -> bool {
        products(x, y, same)
    }

    pub(super) fn KronChain<T: Scalar>(
        x: &KronChain<'_, T>,
        y: &KronChain<'_, T>,
        same: impl Fn(&T, &T) -> bool,
    ) -> bool {
        products(x, y, same)
    }

    fn products<T: Scalar, L: FactorList<Elem = T>>(
        x: &KronBase<L>,
        y: &KronBase<impl FactorList<Elem = T>>,
        same: impl Fn(&T, &T) -> bool,
    ) -> bool {
        // Every element of a low-rank factor is asked for often.
        let (x, y) = (x.map(|factor| Factor::from(factor.dense())), y.map(|factor| Factor::from(factor.dense())));
        agree(x.dim(), y.dim(), |i, j| Ok((x.element(i, j)?, y.element(i, j)?)), same)
    }
}

/// Whether two operators have one shape and the same elements.
pub(crate) fn agree<T: Scalar>(
    left: (usize, usize),
    right: (usize, usize),
    elements: impl Fn(usize, usize) -> Result<(T, T)>,
    same: impl Fn(&T, &T) -> bool,
) -> bool {
    let agree = |i, j| elements(i, j).is_ok_and(|(x, y)| same(&x, &y));
    left == right && (0..left.0).all(|i| (0..left.1).all(|j| agree(i, j)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{cases, chains, kron_of};
    use approx::{abs_diff_eq, relative_eq, ulps_eq};

    fn one_element_decides<T: Scalar + RelativeEq<Epsilon = T> + UlpsEq<Epsilon = T>>() {
        let slightly = T::one() + T::from_f64_lossy(1e-3);
        for (k, dense) in cases::<T>(&[(1, 1, 1, 1), (2, 3, 5, 7)]) {
            let (two, half) = (T::from_f64_lossy(2.0), T::from_f64_lossy(0.5));
            let other = Kron::new(k.a() * half, k.b() * two).unwrap();
            assert!(abs_diff_eq!(k, other) && relative_eq!(k, other) && ulps_eq!(k, other));
            assert!(abs_diff_eq!(Factor::from(k.to_dense()), Factor::from(&dense), epsilon = T::from_f64_lossy(1e-5)));
            let mut other = k.clone();
            // One value of the last part: a whole row or column of B where that is low-rank.
            other.parts_mut().last().into_iter().for_each(|mut last| last[[0, 0]] *= slightly);
            assert!(!relative_eq!(k, other, epsilon = T::zero()) && !ulps_eq!(k, other, epsilon = T::zero()));
            assert!(relative_eq!(k.a(), other.a()));
        }
        for (chain, _) in chains::<T>() {
            assert!(abs_diff_eq!(chain, chain.view()) && relative_eq!(chain, chain.view()));
            assert!(!relative_eq!(chain, &chain * slightly, epsilon = T::zero()));
            assert!(relative_eq!(chain, &chain * slightly, max_relative = T::from_f64_lossy(1e-2)));
        }
    }

    #[test]
    fn f32_and_f64_see_one_element_that_differs() {
        one_element_decides::<f32>();
        one_element_decides::<f64>();
    }

    #[test]
    fn shapes_count_and_nan_is_equal_to_nothing() {
        let (k, other) = (kron_of::<f64>(2, 3, 5, 7), kron_of::<f64>(3, 2, 5, 7));
        assert!(!abs_diff_eq!(k, other, epsilon = 1e9));
        let nan = &k * f64::NAN;
        assert!(!abs_diff_eq!(nan, nan.clone(), epsilon = 1e9));
    }
}
