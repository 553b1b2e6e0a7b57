//! Determinant and log-determinant.

use std::ops::Mul;

use num_traits::One;

use super::scaled_lu::ScaledLu;
use crate::check::count_non_finite;
use crate::error::{KronError, Result};
use crate::operator::{Factor, FactorList, KronBase};
use crate::scalar::Scalar;
use crate::sums::Extended;

/// A determinant as `sign · exp(ln_abs)`, which neither overflows nor underflows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogDeterminant<T> {
    /// `1`, `−1`, or `0` for a singular matrix.
    pub sign: T,
    /// Natural logarithm of the absolute value, `−∞` for a singular matrix.
    pub ln_abs: T,
}

impl<T: Scalar> LogDeterminant<T> {
    fn singular() -> Self {
        Self { sign: T::zero(), ln_abs: T::neg_infinity() }
    }

    fn undefined() -> Self {
        Self { sign: T::nan(), ln_abs: T::nan() }
    }

    fn of(scaled: &ScaledLu<T>) -> Self {
        let sign = if scaled.lu.is_odd() { -T::one() } else { T::one() };
        let ln_abs = T::from_f64_lossy(scaled.exponent as f64 * std::f64::consts::LN_2);
        scaled.lu.pivots().fold(Self { sign, ln_abs }, |log, pivot| Self {
            sign: log.sign * pivot.signum(),
            ln_abs: log.ln_abs + pivot.abs().ln(),
        })
    }

    /// That of a determinant to the power of `n`, at least one.
    pub(super) fn power(self, n: usize) -> Self {
        let sign = num_traits::pow(self.sign, 2 - n % 2); // NaN to the power 0 were 1
        Self { sign, ln_abs: T::from_usize_lossy(n) * self.ln_abs }
    }

    /// `sign · exp(ln_abs)`.
    #[must_use]
    pub fn value(&self) -> T {
        self.sign * self.ln_abs.exp()
    }
}

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// The determinant, `det(A ⊗ B) = det(A)^p · det(B)^m` for `A (m, m)` and `B (p, p)`. Of many factors, the power of
    /// each is the product of the other factors' sides.
    ///
    /// A square product of factors that are not square has rank at most `min(m, n)·min(p, q)`, less than its side: its
    /// determinant is zero. So is that of a low-rank factor whose inner size is less than its side. A value that is not
    /// finite, in any factor, makes of such a zero NaN.
    ///
    /// # Cost
    /// `2/3·(m³ + p³)` flops: the LU decompositions of the factors.
    /// # Accuracy
    /// Products of pivots and powers may leave the range of the type on the way: they are multiplied with exponents of
    /// their own. Rows and columns of very different size are scaled by powers of two first. Infinity or zero are
    /// returned where the determinant itself is out of range; [`KronBase::log_determinant`] still tells it then.
    /// # Errors
    /// [`KronError::NotSquare`] when the product is not square.
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronChain};
    /// # use ndarray::array;
    /// let a = array![[1.0, 2.0], [3.0, 4.0]];
    /// let k = Kron::new(&a, array![[2.0]])?; // 4·det(A)
    /// assert!((k.determinant()? - -8.0_f64).abs() < 1e-14);
    /// let chain = KronChain::power(&a, 3)?; // (det(A)⁴)³
    /// assert!((chain.determinant()? - 4096.0_f64).abs() < 1e-9);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn determinant(&self) -> Result<T> {
        Ok(match self.factor_lus("determinant")? {
            Some(lus) => {
                let powers = lus.iter().map(|lu| num_traits::pow(lu.determinant(), self.nrows() / lu.side));
                powers.fold(Extended::one(), Mul::mul).value()
            }
            None if self.is_finite() => T::zero(),
            None => T::nan(),
        })
    }

    /// Sign and logarithm of the determinant: `ln|det(A ⊗ B)| = p·ln|det A| + m·ln|det B|`. Like
    /// [`KronBase::determinant`], for determinants of any size.
    ///
    /// # Errors
    /// [`KronError::NotSquare`] when the product is not square.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[-1e-200]], array![[1e-200]])?; // the determinant, −1e-400, is no f64
    /// let log = k.log_determinant()?;
    /// assert_eq!(log.sign, -1.0);
    /// assert!((log.ln_abs - -400.0 * 10.0_f64.ln()).abs() < 1e-12);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn log_determinant(&self) -> Result<LogDeterminant<T>> {
        Ok(match self.factor_lus("log_determinant")? {
            Some(lus) => {
                let powers = lus.iter().map(|lu| LogDeterminant::of(lu).power(self.nrows() / lu.side));
                let one = LogDeterminant { sign: T::one(), ln_abs: T::zero() };
                powers.fold(one, |x, y| LogDeterminant { sign: x.sign * y.sign, ln_abs: x.ln_abs + y.ln_abs })
            }
            None if self.is_finite() => LogDeterminant::singular(),
            None => LogDeterminant::undefined(),
        })
    }

    fn is_finite(&self) -> bool {
        self.parts().all(|part| count_non_finite(&part) == 0)
    }

    /// LU decompositions of the factors; `None` when the product is singular by its shape or has a zero pivot.
    fn factor_lus(&self, operation: &'static str) -> Result<Option<Vec<ScaledLu<T>>>> {
        KronError::check_square(operation, L::PRODUCT, self.dim())?;
        let lu = |factor: &Factor<'_, T>| {
            let (rows, cols) = factor.dim();
            (rows == cols && factor.rank_bound() == rows)
                .then(|| ScaledLu::of_factor(factor))
                .filter(|scaled| !scaled.lu.is_singular())
        };
        Ok(self.factors().iter().map(lu).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decompose::reference::determinant;
    use crate::operator::{Kron, KronChain};
    use crate::test_support::{all_chains, cases, close, kron_of, stretched};
    use lokr_testing::matrix;
    use ndarray::{Array2, array};

    fn agrees_with_the_dense_determinant<T: Scalar>() {
        for (k, dense) in cases::<T>(&[(1, 1, 3, 3), (2, 2, 3, 3), (3, 3, 2, 2), (3, 3, 1, 1)]) {
            let expected = determinant(&dense);
            close(k.determinant().unwrap(), expected, T::from_f64_lossy(4.0));
            let log = k.log_determinant().unwrap();
            close(log.value(), expected, T::from_f64_lossy(4.0));
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_determinant() {
        agrees_with_the_dense_determinant::<f32>();
        agrees_with_the_dense_determinant::<f64>();
    }

    fn chains_agree_with_the_dense_determinant<T: Scalar>(large: f64) {
        for (chain, dense) in all_chains::<T>() {
            if !dense.is_square() {
                let error =
                    |operation| KronError::NotSquare { operation, name: "A₁ ⊗ … ⊗ A_k", shape: dense.dim() };
                assert_eq!(chain.determinant(), Err(error("determinant")));
                assert_eq!(chain.log_determinant(), Err(error("log_determinant")));
                continue;
            }
            let expected = determinant(&dense);
            // The scale of one factor is a power in the determinant; that of two of the same side cancels.
            let sides = chain.shapes();
            let cancels = sides.len() == 4 && sides[0] == sides[3];
            for scale in [1.0, large, 1.0 / large].map(T::from_f64_lossy) {
                let k = if cancels { stretched(&chain, scale) } else { chain.clone() };
                close(k.determinant().unwrap(), expected, T::from_f64_lossy(16.0));
                close(k.log_determinant().unwrap().value(), expected, T::from_f64_lossy(16.0));
            }
        }
    }

    #[test]
    fn chains_agree_with_the_dense_determinant_in_f32_and_f64() {
        chains_agree_with_the_dense_determinant::<f32>(1e30);
        chains_agree_with_the_dense_determinant::<f64>(1e200);
    }

    #[test]
    fn many_factors_and_factors_of_any_size() {
        let turn = array![[0.0, -1.0], [1.0, 0.0]];
        let chain = KronChain::power(&turn, 20).unwrap();
        assert_eq!(chain.determinant(), Ok(1.0));
        assert_eq!(chain.log_determinant(), Ok(LogDeterminant { sign: 1.0, ln_abs: 0.0 }));
        let twice = &turn * 2.0;
        let chain = KronChain::power(&twice, 20).unwrap();
        assert_eq!(chain.determinant(), Ok(f64::INFINITY)); // (4^(2^19))^20
        close(chain.log_determinant().unwrap().ln_abs / (20.0 * 2.0_f64.powi(20) * 2.0_f64.ln()), 1.0, 20.0);
        let one = |value: f64| array![[value]];
        let swap = array![[0.0, 1.0], [1.0, 0.0]];
        let chain = KronChain::new([one(1e-200), swap, one(-1e100), one(1e100)]).unwrap();
        close(chain.determinant().unwrap(), -1.0, 10.0);
        // Rectangles of a square product, and a third factor that is not finite.
        let (wide, tall) = (array![[1.0, 2.0]], array![[1.0], [2.0]]);
        let chain = KronChain::new([wide.clone(), one(1.0), tall.clone()]).unwrap();
        assert_eq!(chain.determinant(), Ok(0.0));
        assert_eq!(chain.log_determinant(), Ok(LogDeterminant::singular()));
        let chain = KronChain::new([wide, tall, one(f64::NAN)]).unwrap();
        assert!(chain.determinant().unwrap().is_nan() && chain.log_determinant().unwrap().ln_abs.is_nan());
        // Halves whose product no f64 can hold.
        let low = Factor::low_rank(array![[3e200]], array![[1e200]]).unwrap();
        let chain = KronChain::new([low, one(1e-200).into(), one(1e-200).into()]).unwrap();
        close(chain.determinant().unwrap(), 3.0, 10.0);
        close(chain.log_determinant().unwrap().ln_abs, 3.0_f64.ln(), 1000.0);
    }

    #[test]
    fn signs_and_exponents_for_odd_and_even_sides() {
        for (m, p) in [(1, 1), (1, 2), (2, 1), (2, 2), (3, 2), (2, 3), (3, 3), (4, 3), (2, 5), (5, 2)] {
            for seed in 0..8 {
                let k = Kron::new(matrix::<f64>(m, m, seed), matrix(p, p, seed + 50)).unwrap();
                let expected = determinant(&k.to_dense());
                close(k.determinant().unwrap() / expected, 1.0, 1e4);
                assert_eq!(k.log_determinant().unwrap().sign, expected.signum(), "{m}, {p}, {seed}");
            }
        }
    }

    #[test]
    fn larger_factors_agree_in_relative_terms() {
        let k = kron_of::<f64>(5, 5, 7, 7);
        let expected = determinant(&k.to_dense());
        close(k.determinant().unwrap() / expected, 1.0, 100.0);
    }

    #[test]
    fn row_swaps_and_negative_factors_turn_the_sign() {
        let swap = array![[0.0, 1.0], [1.0, 0.0]];
        assert_eq!(Kron::new(&swap, array![[1.0]]).unwrap().determinant(), Ok(-1.0));
        assert_eq!(Kron::new(&swap, &swap).unwrap().determinant(), Ok(1.0));
        let log = Kron::new(&swap, array![[-2.0]]).unwrap().log_determinant().unwrap();
        assert_eq!(log.sign, -1.0); // det A = −1 to the first, det B = −2 squared
        close(log.ln_abs, 4.0_f64.ln(), 1.0);
    }

    #[test]
    fn products_singular_by_shape_or_rank_have_determinant_zero() {
        for k in [
            kron_of::<f64>(2, 3, 3, 2),
            Kron::new(matrix(2, 2, 1), Factor::low_rank(matrix(3, 2, 2), matrix(2, 3, 3)).unwrap()).unwrap(),
            Kron::new(array![[1.0, 2.0], [2.0, 4.0]], matrix(3, 3, 2)).unwrap(),
        ] {
            assert_eq!(k.determinant(), Ok(0.0));
            assert_eq!(k.log_determinant(), Ok(LogDeterminant::singular()));
            assert_eq!(LogDeterminant::<f64>::singular().value(), 0.0);
        }
    }

    #[test]
    fn a_power_out_of_range_does_not_spoil_a_determinant_in_range() {
        let k = Kron::new(array![[1e200]], Array2::from_diag_elem(3, 1e-200)).unwrap(); // (1e200)³·(1e-200)³
        close(k.determinant().unwrap(), 1.0, 1.0);
        let k = Kron::new(array![[1e30_f32]], Array2::from_diag_elem(3, 1e-30)).unwrap();
        close(k.determinant().unwrap(), 1.0, 1.0);
        // (5⁵⁰·1e-20)¹⁰⁰ in two ways, with a power of the other factor that undoes it.
        let k = Kron::new(array![[2.0, 0.0], [0.0, 2.0]], Array2::from_diag_elem(500, 0.5)).unwrap();
        assert_eq!(k.determinant(), Ok(1.0)); // 4⁵⁰⁰ · (2⁻⁵⁰⁰)²
    }

    fn pivots_of_every_size<T: Scalar>(large: f64) {
        let diagonal = |values: [f64; 3]| Array2::from_diag(&ndarray::Array1::from_iter(values.map(T::from_f64_lossy)));
        let one = array![[T::one()]];
        let (c, tiny) = (large.powf(0.6), T::min_positive_value() * T::epsilon());
        // The product of the first two pivots has few digits, or none.
        for values in [[1.0 / large, 1.0 / c, large], [1.0 / large, 1.0 / large, large], [large, large, 1.0 / large]] {
            let k = Kron::new(diagonal(values), &one).unwrap();
            let exact = values.iter().map(|value| value.ln()).sum::<f64>();
            let found = k.determinant().unwrap();
            if found.is_normal() {
                close(found.ln(), T::from_f64_lossy(exact), T::from_f64_lossy(1000.0));
            }
            close(k.log_determinant().unwrap().ln_abs, T::from_f64_lossy(exact), T::from_f64_lossy(1000.0));
        }
        // Pivots without digits or without an inverse.
        let subnormal = Array2::from_diag(&array![tiny, T::one(), -tiny]);
        let k = Kron::new(&subnormal, array![[T::one() / tiny.sqrt(), T::zero()], [T::zero(), T::one() / tiny.sqrt()]]);
        let k = k.unwrap(); // (−tiny²)²·tiny⁻³
        close(k.determinant().unwrap() / tiny, T::one(), T::from_f64_lossy(8.0));
        // An elimination below the range, beside a power above it.
        let small = T::from_f64_lossy(1.0 / large);
        let a = array![[T::one(), small], [small, T::zero()]]; // −1/large²
        let k = Kron::new(a, array![[T::from_f64_lossy(large)]]).unwrap();
        close(k.determinant().unwrap(), -T::one(), T::one());
        assert_eq!(k.log_determinant().unwrap().sign, -T::one());
    }

    #[test]
    fn pivots_of_every_size_in_f32_and_f64() {
        pivots_of_every_size::<f32>(1e30);
        pivots_of_every_size::<f64>(1e200);
    }

    #[test]
    fn scales_of_a_whole_factor_are_powers_in_its_determinant() {
        let (a, b) = (matrix::<f64>(4, 4, 1), matrix::<f64>(3, 3, 2));
        let plain = Kron::new(&a, &b).unwrap();
        for scale in [1e-200, 1e-100, 1e100, 1e200] {
            let k = Kron::new(&a * scale, &b * (1.0 / scale)).unwrap();
            close(k.determinant().unwrap() / plain.determinant().unwrap(), 1.0, 100.0);
            close(k.log_determinant().unwrap().ln_abs, plain.log_determinant().unwrap().ln_abs, 6000.0);
        }
    }

    #[test]
    fn non_finite_factors_give_nan_not_a_panic() {
        let k = Kron::new(array![[1.0, f64::NAN], [2.0, 3.0]], array![[2.0]]).unwrap();
        assert!(k.determinant().unwrap().is_nan());
        assert!(k.log_determinant().unwrap().ln_abs.is_nan());
    }

    fn a_zero_does_not_hide_nan<T: Scalar>() {
        let (zero, one) = (T::zero(), T::one());
        for bad in [T::nan(), T::infinity()] {
            let low = |left, right| Factor::low_rank(left, right).unwrap();
            for k in [
                Kron::new(array![[zero]], array![[bad]]),
                Kron::new(array![[bad]], array![[zero]]),
                Kron::new(array![[zero, zero], [zero, bad]], array![[one]]),
                Kron::new(array![[bad, one]], array![[one], [one]]),
                Kron::new(array![[one, one]], array![[one], [bad]]),
                Kron::new(array![[bad]], low(array![[one], [one]], array![[one, one]])),
                Kron::new(array![[one]], low(array![[one], [bad]], array![[one, one]])),
                Kron::new(array![[bad]], low(Array2::zeros((2, 0)), Array2::zeros((0, 2)))),
            ] {
                let k = k.unwrap();
                assert!(k.determinant().unwrap().is_nan(), "{k:?}");
                let log = k.log_determinant().unwrap();
                assert!(log.ln_abs.is_nan() && log.sign.is_nan() && log.value().is_nan(), "{k:?}: {log:?}");
            }
        }
        let even = Kron::new(array![[T::nan()]], Array2::from_diag_elem(2, one)).unwrap();
        assert!(even.log_determinant().unwrap().sign.is_nan()); // and not 1, a power with an even exponent
    }

    #[test]
    fn a_zero_does_not_hide_nan_in_f32_and_f64() {
        a_zero_does_not_hide_nan::<f32>();
        a_zero_does_not_hide_nan::<f64>();
    }

    #[test]
    fn a_product_that_is_not_square_is_an_error() {
        let error = |operation| KronError::NotSquare { operation, name: "A ⊗ B", shape: (6, 15) };
        let k = kron_of::<f64>(2, 3, 3, 5);
        assert_eq!(k.determinant(), Err(error("determinant")));
        assert_eq!(k.log_determinant(), Err(error("log_determinant")));
    }
}
