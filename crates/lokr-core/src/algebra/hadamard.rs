//! The elementwise product of two Kronecker products.

use ndarray::{Array2, ArrayView2};

use super::inner_product::check_same_shapes;
use super::scaled_factor::of_pairs;
use crate::error::Result;
use crate::operator::{Factor, FactorList, KronBase};
use crate::scalar::Scalar;

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// The elementwise (Hadamard) product, again a Kronecker product: `(A ⊗ B) ∘ (C ⊗ D) = (A ∘ C) ⊗ (B ∘ D)`.
    ///
    /// # Shapes
    /// `A` and `C`, and `B` and `D`, have equal shapes, and so has every further pair of as many factors.
    ///
    /// The elementwise product of two low-rank factors has at most the product of their ranks; it is low-rank where
    /// that is less than its sides, else full.
    /// # Cost
    /// One multiplication for each value of the factors; a low-rank factor that meets a full one is multiplied out.
    /// # Accuracy
    /// As of [`KronBase::matmul`]: products of two factors may leave the range of the type where the whole does not.
    /// # Errors
    /// [`KronError::FactorShapes`](crate::KronError::FactorShapes).
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 2.0]], array![[3.0], [4.0]])?;
    /// let mask = Kron::new(array![[0.0, 1.0]], array![[1.0], [1.0]])?;
    /// assert_eq!(k.hadamard(&mask)?.to_dense(), k.to_dense() * mask.to_dense());
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn hadamard<M: FactorList<Elem = T>>(&self, other: &KronBase<M>) -> Result<KronBase<L::Like<'static, T>>> {
        check_same_shapes("hadamard", self, other)?;
        of_pairs(self, other, self.dim(), |x, y| match (x, y) {
            (Factor::LowRank(low), Factor::LowRank(other)) if low.rank() * other.rank() < x.nrows().min(x.ncols()) => {
                let left = row_products(low.left(), other.left());
                let right = row_products(low.right().reversed_axes(), other.right().reversed_axes());
                Factor::low_rank(left, right.reversed_axes())
            }
            _ => Ok((&x.dense() * &y.dense()).into()),
        })
    }
}

/// The Kronecker product of every two rows in the same place.
fn row_products<T: Scalar>(x: ArrayView2<'_, T>, y: ArrayView2<'_, T>) -> Array2<T> {
    let inner = y.ncols();
    Array2::from_shape_fn((x.nrows(), x.ncols() * inner), |(i, j)| x[[i, j / inner]] * y[[i, j % inner]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::KronError;
    use crate::operator::{Kron, KronChain};
    use crate::test_support::{all_chains, all_close, cases, kron_of, stretched};
    use lokr_testing::matrix;
    use ndarray::array;

    fn agrees_with_the_dense_product<T: Scalar>(large: f64) {
        let two = T::from_f64_lossy(2.0);
        for shape in [(3, 2, 5, 7), (1, 4, 3, 1), (6, 6, 7, 5)] {
            let cases = cases::<T>(&[shape]);
            for (k, k_dense) in &cases {
                for (l, l_dense) in &cases {
                    all_close(&k.hadamard(l).unwrap().to_dense(), &(k_dense * l_dense), two * two);
                }
            }
        }
        for (chain, dense) in all_chains::<T>() {
            let (k, others) =
                (chain.factors().len(), chain.map(|factor| matrix::<T>(factor.nrows(), factor.ncols(), 40).into()));
            let expected = &dense * &others.to_dense().unwrap();
            for scale in [1.0, large, 1.0 / large].map(T::from_f64_lossy) {
                let opposite = stretched(&chain, scale).hadamard(&stretched(&others, T::one() / scale)).unwrap();
                all_close(&opposite.to_dense().unwrap(), &expected, two * two);
                if k % 2 == 0 {
                    let same = stretched(&chain, scale).hadamard(&stretched(&others, scale)).unwrap();
                    all_close(&same.to_dense().unwrap(), &expected, two * two);
                }
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_product_at_every_scale() {
        agrees_with_the_dense_product::<f32>(1e30);
        agrees_with_the_dense_product::<f64>(1e200);
    }

    #[test]
    fn low_rank_factors_stay_low_rank_where_their_ranks_allow() {
        let low = |rank| Factor::low_rank(matrix::<f64>(7, rank, 1), matrix(rank, 5, 2)).unwrap();
        let k = Kron::new(low(2), low(3)).unwrap();
        let product = k.hadamard(&k).unwrap();
        assert_eq!((product.a().rank_bound(), product.a().parameter_count()), (4, 4 * 12));
        assert!(matches!(product.b(), Factor::Full(_)));
        all_close(&product.to_dense(), &(k.to_dense() * k.to_dense()), 16.0);
    }

    #[test]
    fn nan_stays_and_a_mask_of_zeros_is_zero() {
        let k = Kron::new(array![[f64::NAN, 1.0]], array![[1e200]]).unwrap();
        let mask = Kron::new(array![[0.0, 0.0]], array![[1e200]]).unwrap();
        let product = k.hadamard(&mask).unwrap().to_dense();
        assert!(product[[0, 0]].is_nan() && product[[0, 1]] == 0.0);
    }

    #[test]
    fn other_factor_shapes_are_an_error() {
        let (k, l) = (kron_of::<f64>(2, 3, 5, 1), kron_of::<f64>(5, 1, 2, 3));
        let error = KronError::FactorShapes { operation: "hadamard", left: k.shapes(), right: l.shapes() };
        assert_eq!(k.hadamard(&l), Err(error));
        let chain = KronChain::from(k.view()).kron(array![[1.0]]).unwrap().into_owned();
        let error = chain.hadamard(&k).unwrap_err().to_string();
        assert_eq!(error, "hadamard: the factors (2, 3) ⊗ (5, 1) ⊗ (1, 1) and (2, 3) ⊗ (5, 1) do not fit each other");
    }
}
