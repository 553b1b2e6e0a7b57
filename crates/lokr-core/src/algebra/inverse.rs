//! Inverse and pseudo-inverse: Kronecker products again.

use super::rank::threshold;
use crate::decompose::{Lu, Scaled, check_finite, scaled_thin_svd};
use crate::error::{KronError, Result};
use crate::operator::{Factor, Kron};
use crate::scalar::Scalar;

impl<T: Scalar> Kron<'_, T> {
    /// The inverse, `(A ⊗ B)⁻¹ = A⁻¹ ⊗ B⁻¹`.
    ///
    /// To solve a system, [`Kron::solve`] is cheaper and more accurate.
    ///
    /// # Cost
    /// `2·(n³ + q³)` flops, by LU with partial pivoting.
    /// # Errors
    /// [`KronError::NotSquare`] when a factor is not square; [`KronError::NonFinite`]; [`KronError::Singular`] when an
    /// LU decomposition meets a pivot that is exactly zero, or a low-rank factor has an inner size less than its side.
    /// A nearly singular factor gives a result as inaccurate as its [condition](Kron::condition_number) says.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::{Array2, array};
    /// let k = Kron::new(array![[2.0, 0.0], [0.0, 4.0]], array![[1.0, 1.0], [0.0, 1.0]])?;
    /// let inverse = k.inverse()?;
    /// assert_eq!(inverse.a().to_dense(), array![[0.5, 0.0], [0.0, 0.25]]);
    /// assert_eq!(inverse.b().to_dense(), array![[1.0, -1.0], [0.0, 1.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn inverse(&self) -> Result<Kron<'static, T>> {
        let (a, b) = self.invertible_lus("inverse")?;
        Kron::new(a.inverse(), b.inverse())
    }

    /// The Moore-Penrose pseudo-inverse, `(A ⊗ B)⁺ = A⁺ ⊗ B⁺`, of any two factors.
    ///
    /// `pinv.apply(y)` is the solution of `K x = y` in the sense of least squares, and among several the shortest.
    /// Singular values of a factor up to `max(rows, cols) · ε · σ₁` count as zero, as in [`Kron::rank`]. The
    /// pseudo-inverse of a low-rank factor is a low-rank factor.
    ///
    /// # Cost
    /// One thin singular value decomposition per factor, of the halves for a low-rank one.
    /// # Errors
    /// [`KronError::NonFinite`] when a factor holds a value that is not finite; [`KronError::NoConvergence`].
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::{Array2, array};
    /// let k = Kron::new(array![[3.0], [4.0]], array![[2.0, 0.0], [0.0, 0.0]])?;
    /// let pinv = k.pseudo_inverse()?; // A⁺ = Aᵀ/25, B⁺ = diag(1/2, 0)
    /// assert!((pinv.element(0, 2)? - 4.0 / 25.0 / 2.0_f64).abs() < 1e-15);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn pseudo_inverse(&self) -> Result<Kron<'static, T>> {
        Kron::new(pseudo_inverse("A", self.a())?, pseudo_inverse("B", self.b())?)
    }

    /// LU decompositions of both factors, or why the product has no inverse.
    pub(super) fn invertible_lus(&self, operation: &'static str) -> Result<(Lu<T>, Lu<T>)> {
        for (name, factor) in [("A", self.a()), ("B", self.b())] {
            KronError::check_square(operation, name, factor.dim())?;
        }
        let lu = |name, factor: &Factor<'_, T>| {
            check_finite(operation, name, factor)?;
            let singular = KronError::Singular { operation, name };
            if factor.rank_bound() < factor.dim().0 {
                return Err(singular);
            }
            let lu = Lu::new(factor.dense().view());
            if lu.is_singular() { Err(singular) } else { Ok(lu) }
        };
        Ok((lu("A", self.a())?, lu("B", self.b())?))
    }
}

/// `V · diag(1/σ) · Uᵀ` over the singular values that are not taken for zero.
fn pseudo_inverse<T: Scalar>(name: &'static str, factor: &Factor<'_, T>) -> Result<Factor<'static, T>> {
    // The reciprocals of the scaled values are in range, and those of the true ones where they can be.
    let Scaled { result: mut svd, power } = scaled_thin_svd("pseudo_inverse", name, factor)?;
    let threshold = threshold(factor, &svd.s);
    let reciprocal = svd.s.mapv(|value| if value > threshold { value.recip() } else { T::zero() });
    svd.v *= &reciprocal;
    let right = svd.u.reversed_axes();
    match factor {
        Factor::Full(_) => {
            let mut inverse = svd.v.dot(&right);
            power.inverse().scale(&mut inverse);
            Ok(inverse.into())
        }
        Factor::LowRank(_) => {
            power.inverse().scale(&mut svd.v);
            Factor::low_rank(svd.v, right)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{all_close, cases, kron_of, positive};
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

    /// The four conditions that define the pseudo-inverse.
    fn moore_penrose<T: Scalar>() {
        for (k, dense) in cases::<T>(&[(3, 2, 2, 5), (1, 1, 4, 3), (2, 5, 3, 1), (3, 3, 2, 2)]) {
            let pinv = k.pseudo_inverse().unwrap().to_dense();
            let (left, right) = (dense.dot(&pinv), pinv.dot(&dense));
            let size = pinv.iter().fold(T::one(), |size, x| size.max(x.abs()));
            let scale = T::from_f64_lossy(8.0) * size * size;
            all_close(&left.dot(&dense), &dense, scale);
            all_close(&right.dot(&pinv), &pinv, scale);
            all_close(&left, &left.t(), scale);
            all_close(&right, &right.t(), scale);
        }
    }

    #[test]
    fn the_moore_penrose_conditions_hold_in_f32_and_f64() {
        moore_penrose::<f32>();
        moore_penrose::<f64>();
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

    fn inverses_at_every_scale<T: Scalar>(scales: &[(f64, f64)]) {
        let low = |scale: T| Factor::low_rank(matrix::<T>(5, 2, 2) * scale, matrix(2, 7, 3)).unwrap();
        let (tall, square) = (matrix::<T>(5, 3, 4), positive::<T>(3, 5));
        let plain = Kron::new(&tall, low(T::one())).unwrap().pseudo_inverse().unwrap().to_dense();
        let regular = Kron::new(&square, &square).unwrap().inverse().unwrap().to_dense();
        for &(of_a, of_b) in scales {
            let both = T::from_f64_lossy(of_a * of_b);
            let (of_a, of_b) = (T::from_f64_lossy(of_a), T::from_f64_lossy(of_b));
            let k = Kron::new(&tall * of_a, low(of_b)).unwrap();
            let scale = plain.iter().fold(T::one(), |max, x| max.max(x.abs())) * T::from_usize_lossy(20);
            all_close(&(k.pseudo_inverse().unwrap().to_dense() * both), &plain, scale * scale);
            let k = Kron::new(&square * of_a, &square * of_b).unwrap();
            all_close(&(k.inverse().unwrap().to_dense() * both), &regular, T::from_usize_lossy(10));
        }
    }

    #[test]
    fn inverses_at_every_scale_in_f32_and_f64() {
        inverses_at_every_scale::<f32>(&[(1e30, 1e-30), (1e-25, 1e25), (1e30, 1.0), (1.0, 1e-30)]);
        inverses_at_every_scale::<f64>(&[(1e200, 1e-200), (1e-300, 1e300), (1e300, 1.0), (1.0, 1e-290), (1e-250, 1.0)]);
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
    fn the_pseudo_inverse_of_a_low_rank_factor_is_low_rank() {
        let b = Factor::low_rank(matrix::<f32>(5, 2, 2), matrix(2, 7, 3)).unwrap();
        let pinv = Kron::new(matrix(2, 2, 1), b).unwrap().pseudo_inverse().unwrap();
        assert_eq!(pinv.parameter_count(), 4 + 5 * 2 + 2 * 7);
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
        let error = Kron::new(array![[f64::NAN]], array![[1.0]]).unwrap().pseudo_inverse().unwrap_err();
        assert_eq!(error, KronError::NonFinite { operation: "pseudo_inverse", argument: "A", count: 1 });
    }
}
