//! The inverse: a Kronecker product again.

use super::solver::inverse_of;
use crate::decompose::check_finite;
use crate::error::{KronError, Result};
use crate::operator::{Factor, FactorList, KronBase};
use crate::scalar::Scalar;

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// The inverse, `(A ⊗ B)⁻¹ = A⁻¹ ⊗ B⁻¹`.
    ///
    /// To solve a system, [`KronBase::solve`] is cheaper and more accurate.
    ///
    /// # Cost
    /// `2·(n³ + q³)` flops, by LU with partial pivoting.
    /// # Errors
    /// [`KronError::NotSquare`] when the product is not square, with the name of a factor that is not;
    /// [`KronError::NonFinite`]; [`KronError::Singular`] when an LU decomposition meets a pivot that is exactly zero, a
    /// low-rank factor has an inner size less than its side, or a square product has factors that are not square, whose
    /// ranks then multiply to less than its side. A nearly singular factor gives a result as inaccurate as its
    /// [condition](KronBase::condition_number) says.
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronChain};
    /// # use ndarray::{Array2, array};
    /// let a = array![[2.0, 0.0], [0.0, 4.0]];
    /// let k = Kron::new(&a, array![[1.0, 1.0], [0.0, 1.0]])?;
    /// let inverse = k.inverse()?;
    /// assert_eq!(inverse.a().to_dense(), array![[0.5, 0.0], [0.0, 0.25]]);
    /// assert_eq!(inverse.b().to_dense(), array![[1.0, -1.0], [0.0, 1.0]]);
    /// assert_eq!(KronChain::power(&a, 3)?.inverse()?.trace()?, 0.75 * 0.75 * 0.75);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn inverse(&self) -> Result<KronBase<L::Like<'static, T>>> {
        let operation = "inverse";
        if self.is_square() && !self.factors().iter().all(Factor::is_square) {
            for (name, factor) in self.named() {
                check_finite(operation, name, factor)?;
            }
            return Err(KronError::Singular { operation, name: L::PRODUCT });
        }
        inverse_of(self, &self.solver(operation)?.lus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{Kron, KronChain};
    use crate::test_support::{all_close, kron_of, positive, stretched};
    use lokr_testing::matrix;
    use ndarray::{Array2, array};

    fn times_itself_is_the_identity<T: Scalar>() {
        for (n, q) in [(1, 1), (1, 5), (3, 2), (7, 4)] {
            let k = Kron::new(positive::<T>(n, 1), positive(q, 2)).unwrap();
            let product = k.to_dense().dot(&k.inverse().unwrap().to_dense());
            all_close(&product, &Array2::eye(n * q), T::from_f64_lossy(100.0));
        }
    }

    #[test]
    fn the_inverse_times_itself_is_the_identity_in_f32_and_f64() {
        times_itself_is_the_identity::<f32>();
        times_itself_is_the_identity::<f64>();
    }

    #[test]
    fn a_low_rank_factor_of_full_rank_has_an_inverse() {
        let b = Factor::low_rank(positive::<f64>(3, 2), positive(3, 5)).unwrap();
        let k = Kron::new(array![[2.0]], b).unwrap();
        all_close(&k.to_dense().dot(&k.inverse().unwrap().to_dense()), &Array2::eye(3), 1000.0);
    }

    fn inverses_of_chains<T: Scalar>(large: f64) {
        for sizes in [&[3][..], &[2, 3, 1], &[1, 4, 1, 3], &[2; 4]] {
            let factors = (1..).zip(sizes).map(|(seed, &size)| positive::<T>(size, seed));
            let chain = KronChain::new(factors).unwrap();
            let identity = Array2::eye(chain.nrows());
            for scale in [1.0, large, 1.0 / large].map(T::from_f64_lossy) {
                let unit = if sizes.len() % 2 == 0 { T::one() } else { scale };
                let inverse = stretched(&chain, scale).inverse().unwrap().to_dense().unwrap() * unit;
                all_close(&chain.to_dense().unwrap().dot(&inverse), &identity, T::from_f64_lossy(200.0));
            }
        }
    }

    #[test]
    fn inverses_of_chains_at_every_scale() {
        inverses_of_chains::<f32>(1e30);
        inverses_of_chains::<f64>(1e200);
    }

    fn inverses_at_every_scale<T: Scalar>(scales: &[(f64, f64)]) {
        let square = positive::<T>(3, 5);
        let regular = Kron::new(&square, &square).unwrap().inverse().unwrap().to_dense();
        for &(of_a, of_b) in scales {
            let both = T::from_f64_lossy(of_a * of_b);
            let k = Kron::new(&square * T::from_f64_lossy(of_a), &square * T::from_f64_lossy(of_b)).unwrap();
            all_close(&(k.inverse().unwrap().to_dense() * both), &regular, T::from_usize_lossy(10));
        }
    }

    #[test]
    fn inverses_at_every_scale_in_f32_and_f64() {
        inverses_at_every_scale::<f32>(&[(1e30, 1e-30), (1e-25, 1e25), (1e30, 1.0), (1.0, 1e-30)]);
        inverses_at_every_scale::<f64>(&[(1e200, 1e-200), (1e-300, 1e300), (1e300, 1.0), (1.0, 1e-290), (1e-250, 1.0)]);
    }

    #[test]
    fn the_inverse_of_a_factor_out_of_range() {
        let low = Factor::low_rank(array![[1e200]], array![[1e200]]).unwrap();
        let k = Kron::new(low, array![[1e-200]]).unwrap();
        all_close(&(k.inverse().unwrap().to_dense() * 1e200), &array![[1.0]], 4.0);
    }

    #[test]
    fn a_square_product_of_rectangles_is_singular() {
        let k = kron_of::<f64>(3, 5, 5, 3);
        let singular = |name| KronError::Singular { operation: "inverse", name };
        assert_eq!(k.inverse(), Err(singular("A ⊗ B")));
        assert_eq!(singular("A ⊗ B").to_string(), "inverse: A ⊗ B is singular");
        let factors = || [matrix::<f64>(2, 3, 1), matrix(1, 1, 2), matrix(3, 2, 3)];
        assert_eq!(KronChain::new(factors()).unwrap().inverse(), Err(singular("A₁ ⊗ … ⊗ A_k")));
        let mut bad = factors();
        bad[2][[0, 0]] = f64::NAN;
        let error = KronError::NonFinite { operation: "inverse", argument: "A₃", count: 1 };
        assert_eq!(KronChain::new(bad).unwrap().inverse(), Err(error));
        let (one, zero) = (array![[1.0]], array![[0.0]]);
        assert_eq!(KronChain::new([&one, &one, &zero]).unwrap().inverse(), Err(singular("A₃")));
        let error = KronError::NotSquare { operation: "inverse", name: "A₃", shape: (1, 2) };
        assert_eq!(KronChain::new([&one, &one, &array![[1.0, 2.0]]]).unwrap().inverse(), Err(error));
    }

    #[test]
    fn what_has_no_inverse_is_named() {
        let operation = "inverse";
        let error = kron_of::<f64>(2, 2, 3, 4).inverse().unwrap_err();
        assert_eq!(error, KronError::NotSquare { operation, name: "B", shape: (3, 4) });
        let singular = array![[1.0, 2.0], [2.0, 4.0]];
        let error = Kron::new(&singular, array![[1.0]]).unwrap().inverse().unwrap_err();
        assert_eq!(error, KronError::Singular { operation, name: "A" });
        let low = Factor::low_rank(matrix(3, 2, 1), matrix(2, 3, 2)).unwrap();
        let error = Kron::new(array![[1.0]], low).unwrap().inverse().unwrap_err();
        assert_eq!(error, KronError::Singular { operation, name: "B" });
    }
}
