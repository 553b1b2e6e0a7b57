//! Cholesky decomposition: a Kronecker product of two lower triangular matrices.

use ndarray::Array2;

use crate::decompose::{cholesky_lower, symmetric_dense};
use crate::error::{KronError, Result};
use crate::operator::{Factor, Kron};
use crate::scalar::Scalar;

impl<T: Scalar> Kron<'_, T> {
    /// The Cholesky factor `L` of a positive definite product: `A ⊗ B = L·Lᵀ`, `L = L_A ⊗ L_B`, lower triangular.
    ///
    /// The product is positive definite when both factors are, and also when both are negative definite, since
    /// `A ⊗ B = (−A) ⊗ (−B)`.
    ///
    /// # Cost
    /// `1/3·(n³ + q³)` flops.
    /// # Errors
    /// [`KronError::NotSquare`]; [`KronError::NonFinite`]; [`KronError::NotSymmetric`] when `|M[i, j] − M[j, i]|`
    /// exceeds `size · ε · max|M|` in a factor (less is taken for rounding and averaged);
    /// [`KronError::NotPositiveDefinite`], also for a low-rank factor with an inner size less than its side.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[4.0, 2.0], [2.0, 10.0]], array![[9.0]])?;
    /// let l = k.cholesky()?;
    /// assert_eq!(l.to_dense(), array![[6.0, 0.0], [3.0, 9.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn cholesky(&self) -> Result<Kron<'static, T>> {
        KronError::check_square("cholesky", "A", self.a().dim())?;
        KronError::check_square("cholesky", "B", self.b().dim())?;
        let mut a = symmetric_dense("cholesky", "A", self.a())?;
        let mut b = symmetric_dense("cholesky", "B", self.b())?;
        if a[[0, 0]] < T::zero() && b[[0, 0]] < T::zero() {
            a.mapv_inplace(|value| -value);
            b.mapv_inplace(|value| -value);
        }
        Kron::new(lower("A", self.a(), &a)?, lower("B", self.b(), &b)?)
    }
}

fn lower<T: Scalar>(name: &'static str, factor: &Factor<'_, T>, matrix: &Array2<T>) -> Result<Array2<T>> {
    let possible = factor.rank_bound() == matrix.nrows();
    let lower = if possible { cholesky_lower(matrix.view()) } else { None };
    lower.ok_or(KronError::NotPositiveDefinite { operation: "cholesky", name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{all_close, kron_of, positive, symmetric};
    use lokr_testing::matrix;
    use ndarray::array;

    fn rebuilds_the_product<T: Scalar>() {
        for (n, q) in [(1, 1), (1, 3), (5, 2), (3, 7)] {
            let (a, b) = (positive::<T>(n, 1), positive::<T>(q, 2));
            let negative = Kron::new(-a.clone(), -b.clone()).unwrap();
            for k in [Kron::new(a, b).unwrap(), negative] {
                let l = k.cholesky().unwrap().to_dense();
                for ((i, j), &value) in l.indexed_iter() {
                    assert!(i >= j || value == T::zero(), "L[{i}, {j}] = {value}");
                    assert!(i != j || value > T::zero(), "L[{i}, {j}] = {value}");
                }
                all_close(&l.dot(&l.t()), &k.to_dense(), T::from_usize_lossy(n * q * 4));
            }
        }
    }

    #[test]
    fn l_lt_rebuilds_the_product_in_f32_and_f64() {
        rebuilds_the_product::<f32>();
        rebuilds_the_product::<f64>();
    }

    #[test]
    fn asymmetry_of_rounding_size_is_accepted() {
        let mut a = positive::<f64>(3, 1);
        a[[0, 2]] *= 1.0 + f64::EPSILON;
        assert!(Kron::new(a, array![[1.0]]).unwrap().cholesky().is_ok());
    }

    #[test]
    fn each_obstacle_is_named() {
        let operation = "cholesky";
        let error = |k: Kron<'_, f64>| k.cholesky().unwrap_err();
        let one = || array![[1.0]];
        assert_eq!(error(kron_of(2, 3, 1, 1)), KronError::NotSquare { operation, name: "A", shape: (2, 3) });
        assert_eq!(error(kron_of(3, 3, 2, 1)), KronError::NotSquare { operation, name: "B", shape: (2, 1) });
        let k = Kron::new(one(), array![[1.0, 0.5], [0.25, 1.0]]).unwrap();
        assert_eq!(error(k), KronError::NotSymmetric { operation, name: "B", difference: 0.25 });
        let indefinite = || symmetric(3, 4) - Array2::<f64>::eye(3) * 3.0;
        let not_positive = |name| KronError::NotPositiveDefinite { operation, name };
        assert_eq!(error(Kron::new(indefinite(), one()).unwrap()), not_positive("A"));
        assert_eq!(error(Kron::new(one(), -one()).unwrap()), not_positive("B"));
        assert_eq!(error(Kron::new(array![[1.0, 1.0], [1.0, 1.0]], one()).unwrap()), not_positive("A"));
        let non_finite = KronError::NonFinite { operation, argument: "A", count: 1 };
        assert_eq!(error(Kron::new(array![[f64::NAN]], one()).unwrap()), non_finite);
        let left = matrix::<f64>(3, 2, 1);
        let gram = Factor::low_rank(left.clone(), left.reversed_axes()).unwrap();
        assert_eq!(error(Kron::new(one(), gram).unwrap()), not_positive("B"));
    }
}
