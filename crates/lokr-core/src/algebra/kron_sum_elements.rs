//! The elements of a Kronecker sum in a row, added up, beside their transposes.

use ndarray::{Array1, Axis};

use super::kron_sum::KronSum;
use crate::error::Result;
use crate::scalar::Scalar;

impl<T: Scalar> KronSum<'_, T> {
    /// Rows of the sum, `n·p`.
    #[must_use]
    pub fn nrows(&self) -> usize {
        self.dim().0
    }

    /// Columns of the sum, as many as rows.
    #[must_use]
    pub fn ncols(&self) -> usize {
        self.dim().1
    }

    /// The diagonal, `n·p` values `A[i, i] + B[k, k]`.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// let sum = KronSum::new(array![[1.0, 2.0], [3.0, 4.0]], array![[10.0]])?; // [[11, 2], [3, 14]]
    /// assert_eq!(sum.diag(), array![11.0, 14.0]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn diag(&self) -> Array1<T> {
        outer_sum(&self.a().diag(), &self.b().diag())
    }

    /// The sum of all elements, `p·ΣA + n·ΣB`.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// let sum = KronSum::new(array![[1.0, 2.0], [3.0, 4.0]], array![[10.0]])?; // [[11, 2], [3, 14]]
    /// assert_eq!(sum.sum(), 30.0);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn sum(&self) -> T {
        let (n, p) = (T::from_usize_lossy(self.a().nrows()), T::from_usize_lossy(self.b().nrows()));
        p * self.a().sum() + n * self.b().sum()
    }

    /// The sums along an axis: `Axis(0)` adds the rows up, which gives one value for each column; `Axis(1)` adds the
    /// columns up.
    ///
    /// # Errors
    /// [`KronError::NoSuchAxis`](crate::KronError::NoSuchAxis).
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::{Axis, array};
    /// let sum = KronSum::new(array![[1.0, 2.0], [3.0, 4.0]], array![[10.0]])?; // [[11, 2], [3, 14]]
    /// assert_eq!(sum.sum_axis(Axis(0))?, array![14.0, 16.0]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn sum_axis(&self, axis: Axis) -> Result<Array1<T>> {
        Ok(outer_sum(&self.a().sum_axis(axis)?, &self.b().sum_axis(axis)?))
    }

    /// Whether the sum is symmetric, exactly: both factors are. `false` when values are not finite.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// let a = array![[1.0, 2.0], [2.0, 4.0]];
    /// assert!(KronSum::new(&a, array![[10.0]])?.is_symmetric());
    /// assert!(!KronSum::new(&a, array![[0.0, 1.0], [0.0, 0.0]])?.is_symmetric());
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn is_symmetric(&self) -> bool {
        // A difference in a factor stands alone in the sum's off-diagonal, where nothing could make up for it.
        self.a().is_symmetric() && self.b().is_symmetric()
    }

    /// Whether both factors are symmetric up to `tolerance`, each relative to its size, as
    /// [`Factor::is_symmetric_within`](crate::Factor::is_symmetric_within).
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// let sum = KronSum::new(array![[1.0, 2.0], [2.0 + 1e-12, 4.0]], array![[10.0]])?;
    /// assert!(!sum.is_symmetric() && sum.is_symmetric_within(1e-11));
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn is_symmetric_within(&self, tolerance: T) -> bool {
        self.a().is_symmetric_within(tolerance) && self.b().is_symmetric_within(tolerance)
    }
}

/// `v[i] + w[k]` at `i·len(w) + k`.
fn outer_sum<T: Scalar>(v: &Array1<T>, w: &Array1<T>) -> Array1<T> {
    v.iter().flat_map(|&v| w.iter().map(move |&w| v + w)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::KronError;
    use crate::operator::Factor;
    use crate::test_support::{close, symmetric};
    use lokr_testing::matrix;

    fn agrees_with_the_dense_sum<T: Scalar>(scales: [f64; 3]) {
        for scale in scales.map(T::from_f64_lossy) {
            for (n, p) in [(1, 1), (1, 5), (3, 1), (2, 7), (5, 3)] {
                let low = Factor::low_rank(matrix::<T>(p, 2, 3), matrix(2, p, 4)).unwrap();
                for b in [Factor::from(matrix::<T>(p, p, 2)), low] {
                    let sum = KronSum::new(matrix::<T>(n, n, 1), b).unwrap();
                    let (dense, length) = (sum.to_dense(), T::from_usize_lossy(4 * n * p * n * p));
                    let same = |found: Array1<T>, expected: Array1<T>| {
                        assert_eq!(found.len(), expected.len());
                        found.iter().zip(&expected).for_each(|(&f, &e)| close(f / scale, e, length));
                    };
                    let scaled = &sum * scale;
                    same(scaled.diag(), dense.diag().to_owned());
                    close(scaled.sum() / scale, dense.sum(), length);
                    same(scaled.sum_axis(Axis(0)).unwrap(), dense.sum_axis(Axis(0)));
                    same(scaled.sum_axis(Axis(1)).unwrap(), dense.sum_axis(Axis(1)));
                    assert_eq!(scaled.is_symmetric(), dense == dense.t());
                }
                let sum = KronSum::new(symmetric::<T>(n, 1), symmetric(p, 2)).unwrap() * scale;
                assert!(sum.is_symmetric() && sum.is_symmetric_within(T::zero()));
                assert_eq!((sum.nrows(), sum.ncols()), (n * p, n * p));
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_sum_at_every_scale() {
        agrees_with_the_dense_sum::<f32>([1.0, 1e-30, 1e30]);
        agrees_with_the_dense_sum::<f64>([1.0, 1e-200, 1e200]);
    }

    #[test]
    fn each_error_is_named() {
        let sum = KronSum::new(matrix::<f64>(2, 2, 1), matrix(3, 3, 1)).unwrap();
        assert_eq!(sum.sum_axis(Axis(3)), Err(KronError::NoSuchAxis { operation: "sum_axis", axis: 3 }));
    }
}
