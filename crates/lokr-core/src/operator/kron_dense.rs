//! The Kronecker product written out: slow, plain, and the reference for everything else.

use ndarray::{Array2, ArrayRef2};

use crate::error::{KronError, Result};
use crate::memory;
use crate::scalar::Scalar;

/// The dense product `A ⊗ B`, element by element from the definition
/// `(A ⊗ B)[i·p + k, j·q + l] = A[i, j]·B[k, l]`.
///
/// # Shapes
/// `a`: `m × n`; `b`: `p × q`; result: `(m·p) × (n·q)`. Sizes of zero give an empty result.
/// # Cost
/// `m·n·p·q` multiplications and as many values of memory. This is what the rest of the crate avoids; use it to check
/// results and to compare speeds.
/// # Errors
/// [`KronError::TooLarge`] when the elements or their bytes are more than addresses; [`KronError::OutOfMemory`].
/// # Examples
/// ```
/// use ndarray::array;
/// let k = lokr_core::kron_dense(&array![[1.0, 2.0]], &array![[0.0, 3.0], [4.0, 5.0]])?;
/// assert_eq!(k, array![[0.0, 3.0, 0.0, 6.0], [4.0, 5.0, 8.0, 10.0]]);
/// # Ok::<(), lokr_core::KronError>(())
/// ```
pub fn kron_dense<T: Scalar>(a: &ArrayRef2<T>, b: &ArrayRef2<T>) -> Result<Array2<T>> {
    let ((m, n), (p, q)) = (a.dim(), b.dim());
    let operation = "dense Kronecker product";
    KronError::checked_product(operation, &[m, n, p, q])?;
    // Of an empty product, which is none of these sizes multiplied, each side must still be a number.
    let shape = (KronError::checked_product(operation, &[m, p])?, KronError::checked_product(operation, &[n, q])?);
    memory::from_elements(operation, shape, |row, col| a[[row / p, col / q]] * b[[row % p, col % q]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn blocks_are_copies_of_b_scaled_by_the_elements_of_a() {
        let a = array![[1.0, -2.0, 3.0], [4.0, 0.5, 6.0]];
        let b = array![[1.0, 2.0], [3.0, 4.0], [5.0, 7.0], [8.0, 9.0]];
        let k = kron_dense(&a, &b).unwrap();
        assert_eq!(k.dim(), (8, 6));
        for i in 0..2 {
            for j in 0..3 {
                let block = k.slice(ndarray::s![i * 4..(i + 1) * 4, j * 2..(j + 1) * 2]);
                assert_eq!(block, &b * a[[i, j]]);
            }
        }
        assert_eq!(k, ndarray::linalg::kron(&a, &b));
    }

    #[test]
    fn empty_factors_give_an_empty_product() {
        let k = kron_dense(&Array2::<f32>::zeros((0, 3)), &array![[1.0], [2.0]]).unwrap();
        assert_eq!(k.dim(), (0, 3));
    }
}
