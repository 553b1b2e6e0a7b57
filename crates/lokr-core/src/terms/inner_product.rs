//! Inner product and angle of sums of products, from the factors.

use super::kron_terms::KronTerms;
use super::split;
use crate::error::{KronError, Result};
use crate::nearest::UnitTerm;
use crate::operator::Kron;
use crate::scalar::Scalar;
use crate::sums::Extended;

impl<T: Scalar> KronTerms<'_, T> {
    /// The Frobenius inner product with a product or another sum, the sum of the products of equal elements:
    /// `Σₜ Σᵤ wₜ·vᵤ·⟨Aₜ ⊗ Bₜ, Cᵤ ⊗ Dᵤ⟩`.
    ///
    /// # Cost
    /// For every pair of terms that split alike, one pass over their factors. Where one split refines the other (its
    /// second factor's sides divide those of the other's), likewise. Other splits have parts in common that repeat
    /// after the least common multiples `L` and `L'` of the second factors' rows and columns: `2·L·L'` flops, at most
    /// those of the dense matrix, which is never formed.
    /// # Accuracy
    /// Made in `f64`, with numbers that may leave the range of the type; the error is of the order of
    /// `ε·Σₜ Σᵤ |wₜ·vᵤ|·‖Aₜ‖·‖Bₜ‖·‖Cᵤ‖·‖Dᵤ‖` with the `ε` of `f64`.
    /// # Errors
    /// [`KronError::Shape`].
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronTerms};
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 2.0]], array![[3.0], [4.0]])?; // [[3, 6], [4, 8]]
    /// let identity = Kron::new(array![[1.0]], array![[1.0, 0.0], [0.0, 1.0]])?;
    /// let sum = KronTerms::new([(1.0, k.view()), (-3.0, identity.view())])?; // [[0, 6], [4, 5]]
    /// assert_eq!(sum.inner(&k)?, 36.0 + 16.0 + 40.0);
    /// assert_eq!(sum.inner(&sum)?, 36.0 + 16.0 + 25.0);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn inner<'k>(&self, other: impl Into<KronTerms<'k, T>>) -> Result<T> {
        Ok(T::from_f64_lossy(self.extended_inner("inner", &other.into())?.value()))
    }

    /// The cosine of the angle to a product or another sum, as vectors of their elements, in `[−1, 1]`; `0` when one of
    /// them is zero and the other finite. Of elements of any size; NaN when one is NaN or infinite.
    ///
    /// # Errors
    /// [`KronError::Shape`].
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[3.0]], array![[1.0, 0.0]])?;
    /// let l = Kron::new(array![[0.0, 4.0]], array![[1.0]])?;
    /// assert!((k.plus(&l)?.cosine(&k)? - 0.6_f64).abs() < 1e-15);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn cosine<'k>(&self, other: impl Into<KronTerms<'k, T>>) -> Result<T> {
        let other = other.into();
        let inner = self.extended_inner("cosine", &other)?;
        let (norm, other_norm) = (self.norm(), other.norm());
        if (norm.is_zero() || other_norm.is_zero()) && self.count_non_finite() + other.count_non_finite() == 0 {
            return Ok(T::zero());
        }
        Ok(T::from_f64_lossy((inner / norm / other_norm).value().clamp(-1.0, 1.0)))
    }

    fn extended_inner(&self, operation: &'static str, other: &KronTerms<'_, T>) -> Result<Extended<f64>> {
        KronError::check_shape(operation, "the other sum", self.dim(), other.dim())?;
        Ok(inner_of(&self.pairs().collect::<Vec<_>>(), &other.pairs().collect::<Vec<_>>()))
    }
}

/// The inner product of two sums of equal shape.
pub(super) fn inner_of<T: Scalar>(left: &[(T, &Kron<'_, T>)], right: &[(T, &Kron<'_, T>)]) -> Extended<f64> {
    let units = |sum: &[(T, &Kron<'_, T>)]| -> Vec<_> {
        sum.iter().map(|(weight, term)| UnitTerm::new(weight.to_f64_exact(), term.cast::<f64>())).collect()
    };
    let (left, right) = (units(left), units(right));
    let pairs = left.iter().flat_map(|left| right.iter().map(move |right| (left, right)));
    pairs.map(|(k, l)| k.weight * l.weight * product_inner(&k.kron, &l.kron)).sum()
}

/// The inner product of two products of equal shape and of scale one.
fn product_inner(k: &Kron<'_, f64>, l: &Kron<'_, f64>) -> Extended<f64> {
    match k.inner(l) {
        Ok(inner) => Extended::new(inner),
        Err(_) => split::inner(k, l),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terms::test_sums::sums;
    use crate::test_support::{close, kron_of};
    use ndarray::{Array2, array};

    fn agree_with_the_dense_elements<T: Scalar>(scales: [f64; 3]) {
        let sums = sums::<T>();
        for (sum, dense) in &sums {
            for (other, other_dense) in sums.iter().filter(|(other, _)| other.dim() == sum.dim()) {
                let exact = |x: &Array2<T>, y: &Array2<T>| {
                    T::from_f64_lossy(x.iter().zip(y).map(|(x, y)| x.to_f64_exact() * y.to_f64_exact()).sum())
                };
                let (expected, length) = (exact(dense, other_dense), T::from_usize_lossy(4 * dense.len()));
                let norms = exact(dense, dense).sqrt() * exact(other_dense, other_dense).sqrt();
                for scale in scales.map(T::from_f64_lossy) {
                    let (k, l) = (sum * scale, other * (T::one() / scale));
                    close(k.inner(&l).unwrap(), expected, length);
                    close(k.cosine(&l).unwrap(), expected / norms, length);
                    close(k.cosine(&k).unwrap(), T::one(), T::one());
                    close(k.cosine(-&k * scale).unwrap(), -T::one(), T::one());
                }
            }
            for term in sum.terms() {
                let of_term = T::from_f64_lossy(
                    dense.iter().zip(&term.to_dense()).map(|(x, y)| x.to_f64_exact() * y.to_f64_exact()).sum(),
                );
                close(sum.inner(term).unwrap(), of_term, T::from_usize_lossy(4 * dense.len()));
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_elements_at_every_scale() {
        agree_with_the_dense_elements::<f32>([1.0, 1e-15, 1e15]);
        agree_with_the_dense_elements::<f64>([1.0, 1e-200, 1e200]);
    }

    #[test]
    fn zero_and_values_that_are_not_finite() {
        let k = kron_of::<f64>(2, 3, 4, 1);
        let (zero, nan) = (KronTerms::from(&k) * 0.0, KronTerms::from(&k) * f64::NAN);
        assert_eq!((zero.cosine(&k), zero.inner(&k)), (Ok(0.0), Ok(0.0)));
        assert!(nan.cosine(&zero).unwrap().is_nan() && zero.cosine(&nan).unwrap().is_nan());
        assert!(nan.inner(&k).unwrap().is_nan());
        let infinite = Kron::new(array![[f64::INFINITY]], Array2::ones((8, 3))).unwrap();
        assert!(k.plus(&infinite).unwrap().cosine(&k).unwrap().is_nan());
    }

    #[test]
    fn another_shape_is_an_error() {
        let (k, l) = (KronTerms::from(kron_of::<f64>(2, 3, 4, 1)), kron_of(4, 3, 1, 1));
        let error = |operation| {
            let argument = "the other sum";
            Err(KronError::Shape { operation, argument, expected: (8, 3), found: (4, 3) })
        };
        assert_eq!((k.inner(&l), k.cosine(&l)), (error("inner"), error("cosine")));
    }
}
