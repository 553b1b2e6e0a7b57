//! Sums over all elements, over rows and over columns, from the factors.

use ndarray::{Array1, ArrayView2, Axis};

use super::factor::Factor;
use super::factor_list::FactorList;
use super::kron::KronBase;
use super::outer::outer;
use crate::error::{KronError, Result};
use crate::scalar::Scalar;

/// So many rows are added one after the other; more are halved first, so that a long `f32` sum stays exact.
const RUN: usize = 32;

impl<T: Scalar> Factor<'_, T> {
    /// The sum of all elements. A low-rank factor is not formed.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::Factor;
    /// # use ndarray::array;
    /// let b = Factor::low_rank(array![[1.0], [2.0]], array![[3.0, 4.0]])?; // [[3, 4], [6, 8]]
    /// assert_eq!(b.sum(), 21.0);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn sum(&self) -> T {
        let sums = self.column_sums();
        down(sums.view().insert_axis(Axis(1)))[0]
    }

    /// The sums along an axis: `Axis(0)` adds the rows up, which gives one value for each column; `Axis(1)` adds the
    /// columns up. A low-rank factor is not formed.
    ///
    /// # Errors
    /// [`KronError::NoSuchAxis`].
    /// # Examples
    /// ```
    /// # use lokr_core::Factor;
    /// # use ndarray::{Axis, array};
    /// let b = Factor::from(array![[3.0, 4.0], [6.0, 8.0]]);
    /// assert_eq!(b.sum_axis(Axis(0))?, array![9.0, 12.0]);
    /// assert_eq!(b.sum_axis(Axis(1))?, array![7.0, 14.0]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn sum_axis(&self, axis: Axis) -> Result<Array1<T>> {
        match axis.index() {
            0 => Ok(self.column_sums()),
            1 => Ok(self.transposed().column_sums()),
            index => Err(KronError::NoSuchAxis { operation: "sum_axis", axis: index }),
        }
    }

    fn column_sums(&self) -> Array1<T> {
        match self {
            Self::Full(matrix) => down(matrix.view()),
            Self::LowRank(low) => {
                let sums = down(low.left());
                Array1::from_shape_fn(self.ncols(), |col| sums.dot(&low.right.column(col)))
            }
        }
    }
}

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// The sum of all elements, the product of the factors' sums.
    ///
    /// Sums are halved, not added one by one, so `f32` stays exact on long ones.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::KronChain;
    /// # use ndarray::array;
    /// let a = array![[1.0, 2.0]];
    /// let chain = KronChain::power(&a, 3)?; // 1, 2, 2, 4, 2, 4, 4, 8
    /// assert_eq!(chain.sum(), 27.0);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn sum(&self) -> T {
        self.factors().iter().map(Factor::sum).fold(T::one(), |product, sum| product * sum)
    }

    /// The sums along an axis: `Axis(0)` adds the rows of the product up, which gives one value for each column;
    /// `Axis(1)` adds its columns up.
    ///
    /// # Errors
    /// [`KronError::NoSuchAxis`]; [`KronError::TooLarge`] when the memory is refused.
    /// # Examples
    /// ```
    /// # use lokr_core::KronChain;
    /// # use ndarray::{Axis, array};
    /// let a = array![[1.0, 2.0]];
    /// let chain = KronChain::power(&a, 2)?; // [[1, 2, 2, 4]]
    /// assert_eq!(chain.sum_axis(Axis(0))?, array![1.0, 2.0, 2.0, 4.0]);
    /// assert_eq!(chain.sum_axis(Axis(1))?, array![9.0]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn sum_axis(&self, axis: Axis) -> Result<Array1<T>> {
        let sums: Vec<Array1<T>> = self.factors().iter().map(|factor| factor.sum_axis(axis)).collect::<Result<_>>()?;
        outer("sum_axis", sums.iter().map(|sums| sums.view()))
    }
}

/// The sum of the rows of a matrix, halves first. A matrix without rows has zeros.
fn down<T: Scalar>(matrix: ArrayView2<'_, T>) -> Array1<T> {
    if matrix.nrows() <= RUN {
        return matrix.sum_axis(Axis(0));
    }
    let (upper, lower) = matrix.split_at(Axis(0), matrix.nrows() / 2);
    down(upper) + down(lower)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::Kron;
    use crate::test_support::{cases, chains, close};
    use lokr_testing::{Numbers, matrix};
    use ndarray::Array2;

    fn agree_with_the_dense_product<T: Scalar>(scales: [f64; 3]) {
        let check = |sum: T, axes: [Array1<T>; 2], dense: &Array2<T>, scale: T| {
            let length = T::from_usize_lossy(dense.len());
            close(sum / scale, dense.sum(), length);
            for (axis, found) in axes.into_iter().enumerate() {
                let expected = dense.sum_axis(Axis(axis));
                assert_eq!(found.len(), expected.len());
                found.iter().zip(&expected).for_each(|(&found, &expected)| close(found / scale, expected, length));
            }
        };
        for scale in scales.map(T::from_f64_lossy) {
            for (k, dense) in cases::<T>(&[(1, 1, 1, 1), (2, 3, 5, 7), (7, 1, 2, 3), (3, 67, 1, 2)]) {
                let k = &k * scale;
                check(k.sum(), [0, 1].map(|axis| k.sum_axis(Axis(axis)).unwrap()), &dense, scale);
            }
            for (chain, dense) in chains::<T>() {
                let chain = &chain * scale;
                check(chain.sum(), [0, 1].map(|axis| chain.sum_axis(Axis(axis)).unwrap()), &dense, scale);
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_product_at_every_scale() {
        agree_with_the_dense_product::<f32>([1.0, 1e-30, 1e30]);
        agree_with_the_dense_product::<f64>([1.0, 1e-200, 1e200]);
    }

    #[test]
    fn long_f32_sums_stay_exact() {
        let long = Numbers::new(1).matrix::<f32>(1 << 17, 3).mapv(|value| value.abs() + 0.1);
        let exact: f64 = long.iter().map(|&value| f64::from(value)).sum();
        let relative = |found: f32| (f64::from(found) / exact - 1.0).abs();
        let factor = Factor::from(&long);
        assert!(relative(factor.sum()) < 1e-6, "{:e}", relative(factor.sum()));
        assert!(relative(factor.transposed().sum()) < 1e-6);
    }

    #[test]
    fn an_axis_that_a_matrix_lacks_is_an_error() {
        let k = Kron::new(matrix::<f64>(2, 3, 1), matrix(3, 2, 2)).unwrap();
        let error = KronError::NoSuchAxis { operation: "sum_axis", axis: 2 };
        assert_eq!(k.sum_axis(Axis(2)), Err(error.clone()));
        assert_eq!(error.to_string(), "sum_axis: a matrix has the axes 0 and 1, not 2");
        let none = Factor::low_rank(Array2::<f64>::zeros((2, 0)), Array2::zeros((0, 2))).unwrap();
        assert_eq!((none.sum(), Factor::from(Array2::<f32>::zeros((0, 3))).sum()), (0.0, 0.0));
    }
}
