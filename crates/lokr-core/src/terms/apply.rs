//! Applying a sum of products and its transpose to a batch of rows.

use ndarray::{Array, ArrayRef, ArrayRef2, Dimension};

use super::kron_terms::KronTerms;
use crate::error::Result;
use crate::memory;
use crate::scalar::Scalar;

impl<T: Scalar> KronTerms<'_, T> {
    /// Applies the sum to every sample of `x` without forming any product: `Y = Σ wₜ·X·(Aₜ ⊗ Bₜ)ᵀ`.
    ///
    /// # Shapes
    /// As [`KronBase::apply`](crate::operator::KronBase::apply): one vector, a batch of rows, or, where all products
    /// split alike, a batch of fields; any strides, `batch = 0` allowed.
    /// # Cost
    /// That of applying every term. The terms are added in their order, so the bits do not depend on the number of
    /// threads.
    /// # Errors
    /// As [`KronBase::apply`](crate::operator::KronBase::apply).
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronTerms};
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 2.0]], array![[3.0]])?;
    /// let l = Kron::new(array![[1.0]], array![[0.0, 1.0]])?;
    /// let sum = KronTerms::new([(1.0, k), (0.5, l)])?; // [[3, 6.5]]
    /// assert_eq!(sum.apply(&array![[1.0, 10.0]])?, array![[68.0]]);
    /// assert_eq!(sum.apply(&array![1.0, 10.0])?, array![68.0]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn apply<D: Dimension>(&self, x: &ArrayRef<T, D>) -> Result<Array<T, D>> {
        self.count_inputs("apply", "x", x.shape(), None)?;
        let rows = self.first().inputs("apply", "x").rows(x, None)?;
        let mut y = memory::zeros("apply", (rows.nrows(), self.nrows()))?;
        self.apply_rows(T::one(), &rows, T::zero(), &mut y)?;
        self.first().outputs("apply", "y").array(y, x.ndim())
    }

    /// `Y ← α·Σ wₜ·X·(Aₜ ⊗ Bₜ)ᵀ + β·Y`. With `beta = 0`, `y` may hold anything; with `alpha = 0`, so may `x` and the
    /// terms.
    ///
    /// # Errors
    /// As [`KronTerms::apply`] for `x` and for `y`, which is then untouched.
    pub fn apply_into<D: Dimension>(
        &self,
        alpha: T,
        x: &ArrayRef<T, D>,
        beta: T,
        y: &mut ArrayRef<T, D>,
    ) -> Result<()> {
        let batch = self.count_inputs("apply", "x", x.shape(), None)?;
        self.count_outputs("apply", "y", y.shape(), Some(batch))?;
        let rows = self.first().inputs("apply", "x").rows(x, None)?;
        let mut applied = Ok(());
        let outputs = self.first().outputs("apply", "y");
        outputs.with_rows_mut(y, batch, |y| applied = self.apply_rows(alpha, &rows, beta, y))?;
        applied
    }

    /// Applies the transpose to every sample: `X = Σ wₜ·Y·(Aₜ ⊗ Bₜ)`.
    ///
    /// # Shapes
    /// As [`KronTerms::apply`], with rows and columns exchanged.
    /// # Errors
    /// As [`KronTerms::apply`].
    pub fn apply_transposed<D: Dimension>(&self, y: &ArrayRef<T, D>) -> Result<Array<T, D>> {
        self.count_outputs("apply_transposed", "y", y.shape(), None)?;
        let rows = self.first().outputs("apply_transposed", "y").rows(y, None)?;
        let mut x = memory::zeros("apply_transposed", (rows.nrows(), self.ncols()))?;
        self.transposed().apply_rows(T::one(), &rows, T::zero(), &mut x)?;
        self.first().inputs("apply_transposed", "x").array(x, y.ndim())
    }

    /// `X ← α·Σ wₜ·Y·(Aₜ ⊗ Bₜ) + β·X`: [`KronTerms::apply_transposed`] into a given output.
    ///
    /// # Errors
    /// As [`KronTerms::apply`] for `y` and for `x`, which is then untouched.
    pub fn apply_transposed_into<D: Dimension>(
        &self,
        alpha: T,
        y: &ArrayRef<T, D>,
        beta: T,
        x: &mut ArrayRef<T, D>,
    ) -> Result<()> {
        let batch = self.count_outputs("apply_transposed", "y", y.shape(), None)?;
        self.count_inputs("apply_transposed", "x", x.shape(), Some(batch))?;
        let rows = self.first().outputs("apply_transposed", "y").rows(y, None)?;
        let mut applied = Ok(());
        let inputs = self.first().inputs("apply_transposed", "x");
        inputs.with_rows_mut(x, batch, |x| applied = self.transposed().apply_rows(alpha, &rows, beta, x))?;
        applied
    }

    /// [`KronTerms::apply_into`] of rows.
    fn apply_rows(&self, alpha: T, x: &ArrayRef2<T>, mut beta: T, y: &mut ArrayRef2<T>) -> Result<()> {
        for term in self.weighted() {
            term.apply_into(alpha, x, beta, y)?;
            beta = T::one();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::KronError;
    use crate::operator::Kron;
    use crate::terms::test_sums::sums;
    use crate::test_support::all_close;
    use lokr_testing::{LAYOUTS, matrix, with_layout};
    use ndarray::{Array2, array};

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
    fn vectors_and_fields() {
        let k = Kron::new(matrix::<f64>(2, 3, 1), matrix(4, 5, 2)).unwrap();
        let sum = KronTerms::new([(2.0, k.view()), (-0.5, (&k * 3.0))]).unwrap();
        let fields = lokr_testing::matrix::<f64>(6, 15, 3).into_shape_with_order((6, 3, 5)).unwrap();
        let expected = k.apply(&fields).unwrap() * 0.5;
        let difference = sum.apply(&fields).unwrap() - &expected;
        assert!(difference.iter().all(|d| d.abs() < 1e-14));
        let turned = expected.view().permuted_axes([0, 2, 1]).as_standard_layout().into_owned();
        let mut into = turned.permuted_axes([0, 2, 1]); // fields of columns
        sum.apply_into(1.0, &fields, -1.0, &mut into).unwrap();
        assert!(into.iter().all(|d| d.abs() < 1e-14));
        let vector = lokr_testing::vector::<f64>(8, 4);
        let back = sum.apply_transposed(&vector).unwrap();
        let mut into = back.clone();
        sum.apply_transposed_into(-1.0, &vector, 1.0, &mut into).unwrap();
        assert_eq!(back.len(), 15);
        assert!(into.iter().all(|d| d.abs() < 1e-14));
        // Fields of one split are none of another.
        let other = sum.plus(Kron::new(matrix::<f64>(4, 5, 1), matrix(2, 3, 2)).unwrap()).unwrap();
        let error = other.apply(&fields).unwrap_err();
        let (operation, argument) = ("apply", "x");
        let (expected, found) = (vec![6, 5, 3], vec![6, 3, 5]);
        assert_eq!(error, KronError::FieldShape { operation, argument, expected, found });
        assert_eq!(
            other.apply(&vector).map(|_| ()),
            Err(KronError::Length { operation, argument, expected: 15, found: 8 })
        );
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
