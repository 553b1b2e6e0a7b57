//! Trace.

use ndarray::Zip;

use crate::error::{KronError, Result};
use crate::operator::{Factor, Kron};
use crate::scalar::Scalar;

impl<T: Scalar> Kron<'_, T> {
    /// Sum of the diagonal; `tr(A ⊗ B) = tr A · tr B` where the factors are square.
    ///
    /// A square product of factors that are not square (`m·p = n·q`, `m ≠ n`) has a trace as well; its diagonal is
    /// walked.
    ///
    /// # Cost
    /// `m + p` flops (times the inner size for a low-rank factor), or `2·m·p` for factors that are not square.
    /// # Errors
    /// [`KronError::NotSquare`] when the product is not square.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 2.0], [3.0, 4.0]], array![[10.0, 0.0], [5.0, -3.0]])?;
    /// assert_eq!(k.trace()?, (1.0 + 4.0) * (10.0 - 3.0));
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn trace(&self) -> Result<T> {
        let size = KronError::check_square("trace", "A ⊗ B", self.dim())?;
        let shape = self.shape();
        if shape.m == shape.n {
            return Ok(trace(self.a()) * trace(self.b()));
        }
        let (a, b) = (self.a().dense(), self.b().dense());
        Ok((0..size).map(|i| a[[i / shape.p, i / shape.q]] * b[[i % shape.p, i % shape.q]]).sum())
    }
}

/// Trace of a square factor; `2·size·r` flops for a low-rank one, which is not formed.
pub(super) fn trace<T: Scalar>(factor: &Factor<'_, T>) -> T {
    match factor {
        Factor::Full(matrix) => matrix.diag().iter().copied().sum(),
        Factor::LowRank(low) => {
            Zip::from(low.left()).and(low.right().t()).fold(T::zero(), |sum, &left, &right| sum + left * right)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{cases, close, kron_of};
    use lokr_testing::matrix;
    use ndarray::Array2;

    fn agrees_with_the_dense_diagonal<T: Scalar>() {
        for (k, dense) in cases::<T>(&[(3, 3, 5, 5), (1, 1, 7, 7), (2, 3, 6, 4), (4, 1, 2, 8)]) {
            close(k.trace().unwrap(), dense.diag().sum(), T::from_usize_lossy(dense.nrows()));
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_diagonal() {
        agrees_with_the_dense_diagonal::<f32>();
        agrees_with_the_dense_diagonal::<f64>();
    }

    #[test]
    fn a_low_rank_factor_larger_than_its_sides_is_fine() {
        let b = Factor::low_rank(matrix::<f64>(3, 5, 1), matrix(5, 3, 2)).unwrap();
        close(trace(&b), b.to_dense().diag().sum(), 5.0);
        let none = Factor::low_rank(Array2::<f64>::zeros((3, 0)), Array2::zeros((0, 3))).unwrap();
        assert_eq!(trace(&none), 0.0);
    }

    #[test]
    fn a_product_that_is_not_square_is_an_error() {
        let error = kron_of::<f64>(2, 3, 5, 5).trace().unwrap_err();
        assert_eq!(error, KronError::NotSquare { operation: "trace", name: "A ⊗ B", shape: (10, 15) });
    }
}
