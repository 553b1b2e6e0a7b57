//! One vector instead of a batch.

use ndarray::{Array1, Array2, ArrayRef1, ArrayView2, Axis};

use super::chain::KronChain;
use super::kron::Kron;
use crate::error::{KronError, Result};
use crate::scalar::Scalar;

impl<T: Scalar> Kron<'_, T> {
    /// The product `(A ⊗ B)·x` with one vector: [`Kron::apply`] of a batch of one row.
    ///
    /// # Errors
    /// [`KronError::Length`] unless `x` has `n·q` values.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 2.0]], array![[1.0], [3.0]])?; // [[1, 2], [3, 6]]
    /// assert_eq!(k.apply_vector(&array![1.0, 10.0])?, array![21.0, 63.0]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn apply_vector(&self, x: &ArrayRef1<T>) -> Result<Array1<T>> {
        one_row("apply_vector", "x", self.ncols(), x, |x| self.apply(&x))
    }

    /// The product `(A ⊗ B)ᵀ·y` with one vector: [`Kron::apply_transposed`] of a batch of one row.
    ///
    /// # Errors
    /// [`KronError::Length`] unless `y` has `m·p` values.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 2.0]], array![[1.0], [3.0]])?; // [[1, 2], [3, 6]]
    /// assert_eq!(k.apply_transposed_vector(&array![1.0, 10.0])?, array![31.0, 62.0]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn apply_transposed_vector(&self, y: &ArrayRef1<T>) -> Result<Array1<T>> {
        one_row("apply_transposed_vector", "y", self.nrows(), y, |y| self.apply_transposed(&y))
    }
}

impl<T: Scalar> KronChain<'_, T> {
    /// The product `(A₁ ⊗ … ⊗ A_k)·x` with one vector: [`KronChain::apply`] of a batch of one row.
    ///
    /// # Errors
    /// [`KronError::Length`] unless `x` has as many values as the product has columns.
    /// # Examples
    /// ```
    /// # use lokr_core::KronChain;
    /// # use ndarray::array;
    /// let a = array![[1.0, 2.0]];
    /// let chain = KronChain::power(&a, 2)?; // [[1, 2, 2, 4]]
    /// assert_eq!(chain.apply_vector(&array![1.0, 1.0, 1.0, 1.0])?, array![9.0]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn apply_vector(&self, x: &ArrayRef1<T>) -> Result<Array1<T>> {
        one_row("apply_vector", "x", self.ncols(), x, |x| self.apply(&x))
    }

    /// The product `(A₁ ⊗ … ⊗ A_k)ᵀ·y` with one vector.
    ///
    /// # Errors
    /// [`KronError::Length`] unless `y` has as many values as the product has rows.
    /// # Examples
    /// ```
    /// # use lokr_core::KronChain;
    /// # use ndarray::array;
    /// let a = array![[1.0, 2.0]];
    /// let chain = KronChain::power(&a, 2)?; // [[1, 2, 2, 4]]
    /// assert_eq!(chain.apply_transposed_vector(&array![10.0])?, array![10.0, 20.0, 20.0, 40.0]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn apply_transposed_vector(&self, y: &ArrayRef1<T>) -> Result<Array1<T>> {
        one_row("apply_transposed_vector", "y", self.nrows(), y, |y| self.transposed().apply(&y))
    }
}

/// What `work` makes of the batch whose one row is `vector`; nothing is copied on the way.
pub(crate) fn one_row<T: Scalar>(
    operation: &'static str,
    argument: &'static str,
    expected: usize,
    vector: &ArrayRef1<T>,
    work: impl FnOnce(ArrayView2<'_, T>) -> Result<Array2<T>>,
) -> Result<Array1<T>> {
    let found = vector.len();
    if found != expected {
        return Err(KronError::Length { operation, argument, expected, found });
    }
    Ok(work(vector.view().insert_axis(Axis(0)))?.index_axis_move(Axis(0), 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{cases, chains, close};
    use lokr_testing::vector;
    use ndarray::s;

    fn agree_with_the_dense_product<T: Scalar>(scales: [f64; 3]) {
        for scale in scales.map(T::from_f64_lossy) {
            let same = |found: Result<Array1<T>>, expected: Array1<T>| {
                let (found, length) = (found.unwrap(), T::from_f64_lossy(64.0));
                assert_eq!(found.len(), expected.len());
                found.iter().zip(&expected).for_each(|(&found, &expected)| close(found / scale, expected, length));
            };
            for (k, dense) in cases::<T>(&[(1, 1, 1, 1), (2, 3, 5, 7), (7, 1, 2, 3)]) {
                let (x, y) = (vector::<T>(dense.ncols(), 3), vector(dense.nrows(), 4));
                same(k.apply_vector(&(&x * scale)), dense.dot(&x));
                same(k.apply_transposed_vector(&(&y * scale)), dense.t().dot(&y));
                let backwards = x.slice(s![..;-1]);
                same((&k * scale).apply_vector(&backwards), dense.dot(&backwards));
            }
            for (chain, dense) in chains::<T>() {
                let (x, y) = (vector::<T>(dense.ncols(), 3), vector(dense.nrows(), 4));
                same(chain.apply_vector(&(&x * scale)), dense.dot(&x));
                same(chain.apply_transposed_vector(&(&y * scale)), dense.t().dot(&y));
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_product_at_every_scale() {
        agree_with_the_dense_product::<f32>([1.0, 1e-30, 1e30]);
        agree_with_the_dense_product::<f64>([1.0, 1e-200, 1e200]);
    }

    #[test]
    fn a_vector_of_another_length_is_an_error() {
        let k = crate::test_support::kron_of::<f64>(2, 3, 5, 7);
        let length = |operation, argument, expected| KronError::Length { operation, argument, expected, found: 4 };
        let four = vector(4, 1);
        assert_eq!(k.apply_vector(&four), Err(length("apply_vector", "x", 21)));
        assert_eq!(k.apply_transposed_vector(&four), Err(length("apply_transposed_vector", "y", 10)));
    }
}
