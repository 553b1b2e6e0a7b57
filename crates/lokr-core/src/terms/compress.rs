//! A sum of products made of fewer terms.

use super::kron_terms::KronTerms;
use crate::error::{KronError, Result};
use crate::nearest::nearest_to_sum;
use crate::scalar::Scalar;
use crate::sums::Extended;

impl<T: Scalar> KronTerms<'_, T> {
    /// The same sum, or one near to it, of fewer terms: as many as an error of `tolerance` needs, but at most `terms`.
    /// With it comes the relative error that is left, `‖this − result‖_F / ‖this‖_F`, without the rounding of the
    /// result to the element type.
    ///
    /// `compress(usize::MAX, 1e-12)` drops what is not needed; `compress(2, 0.0)` gives the best two terms. At least
    /// one term is left. The terms have full factors, the weight 1 and the scale shared evenly, and those that split
    /// alike are orthogonal to each other, the largest first: see [`NearestKron`](crate::NearestKron).
    ///
    /// # Method
    /// `R(Σ wₜ·Aₜ ⊗ Bₜ) = X·Yᵀ` has as its best approximation of `k` terms its leading `k` singular triples (Van Loan &
    /// Pitsianis 1993), found by two QR decompositions and the SVD of a matrix with as many rows as there are terms;
    /// the error is the root of the squares of the others. No other sum of `k` products that split so is nearer.
    ///
    /// Products that split otherwise have triples of their own. The largest of all are kept, and the error given is the
    /// sum of that of each split, which the true one does not exceed.
    /// # Cost
    /// `O((m·n + p·q)·k²)` flops for `k` terms; low-rank factors are formed.
    /// # Errors
    /// [`KronError::ZeroSize`] for no terms; [`KronError::NonFinite`], also for a tolerance that is NaN.
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronTerms};
    /// # use ndarray::array;
    /// let b = array![[1.0, 0.0], [0.0, 2.0]];
    /// let k = Kron::new(array![[1.0, 2.0]], &b)?;
    /// let l = Kron::new(array![[3.0, 1.0]], &b)?;
    /// let sum = KronTerms::new([(1.0, k), (-0.5, l)])?; // [[-0.5, 1.5]] ⊗ b
    /// let (one, error) = sum.compress(usize::MAX, 1e-12)?;
    /// assert_eq!(one.terms().len(), 1);
    /// assert!(error < 1e-14 && (one.to_dense() - sum.to_dense()).iter().all(|d: &f64| d.abs() < 1e-14));
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn compress(&self, terms: usize, tolerance: f64) -> Result<(KronTerms<'static, T>, f64)> {
        const OPERATION: &str = "compress";
        KronError::check_no_zero(OPERATION, &[("terms", terms)])?;
        KronError::check_all_finite(OPERATION, "tolerance", usize::from(tolerance.is_nan()))?;
        KronError::check_all_finite(OPERATION, "the sum", self.count_non_finite())?;
        let (norm, splits) = (self.norm(), self.splits());
        let mut found = Vec::new();
        for (index, split) in splits.iter().enumerate() {
            let possible = split.iter().map(|(_, term)| term.shape()).map(|s| (s.m * s.n).min(s.p * s.q)).min();
            let nearest = nearest_to_sum(split, possible.unwrap_or(0).min(split.len()))?;
            for (term, sigma) in nearest.terms.into_iter().zip(nearest.singular_values) {
                // The shares of nothing are nothing.
                let share = if norm.is_zero() { 0.0 } else { (Extended::new(sigma) / norm).value() };
                found.push((share, index, term));
            }
        }
        // Of equals, the first stay first.
        found.sort_by(|(x, ..), (y, ..)| y.total_cmp(x));

        let (mut kept, mut error, mut dropped) = (found.len(), 0.0, vec![0.0; splits.len()]);
        while let Some((share, index, _)) = found[..kept].last().filter(|_| kept > 1) {
            dropped[*index] += share * share;
            let without: f64 = dropped.iter().copied().map(f64::sqrt).sum();
            if kept <= terms && without > tolerance {
                break;
            }
            (kept, error) = (kept - 1, without);
        }
        let terms = found.into_iter().take(kept).map(|(.., term)| (T::one(), term));
        Ok((KronTerms::new(terms)?, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::Kron;
    use crate::terms::test_sums::{close_to, sums};
    use crate::test_support::kron_of;
    use lokr_testing::matrix;
    use ndarray::Array2;

    fn errors_are_what_is_said<T: Scalar>(scales: [f64; 3]) {
        for (sum, dense) in sums::<T>() {
            let splits = sum.splits().len();
            for scale in scales.map(T::from_f64_lossy) {
                let sum = &sum * scale;
                let (all, error) = sum.compress(usize::MAX, 0.0).unwrap();
                assert!(all.terms().len() <= sum.terms().len() && error == 0.0);
                close_to(&(all.to_dense() / scale), &dense);
                for terms in 1..=sum.terms().len() {
                    let (fewer, error) = sum.compress(terms, 0.0).unwrap();
                    assert!(fewer.terms().len() <= terms);
                    let rest = Array2::from_shape_fn(dense.dim(), |at| {
                        ((fewer.element(at.0, at.1).unwrap() / scale) - dense[at]).to_f64_exact()
                    });
                    let whole = dense.iter().map(|x| x.to_f64_exact().powi(2)).sum::<f64>();
                    let found = (rest.iter().map(|x| x * x).sum::<f64>() / whole).sqrt();
                    let rounding = 8.0 * T::epsilon().to_f64_exact();
                    if splits == 1 {
                        assert!((found - error).abs() < rounding, "{found:e} {error:e}");
                    } else {
                        assert!(found < error + rounding, "{found:e} {error:e}");
                    }
                    let (within, less) = sum.compress(usize::MAX, error * 1.0001).unwrap();
                    assert!(within.terms().len() <= fewer.terms().len() && less <= error * 1.0001);
                }
            }
        }
    }

    #[test]
    fn errors_are_what_is_said_in_f32_and_f64_at_every_scale() {
        errors_are_what_is_said::<f32>([1.0, 1e-30, 1e30]);
        errors_are_what_is_said::<f64>([1.0, 1e-200, 1e200]);
    }

    /// Far below the root of ε, which squared norms resolve.
    #[test]
    fn small_errors_are_known() {
        let (k, l) = (kron_of::<f64>(3, 4, 5, 2), Kron::new(matrix(3, 4, 7), matrix(5, 2, 8)).unwrap());
        let sum = KronTerms::new([(1.0, k.view()), (1e-12, l.view())]).unwrap();
        let (one, error) = sum.compress(1, 0.0).unwrap();
        assert!(error > 1e-13 && error < 1e-12, "{error:e}");
        let found = (&one - &sum).unwrap().frobenius_norm() / sum.frobenius_norm();
        assert!((found / error - 1.0).abs() < 0.01);
        assert_eq!(sum.compress(usize::MAX, 2e-12).unwrap().0.terms().len(), 1);
        assert_eq!(sum.compress(usize::MAX, 1e-14).unwrap().0.terms().len(), 2);
    }

    #[test]
    fn the_same_product_many_times_is_one_term_and_zero_is_one_of_zeros() {
        let k = kron_of::<f64>(3, 1, 2, 5);
        let sum = KronTerms::new((1..=20).map(|t| (f64::from(t), k.view()))).unwrap();
        let (one, error) = sum.compress(usize::MAX, 1e-13).unwrap();
        assert_eq!(one.terms().len(), 1);
        assert!(error < 1e-13);
        close_to(&(one.to_dense() / 210.0), &k.to_dense());
        let (zero, error) = (&sum * 0.0).compress(3, 0.0).unwrap();
        assert_eq!((zero.terms().len(), error), (1, 0.0));
        assert_eq!(zero.to_dense(), Array2::<f64>::zeros((6, 5)));
    }

    #[test]
    fn bad_arguments_are_named() {
        let sum = KronTerms::from(kron_of::<f64>(2, 3, 4, 1));
        let operation = "compress";
        assert_eq!(sum.compress(0, 0.0).map(|_| ()), Err(KronError::ZeroSize { operation, name: "terms" }));
        let non_finite = |argument, count| Err(KronError::NonFinite { operation, argument, count });
        assert_eq!(sum.compress(1, f64::NAN).map(|_| ()), non_finite("tolerance", 1));
        assert_eq!((sum * f64::INFINITY).compress(1, 0.0).map(|_| ()), non_finite("the sum", 1));
    }
}
