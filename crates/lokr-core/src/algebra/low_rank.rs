//! Approximations of low rank, from the singular values.

use ndarray::{Array2, s};

use super::svd::KronSvd;
use crate::error::Result;
use crate::gemm::matmul_into;
use crate::memory;
use crate::operator::FactorList;
use crate::scalar::Scalar;

impl<T: Scalar, L: FactorList<Elem = T>> KronSvd<T, L> {
    /// The best approximation of rank `k` in the 2-norm and the Frobenius norm (Eckart & Young), as two halves
    /// `(m·p, k)` and `(k, n·q)`: a LoRA adapter. The root of each singular value goes to either side.
    ///
    /// # Cost
    /// `k·(m·p + n·q)` flops and as much memory. The product is not formed.
    /// # Errors
    /// [`KronError::OutOfBounds`](crate::KronError::OutOfBounds) when fewer than `k` values are held; with all of them
    /// the halves are exact. [`KronError::TooLarge`](crate::KronError::TooLarge) and
    /// [`KronError::OutOfMemory`](crate::KronError::OutOfMemory) for halves that memory does not hold.
    pub fn low_rank(&self, k: usize) -> Result<(Array2<T>, Array2<T>)> {
        self.halves("low_rank", k)
    }

    /// The best approximation of rank `k` as a dense matrix, `(m·p, n·q)`.
    ///
    /// # Cost
    /// `2·k·m·p·n·q` flops, and the memory of the product.
    /// # Errors
    /// [`KronError::OutOfBounds`](crate::KronError::OutOfBounds) when fewer than `k` values are held;
    /// [`KronError::TooLarge`](crate::KronError::TooLarge) and
    /// [`KronError::OutOfMemory`](crate::KronError::OutOfMemory) for a matrix that memory does not hold.
    pub fn reconstruct(&self, k: usize) -> Result<Array2<T>> {
        let (left, right) = self.halves("reconstruct", k)?;
        let mut matrix = memory::zeros("reconstruct", self.dim())?;
        matmul_into(T::one(), &left, &right, T::zero(), &mut matrix)?;
        Ok(matrix)
    }

    /// The Frobenius norm of what the best approximation of rank `k` leaves out: the root of the sum of the remaining
    /// squared singular values. Zero when `k` is at least their number.
    #[must_use]
    pub fn truncation_error(&self, k: usize) -> T {
        let rest = self.values.slice(s![k.min(self.values.len())..]);
        let Some(&scale) = rest.first().filter(|&&largest| largest > T::zero()) else { return T::zero() };
        scale * rest.iter().map(|&value| (value / scale) * (value / scale)).sum::<T>().sqrt()
    }

    fn halves(&self, operation: &'static str, k: usize) -> Result<(Array2<T>, Array2<T>)> {
        if k > self.values.len() {
            return Err(self.out_of_bounds(operation, k));
        }
        let (rows, cols) = self.dim();
        let (mut left, mut right) = (memory::zeros(operation, (rows, k))?, memory::zeros(operation, (k, cols))?);
        for (index, &place) in self.places[..k].iter().enumerate() {
            let root = self.values[index].sqrt();
            left.column_mut(index).assign(&(self.left.column(place)? * root));
            right.row_mut(index).assign(&(self.right.column(place)? * root));
        }
        Ok((left, right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::KronError;
    use crate::operator::KronChain;
    use crate::test_support::{close, kron_of};
    use ndarray::array;

    #[test]
    fn halves_have_equal_weight() {
        let (left, right) = kron_of::<f64>(3, 2, 2, 5).svd().unwrap().low_rank(3).unwrap();
        assert_eq!((left.dim(), right.dim()), ((6, 3), (3, 10)));
        for r in 0..3 {
            close(left.column(r).dot(&left.column(r)), right.row(r).dot(&right.row(r)), 10.0);
        }
    }

    #[test]
    fn more_than_is_held_or_than_memory_holds_is_an_error() {
        let svd = kron_of::<f64>(3, 1, 2, 5).svd().unwrap(); // (6, 5), two values
        let error = |operation, index| KronError::OutOfBounds { operation, row: index, col: index, shape: (2, 2) };
        assert_eq!(svd.low_rank(3), Err(error("low_rank", 3)));
        assert_eq!(svd.reconstruct(3), Err(error("reconstruct", 3)));
        assert_eq!(svd.truncation_error(9), 0.0);
        let column = Array2::<f64>::ones((1 << 15, 1));
        let svd = KronChain::power(&column, 4).unwrap().svd().unwrap();
        assert!(matches!(svd.low_rank(1), Err(KronError::TooLarge { .. } | KronError::OutOfMemory { .. })));
        close(svd.values()[0] / 2.0_f64.powi(30), 1.0, 100.0);
        assert_eq!(svd.grid(), array![[[[svd.values()[0]]]]].into_dyn());
    }
}
