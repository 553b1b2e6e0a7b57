//! The exponential of a Kronecker sum, which is a product.

use ndarray::Array2;

use super::sum::KronSum;
use crate::check::count_non_finite;
use crate::decompose::{check_finite, exponential};
use crate::error::{KronError, Result};
use crate::operator::KronChain;
use crate::scalar::Scalar;
use crate::sums::{exponent, exponents, times_two_to};

impl<T: Scalar> KronSum<'_, T> {
    /// `exp(A ⊕ B) = exp(A) ⊗ exp(B)`: the solution of `ẋ = (A ⊕ B)·x` at time one, as a product that is applied
    /// without being formed. At another time `t` it is `(&sum * t).exp()`.
    ///
    /// # Method
    /// Scaling and squaring with Padé approximants, in `f64` for both types (Higham 2005, *The Scaling and Squaring
    /// Method for the Matrix Exponential Revisited*). Where the exponential of one factor leaves the range of the type,
    /// powers of two move between the factors, so that it is enough if their geometric mean is in range: exponentials
    /// of `800` and of `−800` are multiplied to one.
    /// # Cost
    /// Some `(14 + 2·log₂‖A‖)·n³` flops for each factor.
    /// # Errors
    /// [`KronError::NonFinite`] for factors that hold values that are not finite; [`KronError::Overflow`] when the
    /// values of the product are too large, those of `exp(A) ⊗ exp(B)` beyond the square of the type's range.
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// let turn = array![[0.0, -1.0], [1.0, 0.0]]; // generates rotations
    /// let heat = KronSum::new(&turn * 2.0, array![[3.0]])?.exp()?;
    /// let y = heat.apply(&array![1.0, 0.0])?;
    /// let e3 = 3.0_f64.exp();
    /// assert!((y[0] / e3 - 2.0_f64.cos()).abs() < 1e-14 && (y[1] / e3 - 2.0_f64.sin()).abs() < 1e-14);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn exp(&self) -> Result<KronChain<'static, T>> {
        let operation = "exp";
        let mut exponentials = Vec::with_capacity(self.factors.len());
        for (name, factor) in self.named() {
            check_finite(operation, name, factor)?;
            let matrix = factor.dense();
            KronError::check_all_finite(operation, name, count_non_finite(&matrix))?;
            exponentials.push(exponential(matrix.view()).ok_or(KronError::Overflow { operation, name })?);
        }
        let natural = exponentials.iter().map(|(matrix, power)| rounded(matrix, *power)).collect::<Option<Vec<_>>>();
        let factors = match natural {
            Some(factors) => factors,
            None => balanced(&exponentials).ok_or(KronError::Overflow { operation, name: self.name(false) })?,
        };
        KronChain::new(factors)
    }
}

/// `2^power·matrix` in the type, if its largest value is a normal number of it.
fn rounded<T: Scalar>(matrix: &Array2<f64>, power: i64) -> Option<Array2<T>> {
    let rounded = matrix.mapv(|value| T::from_f64_lossy(times_two_to(value, power)));
    let largest = rounded.iter().fold(T::zero(), |largest, value| largest.max(value.abs()));
    (largest.is_normal() && count_non_finite(&rounded) == 0).then_some(rounded)
}

/// All matrices with their largest values brought to about the same power of two; `None` where that is too large.
fn balanced<T: Scalar>(exponentials: &[(Array2<f64>, i64)]) -> Option<Vec<Array2<T>>> {
    let sizes = exponentials.iter().map(|(matrix, power)| exponents(matrix).map(|(_, high)| high + power));
    // Without a value other than zero one is nothing, and so is the whole.
    let Some(sizes) = sizes.collect::<Option<Vec<_>>>() else {
        return Some(exponentials.iter().map(|(matrix, _)| Array2::zeros(matrix.dim())).collect());
    };
    let (total, count) = (sizes.iter().sum::<i64>(), sizes.len() as i64);
    if total.div_euclid(count) + 1 > exponent(T::max_value()).unwrap_or(0) {
        return None;
    }
    let spread = exponentials.iter().zip(sizes).enumerate().map(|(index, ((matrix, power), size))| {
        let share = total.div_euclid(count) + i64::from((index as i64) < total.rem_euclid(count));
        matrix.mapv(|value| T::from_f64_lossy(times_two_to(value, power + share - size)))
    });
    Some(spread.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::kron_sum::cases::{sums, sums_of};
    use crate::test_support::{all_close, close};
    use lokr_testing::matrix;
    use ndarray::array;

    /// By halving often enough that a Taylor series of five terms is exact, in `f64`.
    fn dense_exponential(matrix: &Array2<f64>) -> Array2<f64> {
        let size = matrix.iter().map(|x| x.abs()).sum::<f64>();
        let halvings = (size * 1e4).log2().ceil().max(0.0) as i32;
        let small = matrix * 2.0_f64.powi(-halvings);
        // exp − 1 is squared, so that the ones do not swallow its digits.
        let (mut term, mut less_one) = (small.clone(), small.clone());
        for k in 2..7 {
            term = term.dot(&small) / f64::from(k);
            less_one += &term;
        }
        for _ in 0..halvings {
            less_one = less_one.dot(&less_one) + &less_one * 2.0;
        }
        less_one + Array2::<f64>::eye(matrix.nrows())
    }

    fn agrees_with_the_dense_exponential<T: Scalar>() {
        let all =
            sums::<T>().into_iter().chain(sums_of(|side, seed| matrix::<T>(side, side, seed) * T::from_f64_lossy(4.0)));
        for (sum, dense) in all {
            let expected = dense_exponential(&dense.mapv(T::to_f64_exact)).mapv(T::from_f64_lossy);
            let size = expected.iter().fold(T::one(), |max, x| max.max(x.abs()));
            all_close(&sum.exp().unwrap().to_dense().unwrap(), &expected, size * T::from_f64_lossy(4.0));
            let tiny = T::from_f64_lossy(if T::NAME == "f32" { 1e-30 } else { 1e-200 });
            let found = (&sum * tiny).exp().unwrap().to_dense().unwrap();
            for ((i, j), &value) in dense.indexed_iter() {
                let (found, expected) = if i == j { (found[[i, j]], T::one()) } else { (found[[i, j]] / tiny, value) };
                close(found, expected, T::from_f64_lossy(4.0));
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_exponential() {
        agrees_with_the_dense_exponential::<f32>();
        agrees_with_the_dense_exponential::<f64>();
    }

    fn factors_beyond_the_range<T: Scalar>(large: f64, too_large: f64) {
        let one = |value: f64| array![[T::from_f64_lossy(value)]];
        let value = |a: f64, b: f64| KronSum::new(one(a), one(b)).unwrap().exp().unwrap().element(0, 0).unwrap();
        let allowed = T::from_f64_lossy(large);
        close(value(large, -large), T::one(), allowed);
        close(value(-large, large + 1.0).ln(), T::one(), allowed);
        assert_eq!((value(-large, -large), value(large, large)), (T::zero(), T::infinity()));
        let name = |a: f64, b: f64| KronSum::new(one(a), one(b)).unwrap().exp().unwrap_err();
        assert_eq!(name(too_large, too_large), KronError::Overflow { operation: "exp", name: "A ⊕ B" });
        assert_eq!(name(1.0, 3e30), KronError::Overflow { operation: "exp", name: "B" });
    }

    #[test]
    fn factors_beyond_the_range_make_a_product_in_it() {
        factors_beyond_the_range::<f32>(80.0, 100.0);
        factors_beyond_the_range::<f64>(700.0, 800.0);
        let sum = KronSum::from_factors([array![[800.0]], array![[-1000.0]], array![[200.0]]]).unwrap();
        close(sum.exp().unwrap().element(0, 0).unwrap(), 1.0, 2000.0);
    }

    #[test]
    fn values_that_are_not_finite_are_an_error() {
        let sum = KronSum::new(array![[1.0]], array![[f64::NAN]]).unwrap();
        let error = KronError::NonFinite { operation: "exp", argument: "B", count: 1 };
        assert_eq!(sum.exp().unwrap_err(), error);
    }
}
