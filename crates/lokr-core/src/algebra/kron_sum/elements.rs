//! The elements of a Kronecker sum in a row, added up, beside their transposes.

use ndarray::{Array1, ArrayView1, Axis};

use super::sum::KronSum;
use crate::algebra::trace::trace;
use crate::error::Result;
use crate::operator::Factor;
use crate::scalar::Scalar;

impl<T: Scalar> KronSum<'_, T> {
    /// The diagonal: the sums of one diagonal element of every factor, `A[i, i] + B[k, k]` of two.
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
        outer_sum(self.factors.iter().map(Factor::diag))
    }

    /// Sum of the diagonal, `p·tr A + n·tr B` of two summands.
    #[must_use]
    pub fn trace(&self) -> T {
        self.each_times_the_rest(|factor| trace(factor))
    }

    /// The sum of all elements, `p·ΣA + n·ΣB` of two summands.
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
        self.each_times_the_rest(|factor| factor.sum())
    }

    /// `Σ f(A_t)·Π_{s≠t} n_s`.
    fn each_times_the_rest(&self, f: impl Fn(&Factor<'_, T>) -> T) -> T {
        self.axes().map(|(factor, before, after)| T::from_usize_lossy(before * after) * f(factor)).sum()
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
        let sums = self.factors.iter().map(|factor| factor.sum_axis(axis)).collect::<Result<Vec<_>>>()?;
        Ok(outer_sum(sums.into_iter()))
    }

    /// Whether the sum is symmetric, exactly: all factors are. `false` when values are not finite.
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
        self.factors.iter().all(Factor::is_symmetric)
    }

    /// Whether all factors are symmetric up to `tolerance`, each relative to its size, as
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
        self.factors.iter().all(|factor| factor.is_symmetric_within(tolerance))
    }
}

/// The sums of one element of every vector, the last vector's varying first.
fn outer_sum<T: Scalar>(vectors: impl Iterator<Item = Array1<T>>) -> Array1<T> {
    let add = |v: Array1<T>, w: ArrayView1<'_, T>| v.iter().flat_map(|&v| w.iter().map(move |&w| v + w)).collect();
    vectors.fold(Array1::zeros(1), |v, w| add(v, w.view()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::kron_sum::cases::{sums, sums_of};
    use crate::error::KronError;
    use crate::test_support::{close, symmetric};
    use lokr_testing::matrix;

    fn agrees_with_the_dense_sum<T: Scalar>(scales: [f64; 3]) {
        for scale in scales.map(T::from_f64_lossy) {
            for (sum, dense) in sums::<T>() {
                let length = T::from_usize_lossy(4 * dense.len());
                let same = |found: Array1<T>, expected: Array1<T>| {
                    assert_eq!(found.len(), expected.len());
                    found.iter().zip(&expected).for_each(|(&f, &e)| close(f / scale, e, length));
                };
                let scaled = &sum * scale;
                same(scaled.diag(), dense.diag().to_owned());
                close(scaled.sum() / scale, dense.sum(), length);
                close(scaled.trace() / scale, dense.diag().sum(), length);
                same(scaled.sum_axis(Axis(0)).unwrap(), dense.sum_axis(Axis(0)));
                same(scaled.sum_axis(Axis(1)).unwrap(), dense.sum_axis(Axis(1)));
                assert_eq!(scaled.is_symmetric(), dense == dense.t());
            }
            for (sum, dense) in sums_of(symmetric::<T>) {
                let sum = sum * scale;
                assert!(sum.is_symmetric() && sum.is_symmetric_within(T::zero()));
                assert_eq!((sum.nrows(), sum.ncols()), dense.dim());
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
