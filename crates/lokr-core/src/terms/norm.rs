//! The norm of a sum of products, from the factors.

use ndarray::Array2;

use super::inner_product::inner_of;
use super::kron_terms::KronTerms;
use crate::check::count_non_finite;
use crate::error::Result;
use crate::nearest::stacked;
use crate::operator::Kron;
use crate::scalar::Scalar;
use crate::sums::Extended;

impl<'a, T: Scalar> KronTerms<'a, T> {
    /// The Frobenius norm of the sum, from the factors.
    ///
    /// # Method
    /// Of products that split alike, `R(Σ wₜ·Aₜ ⊗ Bₜ) = X·Yᵀ` with the columns `wₜ·vec(Aₜ)` and `vec(Bₜ)` (Van Loan &
    /// Pitsianis 1993); its norm is that of `R_X·R_Yᵀ`, from two QR decompositions. Of several splits, the squares of
    /// their norms and twice their inner products are added.
    /// # Accuracy
    /// Made in `f64`, and right at every scale. For one split the error is of the order of `ε·Σ|wₜ|·‖Aₜ‖·‖Bₜ‖` with the
    /// `ε` of `f64`, however much the terms cancel; where those of several splits cancel, `√ε` takes its place, 1e−8.
    /// Values that are not finite make the norm infinite or NaN.
    /// # Cost
    /// `4·(m·n + p·q)·k²` flops for `k` terms of one split, as much memory as their factors; low-rank factors are
    /// formed. Of several splits, that of [`KronTerms::inner`] besides.
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronTerms};
    /// # use ndarray::array;
    /// let k = Kron::new(array![[3.0, 4.0]], array![[1.0], [2.0]])?;
    /// let nearly = Kron::new(array![[3.0, 4.0 + 1e-12]], array![[1.0], [2.0]])?;
    /// let norm = k.minus(&nearly)?.frobenius_norm(); // of which squares of norms know nothing any more
    /// assert!((norm / (1e-12 * 5.0_f64.sqrt()) - 1.0).abs() < 1e-3);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn frobenius_norm(&self) -> T {
        T::from_f64_lossy(self.norm().value())
    }

    pub(super) fn norm(&self) -> Extended<f64> {
        if self.count_non_finite() > 0 {
            let norms = self.pairs().map(|(weight, term)| (weight.abs() * term.frobenius_norm()).to_f64_exact());
            return Extended::new(norms.sum());
        }
        let splits = self.splits();
        // Their shapes fit, so that there is always a norm.
        let norms = splits.iter().map(|split| split_norm(split)).collect::<Result<Vec<_>>>();
        let norms = norms.unwrap_or_else(|_| vec![Extended::new(f64::NAN)]);
        if let [norm] = norms[..] {
            return norm;
        }
        let squares = norms.iter().map(|&norm| norm * norm);
        let pairs = splits.iter().enumerate().flat_map(|(i, left)| splits[..i].iter().map(move |right| (left, right)));
        let products = pairs.map(|(left, right)| inner_of(left, right).times_two_to(1));
        let sum: Extended<f64> = squares.chain(products).sum();
        // Less than zero is the rounding error of a zero.
        if sum.times_two_to(-sum.exponent()).value() < 0.0 { Extended::new(0.0) } else { sum.sqrt() }
    }

    /// How many weights and values of factors are NaN or infinite.
    pub(super) fn count_non_finite(&self) -> usize {
        let weights = self.weights().iter().filter(|weight| !weight.is_finite()).count();
        weights + self.parts().map(|part| count_non_finite(&part)).sum::<usize>()
    }

    /// The terms by their factors' shapes, in the order in which these come.
    pub(super) fn splits(&self) -> Vec<Vec<(T, &Kron<'a, T>)>> {
        let mut splits: Vec<Vec<(T, &Kron<'a, T>)>> = Vec::new();
        for (weight, term) in self.pairs() {
            match splits.iter_mut().find(|split| split.iter().all(|(_, other)| other.shape() == term.shape())) {
                Some(split) => split.push((weight, term)),
                None => splits.push(vec![(weight, term)]),
            }
        }
        splits
    }
}

/// The norm of terms that split alike.
fn split_norm<T: Scalar>(split: &[(T, &Kron<'_, T>)]) -> Result<Extended<f64>> {
    let (halves, exponent) = stacked(split)?;
    // A product with the number one, whose norm is that of the other factor.
    let norm = Kron::new(halves, Array2::ones((1, 1)))?.frobenius_norm();
    Ok(Extended::new(norm).times_two_to(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::Factor;
    use crate::terms::test_sums::sums;
    use crate::test_support::{close, kron_of};
    use lokr_testing::matrix;
    use ndarray::array;

    fn dense_norm<T: Scalar>(dense: &Array2<T>) -> f64 {
        dense.iter().map(|x| x.to_f64_exact() * x.to_f64_exact()).sum::<f64>().sqrt()
    }

    fn agrees_with_the_dense_sum<T: Scalar>(scales: [f64; 3]) {
        for (sum, dense) in sums::<T>() {
            for scale in scales {
                let scale = T::from_f64_lossy(scale);
                let expected = T::from_f64_lossy(dense_norm(&dense));
                close((&sum * scale).frobenius_norm() / scale, expected, T::from_f64_lossy(8.0));
                close(sum.transposed().frobenius_norm(), expected, T::from_f64_lossy(8.0));
                // Weights and factors of opposite scale.
                let mut opposite = sum.clone() * (T::one() / scale);
                opposite.parts_mut().step_by(2).for_each(|mut part| part *= scale);
                if opposite.terms().iter().all(|term| matches!(term.b(), Factor::Full(_))) {
                    close(opposite.frobenius_norm(), expected, T::from_f64_lossy(8.0));
                }
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_sum_at_every_scale() {
        agrees_with_the_dense_sum::<f32>([1.0, 1e-30, 1e30]);
        agrees_with_the_dense_sum::<f64>([1.0, 1e-200, 1e200]);
    }

    /// What the documentation says of terms that cancel.
    #[test]
    fn terms_that_cancel_leave_their_difference() {
        let (a, b, c) = (matrix::<f64>(4, 3, 1), matrix::<f64>(5, 6, 2), matrix::<f64>(4, 3, 3));
        let k = Kron::new(&a, &b).unwrap();
        for small in [1e-3, 1e-6, 1e-9, 1e-12] {
            let moved = Kron::new(&a + &(&c * small), &b).unwrap();
            let difference = moved.a().to_dense() - &a; // as it was rounded
            let expected = dense_norm(&difference) * dense_norm(&b);
            let found = moved.minus(&k).unwrap().frobenius_norm();
            assert!((found - expected).abs() < 1e-14 * k.frobenius_norm(), "{small:e}: {found:e} {expected:e}");

            // The same product in another split: a ⊗ b is one term of either.
            let row = Kron::new(array![[1.0]], k.to_dense()).unwrap();
            let across = moved.minus(&row).unwrap().frobenius_norm();
            assert!((across - expected).abs() < 1e-7 * k.frobenius_norm(), "{small:e}: {across:e} {expected:e}");
        }
        assert!(k.minus(&k).unwrap().frobenius_norm() < 1e-15 * k.frobenius_norm());
    }

    #[test]
    fn more_terms_than_a_factor_has_values() {
        let terms = (0..10).map(|t| (1.0, Kron::new(matrix::<f64>(1, 2, t), matrix(3, 3, t + 20)).unwrap()));
        let sum = KronTerms::new(terms).unwrap();
        close(sum.frobenius_norm(), dense_norm(&sum.to_dense()), 4.0);
    }

    #[test]
    fn zero_and_values_that_are_not_finite() {
        let k = kron_of::<f64>(2, 3, 4, 1);
        assert_eq!((&KronTerms::from(&k) * 0.0).frobenius_norm(), 0.0);
        let none = Factor::low_rank(Array2::<f64>::zeros((4, 0)), Array2::zeros((0, 1))).unwrap();
        let zero = Kron::new(matrix(2, 3, 1), none).unwrap();
        assert_eq!(KronTerms::from(&zero).frobenius_norm(), 0.0);
        close(zero.plus(&k).unwrap().frobenius_norm(), k.frobenius_norm(), 1.0);
        let infinite = Kron::new(array![[f64::INFINITY]], Array2::ones((8, 3))).unwrap();
        assert_eq!(k.plus(&infinite).unwrap().frobenius_norm(), f64::INFINITY);
        assert!((KronTerms::from(&k) * f64::NAN).plus(&infinite).unwrap().frobenius_norm().is_nan());
    }
}
