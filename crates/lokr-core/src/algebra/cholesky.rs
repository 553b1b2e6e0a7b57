//! Cholesky decomposition: a Kronecker product of two lower triangular matrices.

use ndarray::Array2;

use crate::decompose::{Kind, Symmetry, cholesky_lower, kind, symmetric_dense};
use crate::error::{KronError, Result};
use crate::operator::{Factor, FactorList, KronBase};
use crate::scalar::Scalar;

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// The Cholesky factor `L` of a positive definite product: `A ⊗ B = L·Lᵀ`, `L = L_A ⊗ L_B`, lower triangular.
    ///
    /// The product is positive definite when all factors are, and also when an even number of them is negative
    /// definite, since `A ⊗ B = (−A) ⊗ (−B)`.
    ///
    /// # Cost
    /// `1/3·(n³ + q³)` flops.
    /// # Errors
    /// [`KronError::NotSquare`]; [`KronError::NonFinite`]; [`KronError::NotSymmetric`] when `|M[i, j] − M[j, i]|`
    /// exceeds `size · ε · max|M|` in a factor (less is taken for rounding and averaged; for more there is
    /// [`KronBase::cholesky_with`]); [`KronError::NotPositiveDefinite`], also for a low-rank factor with an inner size
    /// less than its side, and for an even number of skew factors among symmetric ones, whose product is symmetric but
    /// never definite.
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronChain};
    /// # use ndarray::array;
    /// let a = array![[4.0, 2.0], [2.0, 10.0]];
    /// let l = Kron::new(&a, array![[9.0]])?.cholesky()?;
    /// assert_eq!(l.to_dense(), array![[6.0, 0.0], [3.0, 9.0]]);
    /// let chain = KronChain::new([a, array![[-3.0]], array![[-3.0]]])?;
    /// assert!((chain.cholesky()?.to_dense()? - l.to_dense()).iter().all(|&value: &f64| value.abs() < 1e-14));
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn cholesky(&self) -> Result<KronBase<L::Like<'static, T>>> {
        self.cholesky_with(Symmetry::Rounding)
    }

    /// [`KronBase::cholesky`] of the symmetric parts of the factors, with a measure of how symmetric they must be.
    ///
    /// # Errors
    /// As [`KronBase::cholesky`].
    pub fn cholesky_with(&self, symmetry: Symmetry<T>) -> Result<KronBase<L::Like<'static, T>>> {
        let operation = "cholesky";
        for (name, factor) in self.named() {
            KronError::check_square(operation, name, factor.dim())?;
        }
        let kinds = self.named().map(|(name, factor)| kind(operation, name, factor, symmetry));
        let kinds: Vec<Kind> = kinds.collect::<Result<_>>()?;
        let skew = kinds.iter().filter(|&&kind| kind == Kind::Skew).count();
        if skew > 0 && skew % 2 == 0 && !kinds.contains(&Kind::General) {
            return Err(KronError::NotPositiveDefinite { operation, name: L::PRODUCT });
        }
        let parts = self.named().map(|(name, factor)| symmetric_dense(operation, name, factor, symmetry));
        let mut parts: Vec<Array2<T>> = parts.collect::<Result<_>>()?;
        let mut negative: Vec<_> = parts.iter_mut().filter(|part| part[[0, 0]] < T::zero()).collect();
        for pair in negative.chunks_exact_mut(2).flatten() {
            pair.mapv_inplace(|value| -value);
        }
        let mut parts = parts.iter();
        self.try_map(self.dim(), |name, factor| Ok(lower(name, factor, parts.next())?.into()))
    }
}

/// The Cholesky factor of a factor's symmetric part.
fn lower<T: Scalar>(name: &'static str, factor: &Factor<'_, T>, part: Option<&Array2<T>>) -> Result<Array2<T>> {
    let possible = part.filter(|_| factor.rank_bound() == factor.nrows());
    let lower = possible.and_then(|part| cholesky_lower(part.view()));
    lower.ok_or(KronError::NotPositiveDefinite { operation: "cholesky", name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{Kron, KronChain};
    use crate::test_support::{all_close, kron_of, positive, stretched, symmetric};
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

    fn chains_rebuild_the_product<T: Scalar>(large: f64) {
        for sizes in [&[3][..], &[2, 3, 2], &[1, 4, 1, 3], &[2; 5]] {
            let plain = |signs: u32| {
                let factors = sizes.iter().enumerate().map(|(index, &size)| {
                    let sign = if signs >> index & 1 == 1 { -T::one() } else { T::one() };
                    positive::<T>(size, index as u64) * sign
                });
                KronChain::new(factors).unwrap()
            };
            for signs in 0..1 << sizes.len() {
                let k = plain(signs);
                if signs.count_ones() % 2 == 1 {
                    assert!(matches!(k.cholesky(), Err(KronError::NotPositiveDefinite { .. })));
                    continue;
                }
                let (dense, size) = (plain(0).to_dense().unwrap(), T::from_usize_lossy(16 * k.nrows()));
                for scale in [1.0, large, 1.0 / large].map(T::from_f64_lossy) {
                    let unit = if sizes.len() % 2 == 0 { T::one() } else { scale };
                    let l = stretched(&k, scale).cholesky().unwrap().to_dense().unwrap() / unit.sqrt();
                    assert!(l.indexed_iter().all(|((i, j), &value)| i >= j || value == T::zero()));
                    all_close(&l.dot(&l.t()), &dense, size * dense.iter().fold(T::zero(), |max, x| max.max(x.abs())));
                }
            }
        }
    }

    #[test]
    fn chains_rebuild_the_product_at_every_scale() {
        chains_rebuild_the_product::<f32>(1e30);
        chains_rebuild_the_product::<f64>(1e200);
    }

    #[test]
    fn obstacles_in_a_chain_are_named() {
        let operation = "cholesky";
        let (one, skew) = (array![[1.0]], array![[0.0, 1.0], [-1.0, 0.0]]);
        let error = |last: Array2<f64>| KronChain::new([&one, &one, &last]).unwrap().cholesky().unwrap_err();
        assert_eq!(error(array![[1.0, 2.0]]), KronError::NotSquare { operation, name: "A₃", shape: (1, 2) });
        assert_eq!(error(array![[f64::NAN]]), KronError::NonFinite { operation, argument: "A₃", count: 1 });
        assert_eq!(error(skew.clone()), KronError::NotSymmetric { operation, name: "A₃", difference: 2.0 });
        assert_eq!(error(-&one), KronError::NotPositiveDefinite { operation, name: "A₃" });
        let whole = KronError::NotPositiveDefinite { operation, name: "A₁ ⊗ … ⊗ A_k" };
        assert_eq!(KronChain::new([&skew, &one, &skew]).unwrap().cholesky(), Err(whole));
    }

    #[test]
    fn asymmetry_of_rounding_size_is_accepted() {
        let mut a = positive::<f64>(3, 1);
        a[[0, 2]] *= 1.0 + f64::EPSILON;
        assert!(Kron::new(a, array![[1.0]]).unwrap().cholesky().is_ok());
    }

    fn rebuilds_at_every_scale<T: Scalar>(scales: &[f64]) {
        for size in [1, 2, 5, 17] {
            let plain = positive::<T>(size, 1);
            for &scale in scales {
                let scale = T::from_f64_lossy(scale);
                let l = Kron::new(&plain * scale, array![[T::one()]]).unwrap().cholesky().unwrap().to_dense()
                    / scale.sqrt();
                all_close(&l.dot(&l.t()), &plain, T::from_usize_lossy(size * 4));
            }
        }
    }

    #[test]
    fn rebuilds_at_every_scale_in_f32_and_f64() {
        rebuilds_at_every_scale::<f32>(&[1e-36, 1e-30, 1e-25, 1e30, 1e36]);
        rebuilds_at_every_scale::<f64>(&[1e-305, 1e-290, 1e-200, 1e200, 1e300, 1e306]);
    }

    #[test]
    fn values_of_both_ends_of_the_range_and_subnormal_ones() {
        let diagonal = |values| Kron::new(Array2::from_diag(&values), array![[1.0]]).unwrap();
        let l = diagonal(array![1e306, 1e-300]).cholesky().unwrap();
        all_close(
            &(l.a().to_dense().diag().to_owned() / array![1e153, 1e-150]).insert_axis(ndarray::Axis(0)),
            &array![[1.0, 1.0]],
            1.0,
        );
        let smallest = f64::MIN_POSITIVE * f64::EPSILON;
        assert_eq!(diagonal(array![smallest]).cholesky().unwrap().element(0, 0), Ok(2.0_f64.powi(-537)));
    }

    #[test]
    fn the_measure_of_symmetry_can_be_chosen() {
        let mut a = positive::<f64>(4, 1);
        let symmetric = a.clone();
        a[[0, 3]] += 1e-6;
        let k = Kron::new(&a, array![[1.0]]).unwrap();
        assert!(matches!(k.cholesky_with(Symmetry::Within(1e-9)), Err(KronError::NotSymmetric { name: "A", .. })));
        let mut part = symmetric;
        part[[0, 3]] += 5e-7;
        part[[3, 0]] += 5e-7;
        for symmetry in [Symmetry::Within(1e-5), Symmetry::Average] {
            let l = k.cholesky_with(symmetry).unwrap().to_dense();
            all_close(&l.dot(&l.t()), &part, 16.0);
        }
        assert!(matches!(k.cholesky_with(Symmetry::Within(f64::NAN)), Err(KronError::NotSymmetric { .. })));
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
        let skew = array![[0.0, 1.0], [-1.0, 0.0]];
        assert_eq!(error(Kron::new(&skew, &skew).unwrap()), not_positive("A ⊗ B"));
        for bad in [f64::NAN, f64::INFINITY] {
            let non_finite = KronError::NonFinite { operation, argument: "B", count: 1 };
            assert_eq!(error(Kron::new(&skew, array![[1.0, bad], [2.0, 1.0]]).unwrap()), non_finite);
        }
        let overflow = Factor::low_rank(array![[1e200]], array![[1e200]]).unwrap();
        assert_eq!(error(Kron::new(overflow, one()).unwrap()), non_finite);
        let left = matrix::<f64>(3, 2, 1);
        let gram = Factor::low_rank(left.clone(), left.reversed_axes()).unwrap();
        assert_eq!(error(Kron::new(one(), gram).unwrap()), not_positive("B"));
    }
}
