//! Trace.

use ndarray::Zip;

use crate::error::{KronError, Result};
use crate::operator::{Factor, FactorList, KronBase};
use crate::scalar::Scalar;

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// Sum of the diagonal; `tr(A ⊗ B) = tr A · tr B` where the factors are square.
    ///
    /// A square product of factors that are not square (`m·p = n·q`, `m ≠ n`) has a trace as well; its diagonal is
    /// walked.
    ///
    /// # Cost
    /// An addition for each value on a factor's diagonal (times the inner size of a low-rank factor); a multiplication
    /// per factor for each value on the product's, where a factor is not square.
    /// # Errors
    /// [`KronError::NotSquare`] when the product is not square.
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronChain};
    /// # use ndarray::array;
    /// let a = array![[1.0, 2.0], [3.0, 4.0]];
    /// assert_eq!(Kron::new(&a, array![[10.0, 0.0], [5.0, -3.0]])?.trace()?, (1.0 + 4.0) * (10.0 - 3.0));
    /// assert_eq!(KronChain::power(&a, 3)?.trace()?, 125.0);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn trace(&self) -> Result<T> {
        let size = KronError::check_square("trace", L::PRODUCT, self.dim())?;
        if self.factors().iter().all(Factor::is_square) {
            return Ok(self.factors().iter().map(trace).fold(T::one(), |product, trace| product * trace));
        }
        let full = self.map(|factor| Factor::from(factor.dense()));
        (0..size).try_fold(T::zero(), |sum, i| Ok(sum + full.element(i, i)?))
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
    use crate::operator::KronChain;
    use crate::test_support::{cases, chains, close, kron_of};
    use lokr_testing::matrix;
    use ndarray::Array2;

    fn agrees_with_the_dense_diagonal<T: Scalar>() {
        for (k, dense) in cases::<T>(&[(3, 3, 5, 5), (1, 1, 7, 7), (2, 3, 6, 4), (4, 1, 2, 8)]) {
            close(k.trace().unwrap(), dense.diag().sum(), T::from_usize_lossy(dense.nrows()));
        }
        for (chain, dense) in chains::<T>() {
            match chain.trace() {
                Ok(trace) => close(trace, dense.diag().sum(), T::from_usize_lossy(dense.nrows())),
                Err(error) => assert!(!dense.is_square() && matches!(error, KronError::NotSquare { .. })),
            }
        }
        let half = T::from_f64_lossy(0.5);
        assert_eq!(KronChain::power(&Array2::from_elem((2, 2), half), 60).unwrap().trace(), Ok(T::one()));
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
