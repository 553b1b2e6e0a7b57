//! What is checked before anything is computed.

use ndarray::ArrayRef2;

use crate::error::{KronError, Result};
use crate::scalar::Scalar;
use crate::shape::KronShape;

impl KronError {
    /// `Ok` when `found == expected`, else [`KronError::Shape`].
    pub(crate) fn check_shape(
        operation: &'static str,
        argument: &'static str,
        expected: (usize, usize),
        found: (usize, usize),
    ) -> Result<()> {
        if expected == found { Ok(()) } else { Err(Self::Shape { operation, argument, expected, found }) }
    }

    /// The side of a square matrix, or [`KronError::NotSquare`].
    pub(crate) fn check_square(operation: &'static str, name: &'static str, shape: (usize, usize)) -> Result<usize> {
        if shape.0 == shape.1 { Ok(shape.0) } else { Err(Self::NotSquare { operation, name, shape }) }
    }

    /// The product of `sizes`, or [`KronError::TooLarge`].
    pub(crate) fn checked_product(operation: &'static str, sizes: &[usize]) -> Result<usize> {
        sizes
            .iter()
            .try_fold(1usize, |product, &size| product.checked_mul(size))
            .filter(|&n| n <= isize::MAX as usize)
            .ok_or_else(|| Self::TooLarge { operation, sizes: sizes.to_vec() })
    }

    /// [`KronError::ZeroSize`] for the first of these named sizes that is zero.
    pub(crate) fn check_no_zero(operation: &'static str, sizes: &[(&'static str, usize)]) -> Result<()> {
        match sizes.iter().find(|(_, size)| *size == 0) {
            Some(&(name, _)) => Err(Self::ZeroSize { operation, name }),
            None => Ok(()),
        }
    }

    /// [`KronError::NonFinite`] when `count` values of an argument are not finite.
    pub(crate) fn check_all_finite(operation: &'static str, argument: &'static str, count: usize) -> Result<()> {
        if count == 0 { Ok(()) } else { Err(Self::NonFinite { operation, argument, count }) }
    }
}

/// How many values are NaN or infinite.
pub(crate) fn count_non_finite<T: Scalar>(matrix: &ArrayRef2<T>) -> usize {
    matrix.iter().filter(|value| !value.is_finite()).count()
}

impl KronShape {
    /// Checks that no size is zero and that the product's element count fits in memory addresses.
    ///
    /// # Errors
    /// [`KronError::EmptyFactor`], [`KronError::TooLarge`].
    pub fn new(m: usize, n: usize, p: usize, q: usize) -> Result<Self> {
        for (name, rows, cols) in [("A", m, n), ("B", p, q)] {
            if rows == 0 || cols == 0 {
                return Err(KronError::EmptyFactor { name, rows, cols });
            }
        }
        KronError::checked_product("Kronecker product", &[m, n, p, q])?;
        Ok(Self { m, n, p, q })
    }
}
