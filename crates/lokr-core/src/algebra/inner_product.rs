//! Inner product and angle of two Kronecker products.

use std::ops::Mul;

use num_traits::One;

use super::halves::in_range;
use super::norm::frobenius_norm;
use crate::error::{KronError, Result};
use crate::gemm::{Threads, matmul};
use crate::operator::{Factor, FactorList, KronBase};
use crate::scalar::Scalar;
use crate::sums::{Extended, dot};

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// The Frobenius inner product, the sum of the products of equal elements:
    /// `⟨A ⊗ B, C ⊗ D⟩ = ⟨A, C⟩·⟨B, D⟩`.
    ///
    /// # Shapes
    /// `A` and `C`, and `B` and `D`, have equal shapes, and so has every further pair of as many factors. Two products
    /// of equal overall shape from other factor shapes have an inner product too, but not one of this form.
    /// # Cost
    /// One pass over the factors. Of two low-rank factors with inner sizes `r` and `t` neither is formed:
    /// `2·(rows + cols)·r·t` flops; one that meets a full factor is formed.
    /// # Accuracy
    /// Products are added in blocks and the blocks in pairs, in an order that does not depend on threads. Neither they
    /// nor the inner products of the factors need to be values of the type; the result does.
    /// # Errors
    /// [`KronError::FactorShapes`].
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::{Array2, array};
    /// let b = array![[1.0], [2.0]];
    /// let k = Kron::new(array![[1.0, 2.0]], &b)?;
    /// let l = Kron::new(array![[3.0, 4.0]], &b)?;
    /// assert_eq!(k.inner(&l)?, (3.0 + 8.0) * (1.0 + 4.0));
    /// assert_eq!(k.kron(&b)?.inner(&l.kron(&b)?)?, 55.0 * 5.0); // three factors
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn inner<M: FactorList<Elem = T>>(&self, other: &KronBase<M>) -> Result<T> {
        check_same_shapes("inner", self, other)?;
        let pairs = self.factors().iter().zip(other.factors());
        Ok(pairs.map(|(x, y)| inner(x, y)).fold(Extended::one(), Mul::mul).value())
    }

    /// The cosine of the angle between two products as vectors of their elements,
    /// `⟨K, L⟩ / (‖K‖_F·‖L‖_F)`, in `[−1, 1]`; `0` when one of them is zero and
    /// the other finite. Of elements of any size; NaN when one is NaN or infinite.
    ///
    /// # Errors
    /// [`KronError::FactorShapes`], as for [`KronBase::inner`].
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::{Array2, array};
    /// let b = array![[1.0], [2.0]];
    /// let k = Kron::new(array![[3.0, 4.0]], &b)?;
    /// let l = Kron::new(array![[0.0, -2.0]], &b)?;
    /// assert!((k.cosine(&l)? - -0.8_f64).abs() < 1e-15);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn cosine<M: FactorList<Elem = T>>(&self, other: &KronBase<M>) -> Result<T> {
        check_same_shapes("cosine", self, other)?;
        let cosine = |x: &Factor<'_, T>, y: &Factor<'_, T>| {
            let (x_norm, y_norm) = (frobenius_norm(x), frobenius_norm(y));
            let inner = inner(x, y);
            // An element that is not finite makes of a zero in the other product a NaN, which stays.
            if (x_norm.is_zero() || y_norm.is_zero()) && inner.is_zero() {
                T::zero()
            } else {
                (inner / x_norm / y_norm).value()
            }
        };
        let pairs = self.factors().iter().zip(other.factors());
        let cosine = pairs.map(|(x, y)| cosine(x, y)).fold(T::one(), |product, cosine| product * cosine);
        Ok(cosine.clamp(-T::one(), T::one()))
    }
}

/// [`KronError::FactorShapes`] unless both have as many factors of the same shapes.
pub(super) fn check_same_shapes<L: FactorList, M: FactorList<Elem = L::Elem>>(
    operation: &'static str,
    left: &KronBase<L>,
    right: &KronBase<M>,
) -> Result<()> {
    let (left, right) = (left.shapes(), right.shapes());
    if left == right { Ok(()) } else { Err(KronError::FactorShapes { operation, left, right }) }
}

fn inner<T: Scalar>(x: &Factor<'_, T>, y: &Factor<'_, T>) -> Extended<T> {
    let ((x, x_exponent), (y, y_exponent)) = (in_range(x), in_range(y));
    let inner = match (&x, &y) {
        // ⟨L·R, M·S⟩ = tr(Rᵀ·Lᵀ·M·S) = ⟨Lᵀ·M, R·Sᵀ⟩.
        (Factor::LowRank(x), Factor::LowRank(y)) => {
            let left = matmul(x.left().reversed_axes(), y.left(), Threads::All);
            let right = matmul(x.right(), y.right().reversed_axes(), Threads::All);
            dot(left.view(), right.view())
        }
        _ => dot(x.dense().view(), y.dense().view()),
    };
    inner.times_two_to(x_exponent + y_exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{Kron, KronChain};
    use crate::test_support::{all_chains, cases, close, kron_of, stretched};
    use lokr_testing::matrix;
    use ndarray::{Array2, array};

    fn agrees_with_the_dense_elements<T: Scalar>() {
        let shapes = [(3, 2, 5, 7), (1, 4, 3, 1), (1, 1, 1, 1)];
        for shape in shapes {
            let cases = cases::<T>(&[shape]);
            for (k, k_dense) in &cases {
                for (l, l_dense) in &cases {
                    let expected = (k_dense * l_dense).sum();
                    let scale = T::from_usize_lossy(k_dense.len());
                    close(k.inner(l).unwrap(), expected, scale);
                    let norms = (k_dense * k_dense).sum().sqrt() * (l_dense * l_dense).sum().sqrt();
                    close(k.cosine(l).unwrap(), expected / norms, scale / norms);
                }
            }
        }
    }

    fn chains_agree_with_the_dense_elements<T: Scalar>(large: f64) {
        for (chain, dense) in all_chains::<T>() {
            let other = KronChain::new(
                chain
                    .factors()
                    .iter()
                    .enumerate()
                    .map(|(index, factor)| matrix::<T>(factor.nrows(), factor.ncols(), 30 + index as u64)),
            );
            let other = other.unwrap();
            let other_dense = other.to_dense().unwrap();
            let (expected, scale) = ((&dense * &other_dense).sum(), T::from_usize_lossy(4 * dense.len()));
            let norms = (&dense * &dense).sum().sqrt() * (&other_dense * &other_dense).sum().sqrt();
            for scale_of_one in [1.0, large, 1.0 / large].map(T::from_f64_lossy) {
                let (k, l) = (stretched(&chain, scale_of_one), stretched(&other, T::one() / scale_of_one));
                close(k.inner(&l).unwrap(), expected, scale);
                close(k.cosine(&l).unwrap(), expected / norms, scale / norms);
                close(k.cosine(&k).unwrap(), T::one(), scale);
            }
        }
    }

    #[test]
    fn chains_agree_with_the_dense_elements_at_every_scale() {
        chains_agree_with_the_dense_elements::<f32>(1e30);
        chains_agree_with_the_dense_elements::<f64>(1e200);
    }

    #[test]
    fn two_factors_and_a_chain_of_two_meet() {
        let k = kron_of::<f64>(3, 2, 4, 5);
        let chain = KronChain::from(k.clone());
        assert_eq!(k.inner(&chain), k.inner(&k));
        assert_eq!(chain.cosine(&k), k.cosine(&k));
        let three = chain.kron(array![[1.0]]).unwrap();
        let error = three.inner(&k).unwrap_err().to_string();
        assert_eq!(error, "inner: the factors (3, 2) ⊗ (4, 5) ⊗ (1, 1) and (3, 2) ⊗ (4, 5) do not fit each other");
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_elements() {
        agrees_with_the_dense_elements::<f32>();
        agrees_with_the_dense_elements::<f64>();
    }

    #[test]
    fn cosine_of_itself_its_negative_and_zero() {
        let k = kron_of::<f64>(3, 2, 4, 5);
        let negative = Kron::new(k.a().to_dense() * -3.0, k.b().view()).unwrap();
        close(k.cosine(&k).unwrap(), 1.0, 1.0);
        close(k.cosine(&negative).unwrap(), -1.0, 1.0);
        let zero = Kron::new(Array2::<f64>::zeros((3, 2)), matrix(4, 5, 1)).unwrap();
        assert_eq!(k.cosine(&zero), Ok(0.0));
    }

    fn inner_of_opposite_scales<T: Scalar>(large: f64) {
        let (large, small) = (T::from_f64_lossy(large), T::from_f64_lossy(1.0 / large));
        let k = Kron::new(array![[large]], array![[small]]).unwrap();
        close(k.inner(&k).unwrap(), T::one(), T::one());
        let three_four = |scale: T| array![[T::from_f64_lossy(3.0) * scale, T::from_f64_lossy(4.0) * scale]];
        for scale in [large, small, T::one()] {
            let one = array![[T::one()]];
            let k = Kron::new(three_four(scale), &one).unwrap();
            let mut turned = three_four(scale);
            turned.invert_axis(ndarray::Axis(1));
            let l = Kron::new(turned, &one).unwrap();
            close(k.cosine(&l).unwrap(), T::from_f64_lossy(0.96), T::one());
            let [plus, minus] =
                [T::one(), -T::one()].map(|sign| Kron::new(array![[scale, sign * scale]], &one).unwrap());
            assert_eq!(plus.cosine(&minus), Ok(T::zero()));
            assert_eq!(plus.inner(&minus), Ok(T::zero()));
        }
    }

    #[test]
    fn inner_and_cosine_of_every_scale_in_f32_and_f64() {
        inner_of_opposite_scales::<f32>(1e30);
        inner_of_opposite_scales::<f64>(1e200);
    }

    #[test]
    fn cosine_with_a_value_that_is_not_finite_is_nan() {
        let zero = Kron::new(array![[0.0]], array![[1.0]]).unwrap();
        for bad in [f64::NAN, f64::INFINITY] {
            let k = Kron::new(array![[bad]], array![[1.0]]).unwrap();
            assert!(k.cosine(&k).unwrap().is_nan() && k.cosine(&zero).unwrap().is_nan());
            assert!(zero.cosine(&k).unwrap().is_nan());
        }
    }

    #[test]
    fn other_factor_shapes_are_an_error_that_names_both() {
        let (k, l) = (kron_of::<f64>(2, 3, 5, 1), kron_of::<f64>(5, 1, 2, 3));
        assert_eq!(k.dim(), l.dim());
        for (operation, result) in [("inner", k.inner(&l)), ("cosine", k.cosine(&l))] {
            let error = result.unwrap_err();
            let (left, right) = (vec![(2, 3), (5, 1)], vec![(5, 1), (2, 3)]);
            assert_eq!(error, KronError::FactorShapes { operation, left, right });
            assert!(error.to_string().contains("(2, 3) ⊗ (5, 1) and (5, 1) ⊗ (2, 3)"), "{error}");
        }
        let nan = Kron::new(array![[f64::NAN]], array![[1.0]]).unwrap();
        assert!(nan.inner(&nan).unwrap().is_nan());
    }
}
