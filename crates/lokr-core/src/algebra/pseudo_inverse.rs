//! Pseudo-inverses: Kronecker products again.

use ndarray::Array1;

use super::rank::threshold;
use super::scaled_factor::{ScaledFactor, of_factors};
use crate::decompose::{Scaled, ThinSvd, scaled_thin_svd};
use crate::error::Result;
use crate::operator::{Factor, FactorList, KronBase};
use crate::scalar::Scalar;

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// The Moore-Penrose pseudo-inverse, `(A ⊗ B)⁺ = A⁺ ⊗ B⁺`, of any factors.
    ///
    /// `pinv.apply(y)` is the solution of `K x = y` in the sense of least squares, and among several the shortest.
    /// Singular values of a factor up to `max(rows, cols) · ε · σ₁` count as zero, as in [`KronBase::rank`]; another
    /// tolerance is for [`KronBase::pseudo_inverse_within`]. The pseudo-inverse of a low-rank factor is a low-rank
    /// factor.
    ///
    /// # Cost
    /// One thin singular value decomposition per factor, of the halves for a low-rank one.
    /// # Errors
    /// [`KronError::NonFinite`](crate::KronError::NonFinite) when a factor holds a value that is not finite;
    /// [`KronError::NoConvergence`](crate::KronError::NoConvergence).
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::{Array2, array};
    /// let k = Kron::new(array![[3.0], [4.0]], array![[2.0, 0.0], [0.0, 0.0]])?;
    /// let pinv = k.pseudo_inverse()?; // A⁺ = Aᵀ/25, B⁺ = diag(1/2, 0)
    /// assert!((pinv.element(0, 2)? - 4.0 / 25.0 / 2.0_f64).abs() < 1e-15);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn pseudo_inverse(&self) -> Result<KronBase<L::Like<'static, T>>> {
        self.pseudo_inverse_above("pseudo_inverse", threshold)
    }

    /// [`KronBase::pseudo_inverse`] with a tolerance: in every factor, singular values up to `tolerance · σ₁` of that
    /// factor count as zero, so that the result is a Kronecker product again.
    ///
    /// This is not the pseudo-inverse of the product with that tolerance, which is no Kronecker product in general: of
    /// two factors, values of the product between `tolerance²` and `tolerance` times the largest may stay. For that one
    /// there is [`KronSvd::solve_within`](crate::KronSvd::solve_within). A tolerance of NaN makes the result NaN.
    ///
    /// # Errors
    /// As [`KronBase::pseudo_inverse`].
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::{Array2, array};
    /// let k = Kron::new(array![[4.0, 0.0], [0.0, 1e-9]], array![[0.5]])?;
    /// let pinv = k.pseudo_inverse_within(1e-6)?.to_dense(); // and not 2e9 at the end of the diagonal
    /// assert!((pinv - array![[0.5, 0.0], [0.0, 0.0]]).iter().all(|&value: &f64| value.abs() < 1e-15));
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn pseudo_inverse_within(&self, tolerance: T) -> Result<KronBase<L::Like<'static, T>>> {
        self.pseudo_inverse_above("pseudo_inverse_within", |_, values| {
            tolerance * values.first().copied().unwrap_or_else(T::zero)
        })
    }

    fn pseudo_inverse_above(
        &self,
        operation: &'static str,
        threshold: impl Fn(&Factor<'_, T>, &Array1<T>) -> T,
    ) -> Result<KronBase<L::Like<'static, T>>> {
        let (rows, cols) = self.dim();
        of_factors(self, (cols, rows), |name, factor| {
            let svd = scaled_thin_svd(operation, name, factor)?;
            let threshold = threshold(factor, &svd.result.s);
            pseudo_inverse(factor, svd, threshold)
        })
    }
}

/// `V · diag(1/σ) · Uᵀ` over the singular values above a threshold.
fn pseudo_inverse<T: Scalar>(
    factor: &Factor<'_, T>,
    Scaled { result: mut svd, power }: Scaled<ThinSvd<T>>,
    threshold: T,
) -> Result<ScaledFactor<'static, T>> {
    // The reciprocals of the scaled values are in range, and those of the true ones where they can be.
    let dropped = if threshold.is_nan() { threshold } else { T::zero() };
    let reciprocal = svd.s.mapv(|value| if value > threshold { value.recip() } else { dropped });
    svd.v *= &reciprocal;
    let right = svd.u.reversed_axes();
    let factor = match factor {
        Factor::Full(_) => svd.v.dot(&right).into(),
        Factor::LowRank(_) => Factor::low_rank(svd.v, right)?,
    };
    Ok(ScaledFactor { factor, exponent: power.inverse().exponent() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::KronError;
    use crate::operator::{Kron, KronChain};
    use crate::test_support::{all_chains, all_close, cases, close, stretched};
    use lokr_testing::matrix;
    use ndarray::{Array2, array, s};

    /// The four conditions that define the pseudo-inverse.
    fn is_the_pseudo_inverse<T: Scalar>(pinv: &Array2<T>, dense: &Array2<T>) {
        let (left, right) = (dense.dot(pinv), pinv.dot(dense));
        let size = pinv.iter().fold(T::one(), |size, x| size.max(x.abs()));
        let scale = T::from_f64_lossy(8.0) * size * size;
        all_close(&left.dot(dense), dense, scale);
        all_close(&right.dot(pinv), pinv, scale);
        all_close(&left, &left.t(), scale);
        all_close(&right, &right.t(), scale);
    }

    fn moore_penrose<T: Scalar>(large: f64) {
        for (k, dense) in cases::<T>(&[(3, 2, 2, 5), (1, 1, 4, 3), (2, 5, 3, 1), (3, 3, 2, 2)]) {
            is_the_pseudo_inverse(&k.pseudo_inverse().unwrap().to_dense(), &dense);
        }
        for (chain, dense) in all_chains::<T>() {
            is_the_pseudo_inverse(&chain.pseudo_inverse().unwrap().to_dense().unwrap(), &dense);
            for scale in [large, 1.0 / large].map(T::from_f64_lossy) {
                let unit = if chain.factors().len() % 2 == 0 { T::one() } else { scale };
                let pinv = stretched(&chain, scale).pseudo_inverse().unwrap();
                is_the_pseudo_inverse(&(pinv.to_dense().unwrap() * unit), &dense);
            }
        }
    }

    #[test]
    fn the_moore_penrose_conditions_hold_in_f32_and_f64() {
        moore_penrose::<f32>(1e30);
        moore_penrose::<f64>(1e200);
    }

    #[test]
    fn singular_values_that_are_rounding_errors_are_dropped() {
        let column = matrix::<f64>(4, 1, 3);
        let a = column.dot(&matrix(1, 3, 4)); // of rank one up to rounding
        let k = Kron::new(a, array![[1.0]]).unwrap();
        let pinv = k.pseudo_inverse().unwrap().to_dense();
        all_close(&k.to_dense().dot(&pinv).dot(&k.to_dense()), &k.to_dense(), 10.0);
        assert!(pinv.iter().all(|x| x.abs() < 100.0));
        let zero = Kron::new(Array2::<f64>::zeros((2, 3)), matrix(2, 2, 1)).unwrap();
        assert_eq!(zero.pseudo_inverse().unwrap().to_dense(), Array2::zeros((6, 4)));
    }

    #[test]
    fn halves_of_opposite_scale_and_products_out_of_range() {
        // 1e-400, whose pseudo-inverse no f64 can hold; 1e200 · 1e-200.
        let low = |left: f64, right: f64| Factor::low_rank(array![[left]], array![[right]]).unwrap();
        let pinv = |factor| Kron::new(factor, array![[1.0]]).unwrap().pseudo_inverse().unwrap().to_dense();
        assert_eq!(pinv(low(1e-200, 1e-200))[[0, 0]], f64::INFINITY);
        assert_eq!(pinv(low(1e200, 1e200))[[0, 0]], 0.0);
        all_close(&pinv(low(1e200, 1e-200)), &array![[1.0]], 1.0);
    }

    #[test]
    fn views_of_any_strides_and_single_rows_and_columns() {
        let (a, b) = (matrix::<f64>(4, 4, 1), matrix::<f64>(6, 8, 2));
        let (backwards, step) = (a.slice(s![..;-1, ..2]), b.slice(s![1..2, ..;-3]));
        for (a, b) in [(a.t(), b.view()), (backwards, step), (step.reversed_axes(), step), (step, step.reversed_axes())]
        {
            let k = Kron::new(a, b).unwrap();
            is_the_pseudo_inverse(&k.pseudo_inverse().unwrap().to_dense(), &k.to_dense());
        }
    }

    fn pseudo_inverses_at_every_scale<T: Scalar>(scales: &[(f64, f64)]) {
        let low = |scale: T| Factor::low_rank(matrix::<T>(5, 2, 2) * scale, matrix(2, 7, 3)).unwrap();
        let tall = matrix::<T>(5, 3, 4);
        let plain = Kron::new(&tall, low(T::one())).unwrap().pseudo_inverse().unwrap().to_dense();
        for &(of_a, of_b) in scales {
            let both = T::from_f64_lossy(of_a * of_b);
            let k = Kron::new(&tall * T::from_f64_lossy(of_a), low(T::from_f64_lossy(of_b))).unwrap();
            let scale = plain.iter().fold(T::one(), |max, x| max.max(x.abs())) * T::from_usize_lossy(20);
            all_close(&(k.pseudo_inverse().unwrap().to_dense() * both), &plain, scale * scale);
        }
    }

    #[test]
    fn pseudo_inverses_at_every_scale_in_f32_and_f64() {
        pseudo_inverses_at_every_scale::<f32>(&[(1e30, 1e-30), (1e-25, 1e25), (1e30, 1.0), (1.0, 1e-30)]);
        let f64s = [(1e200, 1e-200), (1e-300, 1e300), (1e300, 1.0), (1.0, 1e-290), (1e-250, 1.0)];
        pseudo_inverses_at_every_scale::<f64>(&f64s);
        let k = Kron::new(array![[1e-310]], array![[1e300]]).unwrap(); // 1e-310 has few digits
        all_close(&(k.pseudo_inverse().unwrap().to_dense() * 1e-10), &array![[1.0]], 1e4);
    }

    #[test]
    fn a_tolerance_holds_for_each_factor() {
        let diagonal = |values: [f64; 2]| Array2::from_diag(&ndarray::Array1::from_iter(values));
        let chain = [diagonal([1.0, 0.1]), diagonal([4.0, 1.0]), diagonal([1e-200, 1e-210])];
        let chain = KronChain::new(chain).unwrap();
        let kept = |tolerance: f64| {
            let pinv = chain.pseudo_inverse_within(tolerance).unwrap();
            pinv.diag().unwrap().iter().filter(|&&value| value > 0.0).count()
        };
        assert_eq!([0.0, 1e-11, 1e-9, 0.1001, 0.3, 1.0].map(kept), [8, 8, 4, 2, 1, 0]);
        close(chain.pseudo_inverse_within(0.3).unwrap().element(0, 0).unwrap() / 1e200, 0.25, 1.0);
        let plain = chain.pseudo_inverse().unwrap().to_dense().unwrap();
        all_close(&(chain.pseudo_inverse_within(0.0).unwrap().to_dense().unwrap() / 1e211), &(plain / 1e211), 1.0);
        assert!(chain.pseudo_inverse_within(f64::NAN).unwrap().element(0, 0).unwrap().is_nan());
        let infinite = Kron::new(array![[1.0]], array![[f64::INFINITY]]).unwrap();
        let error = KronError::NonFinite { operation: "pseudo_inverse_within", argument: "B", count: 1 };
        assert_eq!(infinite.pseudo_inverse_within(0.1), Err(error));
    }

    #[test]
    fn the_pseudo_inverse_of_a_low_rank_factor_is_low_rank() {
        let b = Factor::low_rank(matrix::<f32>(5, 2, 2), matrix(2, 7, 3)).unwrap();
        let pinv = Kron::new(matrix(2, 2, 1), b).unwrap().pseudo_inverse().unwrap();
        assert_eq!(pinv.parameter_count(), 4 + 5 * 2 + 2 * 7);
    }

    #[test]
    fn a_value_that_is_not_finite_is_an_error() {
        let error = Kron::new(array![[f64::NAN]], array![[1.0]]).unwrap().pseudo_inverse().unwrap_err();
        assert_eq!(error, KronError::NonFinite { operation: "pseudo_inverse", argument: "A", count: 1 });
    }
}
