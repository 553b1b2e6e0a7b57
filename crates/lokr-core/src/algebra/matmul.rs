//! The product of two Kronecker products.

use crate::error::{KronError, Result};
use crate::gemm::{Threads, matmul};
use crate::operator::{Factor, Kron};
use crate::scalar::Scalar;

impl<T: Scalar> Kron<'_, T> {
    /// The matrix product of two Kronecker products, again one: `(A ⊗ B)·(C ⊗ D) = AC ⊗ BD` (the mixed-product rule).
    ///
    /// # Shapes
    /// `A` has as many columns as `C` has rows, and `B` as `D`. Where only the products' sides agree, the result is in
    /// general no Kronecker product.
    ///
    /// A low-rank factor stays low-rank: `(L·R)·D = L·(R·D)`; of two, the smaller inner size remains.
    /// # Cost
    /// Two products of factors.
    /// # Errors
    /// [`KronError::FactorShapes`]; [`KronError::TooLarge`] when the result's element count overflows.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 2.0]], array![[3.0], [4.0]])?;
    /// let l = Kron::new(array![[5.0], [6.0]], array![[7.0, 8.0]])?;
    /// let product = k.matmul(&l)?;
    /// assert_eq!(product.a().to_dense(), array![[17.0]]);
    /// assert_eq!(product.b().to_dense(), array![[21.0, 24.0], [28.0, 32.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn matmul(&self, other: &Kron<'_, T>) -> Result<Kron<'static, T>> {
        let (left, right) = (self.shape(), other.shape());
        if left.n != right.m || left.q != right.p {
            return Err(KronError::FactorShapes { operation: "matmul", left, right });
        }
        Kron::new(factor_product(self.a(), other.a())?, factor_product(self.b(), other.b())?)
    }
}

fn factor_product<T: Scalar>(x: &Factor<'_, T>, y: &Factor<'_, T>) -> Result<Factor<'static, T>> {
    let matmul = |x, y| matmul(x, y, Threads::All);
    match (x, y) {
        (Factor::Full(x), Factor::Full(y)) => Ok(matmul(x.view(), y.view()).into()),
        (Factor::LowRank(x), Factor::Full(y)) => Factor::low_rank(x.left().to_owned(), matmul(x.right(), y.view())),
        (Factor::Full(x), Factor::LowRank(y)) => Factor::low_rank(matmul(x.view(), y.left()), y.right().to_owned()),
        (Factor::LowRank(x), Factor::LowRank(y)) => {
            let middle = matmul(x.right(), y.left());
            if x.rank() <= y.rank() {
                Factor::low_rank(x.left().to_owned(), matmul(middle.view(), y.right()))
            } else {
                Factor::low_rank(matmul(x.left(), middle.view()), y.right().to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{all_close, cases, close, kron_of, positive};
    use lokr_testing::matrix;
    use ndarray::Array2;
    use proptest::prelude::*;

    fn agrees_with_the_dense_product<T: Scalar>() {
        for (k, k_dense) in cases::<T>(&[(3, 2, 5, 7), (1, 4, 3, 1)]) {
            let n = k.shape().n;
            let q = k.shape().q;
            for (l, l_dense) in cases::<T>(&[(n, 5, q, 3), (n, 1, q, 2)]) {
                let product = k.matmul(&l).unwrap();
                all_close(&product.to_dense(), &k_dense.dot(&l_dense), T::from_usize_lossy(4 * n * q));
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_product() {
        agrees_with_the_dense_product::<f32>();
        agrees_with_the_dense_product::<f64>();
    }

    #[test]
    fn low_rank_times_low_rank_keeps_the_smaller_inner_size() {
        let low = |rows, rank, cols| Factor::low_rank(matrix::<f64>(rows, rank, 1), matrix(rank, cols, 2)).unwrap();
        for (first, second) in [(2, 3), (3, 2)] {
            let product = factor_product(&low(7, first, 5), &low(5, second, 6)).unwrap();
            assert_eq!(product.rank_bound(), 2);
            assert_eq!(product.parameter_count(), 2 * (7 + 6));
        }
    }

    #[test]
    fn factors_that_do_not_fit_are_an_error_even_if_the_sides_do() {
        let (k, l) = (kron_of::<f64>(1, 2, 1, 3), kron_of::<f64>(3, 1, 2, 1));
        assert_eq!(k.dim().1, l.dim().0);
        let (left, right) = (k.shape(), l.shape());
        assert_eq!(k.matmul(&l), Err(KronError::FactorShapes { operation: "matmul", left, right }));
    }

    fn side() -> impl Strategy<Value = usize> {
        1..6_usize
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_algebra_of_the_dense_matrices_holds(
            (m, n, p, q) in (side(), side(), side(), side()),
            seed in any::<u32>(),
        ) {
            let seed = u64::from(seed);
            let k = Kron::new(matrix::<f64>(m, n, seed), matrix(p, q, seed + 1)).unwrap();
            let dense = k.to_dense();
            let transposed = k.transposed();
            all_close(&transposed.to_dense(), &dense.t(), 1.0);

            // KᵀK = (AᵀA) ⊗ (BᵀB), whose trace is the squared Frobenius norm.
            let gram = transposed.matmul(&k).unwrap();
            all_close(&gram.to_dense(), &dense.t().dot(&dense), 36.0);
            let squared = k.frobenius_norm() * k.frobenius_norm();
            close(gram.trace().unwrap(), squared, 900.0);
            close(k.inner(&k).unwrap(), squared, 900.0);

            // Norms do not see a transpose, but the 1- and ∞-norm, which change places.
            close(transposed.spectral_norm().unwrap(), k.spectral_norm().unwrap(), 36.0);
            close(transposed.nuclear_norm().unwrap(), k.nuclear_norm().unwrap(), 180.0);
            close(transposed.one_norm(), k.infinity_norm(), 36.0);
            prop_assert!(k.spectral_norm().unwrap() <= k.frobenius_norm() * (1.0 + 1e-12));
            prop_assert!(k.frobenius_norm() <= k.nuclear_norm().unwrap() * (1.0 + 1e-12));
        }

        #[test]
        fn inverse_determinant_and_solve_agree((n, q) in (side(), side()), seed in any::<u32>()) {
            let seed = u64::from(seed);
            let k = Kron::new(positive::<f64>(n, seed), positive(q, seed + 1)).unwrap();
            let inverse = k.inverse().unwrap();
            all_close(&k.matmul(&inverse).unwrap().to_dense(), &Array2::eye(n * q), 3000.0);
            let (log, inverse_log) = (k.log_determinant().unwrap(), inverse.log_determinant().unwrap());
            prop_assert_eq!((log.sign, inverse_log.sign), (1.0, 1.0));
            close(log.ln_abs, -inverse_log.ln_abs, 3000.0);
            all_close(&inverse.to_dense(), &k.pseudo_inverse().unwrap().to_dense(), 3000.0);
            let x = matrix::<f64>(3, n * q, seed + 2);
            all_close(&k.solve(&k.apply(&x).unwrap()).unwrap(), &x, 3000.0);
            let l = k.cholesky().unwrap();
            all_close(&l.matmul(&l.transposed()).unwrap().to_dense(), &k.to_dense(), 1000.0);
        }
    }
}
