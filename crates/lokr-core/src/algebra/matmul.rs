//! The product of two Kronecker products.

use std::ops::Mul;

use super::scaled_factor::of_pairs;
use crate::error::{KronError, Result};
use crate::gemm::{Threads, matmul};
use crate::operator::{Factor, FactorList, KronBase};
use crate::scalar::Scalar;

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// The matrix product of two Kronecker products, again one: `(A ⊗ B)·(C ⊗ D) = AC ⊗ BD` (the mixed-product rule).
    /// The operator `&k * &l` does the same.
    ///
    /// # Shapes
    /// `A` has as many columns as `C` has rows, and `B` as `D`, and so on for as many factors. Where only the products'
    /// sides agree, the result is in general no Kronecker product.
    ///
    /// A low-rank factor stays low-rank: `(L·R)·D = L·(R·D)`; of two, the smaller inner size remains.
    /// # Cost
    /// A product of every pair of factors.
    /// # Accuracy
    /// A product of two factors may leave the range of the type where the whole does not: powers of two go to the other
    /// factors then.
    /// # Errors
    /// [`KronError::FactorShapes`]; [`KronError::TooLarge`] when the result's element count overflows.
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronChain};
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 2.0]], array![[3.0], [4.0]])?;
    /// let l = Kron::new(array![[5.0], [6.0]], array![[7.0, 8.0]])?;
    /// let product = k.matmul(&l)?;
    /// assert_eq!(product.a().to_dense(), array![[17.0]]);
    /// assert_eq!(product.b().to_dense(), array![[21.0, 24.0], [28.0, 32.0]]);
    /// assert_eq!((&k * &l)?, product);
    ///
    /// let flip = array![[0.0, 1.0], [1.0, 0.0]];
    /// let chain = KronChain::power(&flip, 10)?;
    /// assert_eq!(chain.matmul(&chain)?.trace()?, 1024.0); // the identity
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn matmul<M: FactorList<Elem = T>>(&self, other: &KronBase<M>) -> Result<KronBase<L::Like<'static, T>>> {
        let (left, right) = (self.shapes(), other.shapes());
        if left.len() != right.len() || left.iter().zip(&right).any(|(left, right)| left.1 != right.0) {
            return Err(KronError::FactorShapes { operation: "matmul", left, right });
        }
        let shapes: Vec<_> = left.iter().zip(&right).map(|(left, right)| (left.0, right.1)).collect();
        of_pairs(self, other, L::checked_dim(&shapes)?, factor_product)
    }
}

/// `&k * &l`: see [`KronBase::matmul`].
///
/// # Examples
/// ```
/// # use lokr_core::Kron;
/// # use ndarray::array;
/// let k = Kron::new(array![[1.0, 2.0]], array![[3.0]])?;
/// assert!((&k * &k).is_err()); // (1, 2)·(1, 2)
/// # Ok::<(), lokr_core::KronError>(())
/// ```
impl<T: Scalar, L: FactorList<Elem = T>, M: FactorList<Elem = T>> Mul<&KronBase<M>> for &KronBase<L> {
    type Output = Result<KronBase<L::Like<'static, T>>>;

    fn mul(self, other: &KronBase<M>) -> Self::Output {
        self.matmul(other)
    }
}

/// The matrix product of two factors.
pub(super) fn factor_product<T: Scalar>(x: &Factor<'_, T>, y: &Factor<'_, T>) -> Result<Factor<'static, T>> {
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
    use crate::operator::{Kron, KronChain};
    use crate::test_support::{all_chains, all_close, cases, close, kron_of, positive, stretched};
    use lokr_testing::matrix;
    use ndarray::{Array2, array};
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

    fn chains_agree_with_the_dense_product<T: Scalar>(large: f64) {
        for (chain, dense) in all_chains::<T>() {
            let (size, transposed) = (T::from_usize_lossy(4 * dense.ncols()), chain.transposed().into_owned());
            for scale in [1.0, large, 1.0 / large].map(T::from_f64_lossy) {
                let (k, l) = (stretched(&chain, scale), stretched(&transposed, T::one() / scale));
                let product = k.matmul(&l).unwrap();
                assert_eq!((&k * &l).unwrap(), product);
                all_close(&product.to_dense().unwrap(), &dense.dot(&dense.t()), size);
                // The scales of the first factors do not cancel, those of all do.
                if chain.factors().len() % 2 == 0 {
                    let product = k.matmul(&stretched(&transposed, scale)).unwrap();
                    all_close(&product.to_dense().unwrap(), &dense.dot(&dense.t()), size);
                }
            }
        }
    }

    #[test]
    fn chains_agree_with_the_dense_product_at_every_scale() {
        chains_agree_with_the_dense_product::<f32>(1e30);
        chains_agree_with_the_dense_product::<f64>(1e200);
    }

    #[test]
    fn products_of_factors_that_leave_the_range_come_back_into_it() {
        let k = Kron::new(array![[1e200, 2e200]], array![[1e-200]]).unwrap();
        let l = Kron::new(array![[3e200], [1e200]], array![[1e-200]]).unwrap();
        close(k.matmul(&l).unwrap().to_dense()[[0, 0]], 5.0, 10.0);
        let low = |scale: f64| Factor::low_rank(array![[scale], [scale]], array![[scale, 0.0]]).unwrap();
        let k = Kron::new(low(1e100), low(1e-100)).unwrap();
        let square = k.matmul(&k).unwrap();
        all_close(&square.to_dense(), &k.to_dense(), 4.0);
        assert!(square.factors().iter().all(|factor| factor.rank_bound() == 1));
        // Zero stays zero beside a factor out of range, and NaN stays NaN.
        let zero = Kron::new(array![[1e200]], array![[0.0]]).unwrap();
        assert_eq!(zero.matmul(&zero).unwrap().to_dense(), array![[0.0]]);
        let nan = Kron::new(array![[1e200]], array![[f64::NAN]]).unwrap();
        assert!(nan.matmul(&nan).unwrap().to_dense()[[0, 0]].is_nan());
        // What is out of range as a whole is infinite, or zero.
        let huge = Kron::new(array![[1e200]], array![[1e200]]).unwrap();
        assert_eq!(huge.matmul(&huge).unwrap().to_dense(), array![[f64::INFINITY]]);
    }

    #[test]
    fn the_left_factor_comes_first() {
        let (a, b, one) = (array![[0.0, 1.0], [0.0, 0.0]], array![[0.0, 0.0], [1.0, 0.0]], array![[1.0]]);
        let product = Kron::new(&one, &a).unwrap().matmul(&Kron::new(&one, &b).unwrap()).unwrap();
        assert_eq!(product.to_dense(), a.dot(&b));
        // Equal sides of other factors.
        let (k, l) = (kron_of::<f64>(2, 2, 2, 2), kron_of::<f64>(4, 4, 1, 1));
        let text = "matmul: the factors (2, 2) ⊗ (2, 2) and (4, 4) ⊗ (1, 1) do not fit each other";
        assert_eq!((&k * &l).unwrap_err().to_string(), text);
    }

    #[test]
    fn each_mismatch_is_an_error() {
        let chain = |shapes: [(usize, usize); 3]| KronChain::new(shapes.map(Array2::<f64>::ones)).unwrap();
        let (k, l) = (chain([(2, 1), (1, 3), (2, 2)]), chain([(1, 2), (3, 1), (4, 2)]));
        let error = KronError::FactorShapes { operation: "matmul", left: k.shapes(), right: l.shapes() };
        assert_eq!(k.matmul(&l), Err(error));
        let two = kron_of::<f64>(1, 2, 3, 1);
        assert!(matches!(k.matmul(&two), Err(KronError::FactorShapes { .. })));
        let (column, row) = (Array2::<f32>::ones((1 << 16, 1)), Array2::<f32>::ones((1, 1 << 16)));
        let too_large = Kron::new(&column, &column).unwrap().matmul(&Kron::new(&row, &row).unwrap());
        assert!(matches!(too_large, Err(KronError::TooLarge { operation: "Kronecker product", .. })));
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
        let (left, right) = (vec![(1, 2), (1, 3)], vec![(3, 1), (2, 1)]);
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
