//! Applying a sum of products and its transpose to a batch of rows.

use ndarray::{Array2, ArrayRef2};

use super::kron_terms::KronTerms;
use crate::error::{KronError, Result};
use crate::memory;
use crate::scalar::Scalar;

impl<T: Scalar> KronTerms<'_, T> {
    /// Applies the sum to every row of `x` without forming any product: `Y = Σ wₜ·X·(Aₜ ⊗ Bₜ)ᵀ`.
    ///
    /// # Shapes
    /// `x`: `batch × columns`, any strides, `batch = 0` allowed. Result: `batch × rows`, row-major.
    /// # Cost
    /// That of [`Kron::apply`](crate::Kron::apply) for every term. The terms are added in their order, so the bits do
    /// not depend on the number of threads.
    /// # Errors
    /// [`KronError::Shape`]; [`KronError::TooLarge`] and [`KronError::OutOfMemory`] for a result that memory does not
    /// hold.
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronTerms};
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 2.0]], array![[3.0]])?;
    /// let l = Kron::new(array![[1.0]], array![[0.0, 1.0]])?;
    /// let sum = KronTerms::new([(1.0, k), (0.5, l)])?; // [[3, 6.5]]
    /// assert_eq!(sum.apply(&array![[1.0, 10.0]])?, array![[68.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn apply(&self, x: &ArrayRef2<T>) -> Result<Array2<T>> {
        KronError::check_shape("apply", "x", (x.nrows(), self.ncols()), x.dim())?;
        let mut y = memory::zeros("apply", (x.nrows(), self.nrows()))?;
        self.apply_into(T::one(), x, T::zero(), &mut y)?;
        Ok(y)
    }

    /// `Y ← α·Σ wₜ·X·(Aₜ ⊗ Bₜ)ᵀ + β·Y`. With `beta = 0`, `y` may hold anything; with `alpha = 0`, so may `x` and the
    /// terms.
    ///
    /// # Errors
    /// [`KronError::Shape`] unless `x` is `batch × columns` and `y` is `batch × rows`; `y` is then untouched.
    pub fn apply_into(&self, alpha: T, x: &ArrayRef2<T>, beta: T, y: &mut ArrayRef2<T>) -> Result<()> {
        let mut beta = beta;
        for term in self.weighted() {
            term.apply_into(alpha, x, beta, y)?;
            beta = T::one();
        }
        Ok(())
    }

    /// Applies the transpose to every row of `y`: `X = Σ wₜ·Y·(Aₜ ⊗ Bₜ)`.
    ///
    /// # Shapes
    /// `y`: `batch × rows`; the result is `batch × columns`.
    /// # Errors
    /// As [`KronTerms::apply`].
    pub fn apply_transposed(&self, y: &ArrayRef2<T>) -> Result<Array2<T>> {
        KronError::check_shape("apply_transposed", "y", (y.nrows(), self.nrows()), y.dim())?;
        let mut x = memory::zeros("apply_transposed", (y.nrows(), self.ncols()))?;
        self.apply_transposed_into(T::one(), y, T::zero(), &mut x)?;
        Ok(x)
    }

    /// `X ← α·Σ wₜ·Y·(Aₜ ⊗ Bₜ) + β·X`: [`KronTerms::apply_transposed`] into a given output.
    ///
    /// # Errors
    /// [`KronError::Shape`] unless `y` is `batch × rows` and `x` is `batch × columns`; `x` is then untouched.
    pub fn apply_transposed_into(&self, alpha: T, y: &ArrayRef2<T>, beta: T, x: &mut ArrayRef2<T>) -> Result<()> {
        let mut beta = beta;
        for term in self.weighted() {
            term.apply_transposed_into(alpha, y, beta, x)?;
            beta = T::one();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::Kron;
    use crate::terms::test_sums::sums;
    use crate::test_support::all_close;
    use lokr_testing::{LAYOUTS, matrix, with_layout};
    use ndarray::array;

    fn agrees_with_the_dense_sum<T: Scalar>(scales: [f64; 3]) {
        for (sum, dense) in sums::<T>() {
            let (height, width) = dense.dim();
            let length = T::from_usize_lossy(height.max(width));
            for (batch, scale) in [0, 1, 5].into_iter().flat_map(|batch| scales.map(|scale| (batch, scale))) {
                let (x, y) = (matrix::<T>(batch, width, 3), matrix::<T>(batch, height, 4));
                // The scale in the weights, and its inverse in the data.
                let s = T::from_f64_lossy(scale);
                let (scaled, inverse) = (&sum * s, T::one() / s);
                let (forward, backward) = (x.dot(&dense.t()), y.dot(&dense));
                for layout in LAYOUTS {
                    with_layout(&(&x * inverse), layout, |x| {
                        all_close(&scaled.apply(x).unwrap(), &forward, length);
                        let mut into = y.clone();
                        scaled.apply_into(T::from_f64_lossy(-0.5), x, T::one(), &mut into).unwrap();
                        all_close(&into, &(&y - &(&forward * T::from_f64_lossy(0.5))), length);
                    });
                    with_layout(&y, layout, |y| {
                        all_close(&(scaled.apply_transposed(y).unwrap() / s), &backward, length);
                        let mut into = Array2::from_elem((batch, width), T::nan());
                        scaled.apply_transposed_into(inverse, y, T::zero(), &mut into).unwrap();
                        all_close(&into, &backward, length);
                    });
                }
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_sum_at_every_scale() {
        agrees_with_the_dense_sum::<f32>([1.0, 1e-30, 1e30]);
        agrees_with_the_dense_sum::<f64>([1.0, 1e-200, 1e200]);
    }

    #[test]
    fn a_weight_brings_an_extreme_product_back() {
        let k = Kron::new(array![[1e200]], array![[1e100, 2e100]]).unwrap();
        let sum = KronTerms::new([(1e-290, k.view()), (-1e-290, k.view()), (1e-300, k.view())]).unwrap();
        all_close(&(sum.apply(&array![[1e20, 1e20]]).unwrap() * 1e-20), &array![[3.0]], 1e11);
    }

    #[test]
    fn alpha_zero_reads_nothing_and_wrong_shapes_leave_the_result_alone() {
        let nan = Kron::new(array![[f64::NAN]], array![[1.0, 2.0]]).unwrap();
        let sum = KronTerms::new([(1.0, nan.view()), (f64::INFINITY, nan.view())]).unwrap();
        let (mut y, mut x) = (array![[3.0]], array![[1.0, 2.0]]);
        sum.apply_into(0.0, &array![[f64::NAN, 1.0]], 2.0, &mut y).unwrap();
        sum.apply_transposed_into(0.0, &array![[f64::NAN]], 0.5, &mut x).unwrap();
        assert_eq!((&y, &x), (&array![[6.0]], &array![[0.5, 1.0]]));
        let three = array![[1.0, 2.0, 3.0]];
        let error = |operation, argument, expected| {
            Err(KronError::Shape { operation, argument, expected: (1, expected), found: (1, 3) })
        };
        assert_eq!(sum.apply(&three).map(|_| ()), error("apply", "x", 2));
        assert_eq!(sum.apply_into(1.0, &three, 0.0, &mut y), error("apply", "x", 2));
        assert_eq!(sum.apply_into(1.0, &x, 0.0, &mut three.clone()), error("apply", "y", 1));
        assert_eq!(sum.apply_transposed(&three).map(|_| ()), error("apply_transposed", "y", 1));
        assert_eq!(sum.apply_transposed_into(1.0, &y, 0.0, &mut three.clone()), error("apply_transposed", "x", 2));
        assert_eq!(y, array![[6.0]]);
        assert!(sum.apply(&x).unwrap()[[0, 0]].is_nan());
    }
}
