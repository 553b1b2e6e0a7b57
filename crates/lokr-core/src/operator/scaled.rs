//! Multiplication by a number, and negation: of one stored matrix, so that a product stays a product.

use std::ops::{Mul, Neg};

use ndarray::{CowArray, Ix2};

use super::chain::KronChain;
use super::factor::Factor;
use super::factor_list::FactorList;
use super::kron::{Kron, KronBase};
use crate::scalar::Scalar;

impl<'a, T: Scalar> Factor<'a, T> {
    /// `s` times this factor, in memory of its own where it changes: of a low-rank factor that is one half, the smaller
    /// one unless its values would leave the number range. The rest is borrowed.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::Factor;
    /// # use ndarray::array;
    /// let b = Factor::low_rank(array![[1.0], [2.0]], array![[3.0, 4.0]])?;
    /// assert_eq!(b.scaled(2.0).to_dense(), array![[6.0, 8.0], [12.0, 16.0]]);
    /// assert_eq!(b.scaled(2.0).parameter_count(), 4);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn scaled(&self, s: T) -> Factor<'_, T> {
        let mut scaled = self.view();
        scaled.scale(s);
        scaled
    }

    fn scale(&mut self, s: T) {
        scale_one(self.stored(), s);
    }

    /// The stored matrices, to be replaced by others of the same shapes.
    fn stored(&mut self) -> Vec<&mut CowArray<'a, T, Ix2>> {
        match self {
            Self::Full(matrix) => vec![matrix],
            Self::LowRank(low) => vec![&mut low.left, &mut low.right],
        }
    }
}

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// `s` times this product, as a product: one stored matrix is multiplied, the smallest unless its values would
    /// leave the number range, and in memory of its own then. The others are borrowed from this one.
    ///
    /// The operators `k * s` and `-k` do the same, and take over what an owned `k` holds.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[2.0]], array![[1.0, 3.0]])?;
    /// assert_eq!(k.scaled(10.0).to_dense(), array![[20.0, 60.0]]);
    /// assert_eq!((&k * 10.0).a().to_dense(), array![[20.0]]); // the smaller factor
    /// assert_eq!((0.5_f64 * k).to_dense(), array![[1.0, 3.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn scaled(&self, s: T) -> KronBase<L::Like<'_, T>> {
        let mut scaled = self.view();
        scaled.scale(s);
        scaled
    }

    fn scale(&mut self, s: T) {
        self.factors.change(|factors| scale_one(factors.iter_mut().flat_map(Factor::stored).collect(), s));
    }
}

/// Multiplies the smallest matrix whose largest value stays a normal number, else the smallest of all.
fn scale_one<T: Scalar>(mut matrices: Vec<&mut CowArray<'_, T, Ix2>>, s: T) {
    matrices.sort_by_key(|matrix| matrix.len());
    let stays_normal = |matrix: &&mut CowArray<'_, T, Ix2>| {
        let largest = matrix.iter().fold(T::zero(), |largest, value| largest.max(value.abs()));
        largest == T::zero() || (largest * s).is_normal()
    };
    // One is normal already: a sign, or nothing at all, changes no magnitude.
    let chosen = if s.abs() == T::one() { 0 } else { matrices.iter().position(stays_normal).unwrap_or(0) };
    if let Some(matrix) = matrices.into_iter().nth(chosen) {
        matrix.mapv_inplace(|value| value * s);
    }
}

/// The operators of an owned and a borrowed operator, on either side of a number.
macro_rules! scalar_operators {
    ($($operator:ident),*) => {$(
        /// `k * s`: see `scaled`. What is owned is multiplied in place.
        impl<T: Scalar> Mul<T> for $operator<'_, T> {
            type Output = Self;

            fn mul(mut self, s: T) -> Self {
                self.scale(s);
                self
            }
        }

        /// `&k * s`: see `scaled`.
        impl<'k, T: Scalar> Mul<T> for &'k $operator<'_, T> {
            type Output = $operator<'k, T>;

            fn mul(self, s: T) -> $operator<'k, T> {
                self.scaled(s)
            }
        }

        /// `s * k`: see `scaled`. What is owned is multiplied in place.
        impl<'a> Mul<$operator<'a, f32>> for f32 {
            type Output = $operator<'a, f32>;

            fn mul(self, k: $operator<'a, f32>) -> $operator<'a, f32> {
                k * self
            }
        }

        /// `s * k`: see `scaled`. What is owned is multiplied in place.
        impl<'a> Mul<$operator<'a, f64>> for f64 {
            type Output = $operator<'a, f64>;

            fn mul(self, k: $operator<'a, f64>) -> $operator<'a, f64> {
                k * self
            }
        }

        /// `s * &k`: see `scaled`.
        impl<'k> Mul<&'k $operator<'_, f32>> for f32 {
            type Output = $operator<'k, f32>;

            fn mul(self, k: &'k $operator<'_, f32>) -> $operator<'k, f32> {
                k.scaled(self)
            }
        }

        /// `s * &k`: see `scaled`.
        impl<'k> Mul<&'k $operator<'_, f64>> for f64 {
            type Output = $operator<'k, f64>;

            fn mul(self, k: &'k $operator<'_, f64>) -> $operator<'k, f64> {
                k.scaled(self)
            }
        }

        /// `-k`: the smallest stored matrix is negated, in place when owned.
        impl<T: Scalar> Neg for $operator<'_, T> {
            type Output = Self;

            fn neg(self) -> Self {
                self * -T::one()
            }
        }

        /// `-&k`: the smallest stored matrix is negated, the others are borrowed.
        impl<'k, T: Scalar> Neg for &'k $operator<'_, T> {
            type Output = $operator<'k, T>;

            fn neg(self) -> $operator<'k, T> {
                self.scaled(-T::one())
            }
        }
    )*};
}

scalar_operators!(Factor, Kron, KronChain);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{all_close, cases};
    use lokr_testing::matrix;
    use ndarray::{Array2, array};

    fn agrees_with_the_dense_product<T: Scalar>(scales: [f64; 3]) {
        for (k, dense) in cases::<T>(&[(1, 1, 1, 1), (2, 3, 5, 7), (7, 1, 2, 3)]) {
            for scale in scales {
                let s = T::from_f64_lossy(scale * 0.75);
                let close = |found: Kron<'_, T>, sign: T| {
                    all_close(&(found.to_dense() / s), &(&dense * sign), T::from_f64_lossy(8.0));
                };
                close(k.scaled(s), T::one());
                close(&k * s, T::one());
                close(k.clone() * s, T::one());
                close(k.view() * s, T::one());
                close(-(&k * s), -T::one());
                close(-&k * s, -T::one());
                assert_eq!((&k * s).parameter_count(), k.parameter_count());
            }
            assert_eq!((-&k).to_dense(), -k.to_dense());
            all_close(
                &(k.a() * T::from_f64_lossy(4.0)).to_dense(),
                &(k.a().to_dense() * T::from_f64_lossy(4.0)),
                T::one(),
            );
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_product_at_every_scale() {
        agrees_with_the_dense_product::<f32>([1.0, 1e-30, 1e30]);
        agrees_with_the_dense_product::<f64>([1.0, 1e-200, 1e200]);
    }

    #[test]
    fn only_the_smallest_matrix_is_touched_and_in_place_when_owned() {
        let (small, large) = (matrix::<f64>(2, 1, 1), matrix::<f64>(3, 5, 2));
        let k = Kron::new(&large, &small).unwrap() * 2.0;
        assert!(matches!(k.a(), Factor::Full(matrix) if matrix.is_view()));
        assert!(matches!(k.b(), Factor::Full(matrix) if matrix.is_owned()));
        let address = small.as_ptr();
        let k = 2.0 * Kron::new(&large, small).unwrap();
        assert!(matches!(k.b(), Factor::Full(matrix) if matrix.as_ptr() == address));
        let chain = 2.0 * KronChain::power(&large, 3).unwrap();
        assert_eq!(
            chain.factors().iter().filter(|f| matches!(f, Factor::Full(matrix) if matrix.is_owned())).count(),
            1
        );
    }

    /// `1e200 ⊗ 1e-200` is 1, and 1e150 times it a number, though `1e200·1e150` is none.
    #[test]
    fn the_factor_that_can_take_the_number_takes_it() {
        let k = Kron::new(array![[1e200, 1e200]], array![[1e-200], [1e-200], [1e-200]]).unwrap();
        let dense = (&k * 1e150).to_dense();
        assert!(dense.iter().all(|&value: &f64| (value / 1e150 - 1.0).abs() < 1e-15), "{dense}");
        let dense = (&k.transposed() * 1e-150).to_dense();
        assert!(dense.iter().all(|&value: &f64| (value * 1e150 - 1.0).abs() < 1e-15), "{dense}");
    }

    #[test]
    fn zero_and_values_that_are_not_finite_flow_through() {
        let k = Kron::new(array![[1.0, 2.0]], array![[3.0]]).unwrap();
        assert_eq!((&k * 0.0).to_dense(), Array2::zeros((1, 2)));
        assert!((&k * f64::NAN).to_dense().iter().all(|value| value.is_nan()));
        assert_eq!((&k * f64::INFINITY).to_dense(), Array2::from_elem((1, 2), f64::INFINITY));
        let none = Factor::low_rank(Array2::<f64>::zeros((2, 0)), Array2::zeros((0, 3))).unwrap();
        assert_eq!((none * 2.0).to_dense(), Array2::zeros((2, 3)));
    }
}
