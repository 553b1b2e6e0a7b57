//! Determinant and log-determinant.

use crate::decompose::Lu;
use crate::error::{KronError, Result};
use crate::operator::{Factor, Kron};
use crate::scalar::Scalar;
use crate::shape::KronShape;

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

    /// `sign · exp(ln_abs)`.
    #[must_use]
    pub fn value(&self) -> T {
        self.sign * self.ln_abs.exp()
    }
}

impl<T: Scalar> Kron<'_, T> {
    /// The determinant, `det(A ⊗ B) = det(A)^p · det(B)^m` for `A (m, m)` and `B (p, p)`.
    ///
    /// A square product of factors that are not square has rank at most `min(m, n)·min(p, q)`, less than its side: its
    /// determinant is zero. So is that of a low-rank factor whose inner size is less than its side.
    ///
    /// # Cost
    /// `2/3·(m³ + p³)` flops: the LU decompositions of the factors.
    /// # Accuracy
    /// Where a power of one factor leaves the range of the type although the determinant does not, the value comes
    /// from the logarithms and loses about as many digits as `|ln |det||` has. Infinity or zero are returned where the
    /// determinant itself is out of range; [`Kron::log_determinant`] still tells it then.
    /// # Errors
    /// [`KronError::NotSquare`] when the product is not square.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 2.0], [3.0, 4.0]], array![[2.0]])?; // 4·det(A)
    /// assert!((k.determinant()? - -8.0_f64).abs() < 1e-14);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn determinant(&self) -> Result<T> {
        let Some((a, b)) = self.factor_lus("determinant")? else { return Ok(T::zero()) };
        let KronShape { m, p, .. } = self.shape();
        let parts = [a.determinant(), b.determinant()];
        let powers = [power(parts[0], p), power(parts[1], m)];
        let value = powers[0] * powers[1];
        if parts.iter().chain(&powers).all(|part| part.is_normal()) {
            return Ok(value);
        }
        Ok(combine(a.log_determinant(), p, b.log_determinant(), m).value())
    }

    /// Sign and logarithm of the determinant: `ln|det(A ⊗ B)| = p·ln|det A| + m·ln|det B|`. Like [`Kron::determinant`],
    /// for determinants of any size.
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
        let KronShape { m, p, .. } = self.shape();
        Ok(match self.factor_lus("log_determinant")? {
            Some((a, b)) => combine(a.log_determinant(), p, b.log_determinant(), m),
            None => LogDeterminant::singular(),
        })
    }

    /// LU decompositions of both factors; `None` when the product is singular by its shape or has a zero pivot.
    fn factor_lus(&self, operation: &'static str) -> Result<Option<(Lu<T>, Lu<T>)>> {
        KronError::check_square(operation, "A ⊗ B", self.dim())?;
        let lu = |factor: &Factor<'_, T>| {
            let (rows, cols) = factor.dim();
            (rows == cols && factor.rank_bound() == rows)
                .then(|| Lu::new(factor.dense().view()))
                .filter(|lu| !lu.is_singular())
        };
        Ok(lu(self.a()).zip(lu(self.b())))
    }
}

impl<T: Scalar> Lu<T> {
    fn determinant(&self) -> T {
        let product = self.pivots().fold(T::one(), |product, pivot| product * pivot);
        if self.is_odd() { -product } else { product }
    }

    fn log_determinant(&self) -> LogDeterminant<T> {
        let sign = if self.is_odd() { -T::one() } else { T::one() };
        let start = LogDeterminant { sign, ln_abs: T::zero() };
        self.pivots().fold(start, |log, pivot| LogDeterminant {
            sign: log.sign * pivot.signum(),
            ln_abs: log.ln_abs + pivot.abs().ln(),
        })
    }
}

/// `a^p · b^m`.
fn combine<T: Scalar>(a: LogDeterminant<T>, p: usize, b: LogDeterminant<T>, m: usize) -> LogDeterminant<T> {
    let times = T::from_usize_lossy;
    LogDeterminant {
        sign: power(a.sign, p % 2) * power(b.sign, m % 2),
        ln_abs: times(p) * a.ln_abs + times(m) * b.ln_abs,
    }
}

/// `base` to a whole power, by repeated squaring.
fn power<T: Scalar>(base: T, exponent: usize) -> T {
    num_traits::pow(base, exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decompose::reference::determinant;
    use crate::test_support::{cases, close, kron_of};
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
        close(k.determinant().unwrap(), 1.0, 1400.0);
    }

    #[test]
    fn non_finite_factors_give_nan_not_a_panic() {
        let k = Kron::new(array![[1.0, f64::NAN], [2.0, 3.0]], array![[2.0]]).unwrap();
        assert!(k.determinant().unwrap().is_nan());
        assert!(k.log_determinant().unwrap().ln_abs.is_nan());
    }

    #[test]
    fn a_product_that_is_not_square_is_an_error() {
        let error = |operation| KronError::NotSquare { operation, name: "A ⊗ B", shape: (6, 15) };
        let k = kron_of::<f64>(2, 3, 3, 5);
        assert_eq!(k.determinant(), Err(error("determinant")));
        assert_eq!(k.log_determinant(), Err(error("log_determinant")));
    }
}
