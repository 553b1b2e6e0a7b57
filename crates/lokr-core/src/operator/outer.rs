//! A Kronecker product of vectors, in memory that is asked for first.

use ndarray::{Array1, ArrayView1, CowArray, Ix1};

use super::factor::Factor;
use crate::error::{KronError, Result};
use crate::scalar::Scalar;

/// `v₁ ⊗ … ⊗ v_k`; [`KronError::TooLarge`] when its length overflows or the memory is refused.
///
/// Values are multiplied from the last factor on, as [`KronChain::element`](super::KronChain::element) does.
pub(super) fn outer<'v, T: Scalar>(
    operation: &'static str,
    vectors: impl DoubleEndedIterator<Item = ArrayView1<'v, T>> + Clone,
) -> Result<Array1<T>> {
    let sizes = || vectors.clone().map(|vector| vector.len()).collect::<Vec<_>>();
    let length = KronError::checked_product(operation, &sizes())?;
    // Both hold the whole in turn, and the last factor's turn is the longest.
    let (mut product, mut next) = (Vec::new(), Vec::new());
    for memory in [&mut product, &mut next] {
        memory.try_reserve_exact(length).map_err(|_| KronError::TooLarge { operation, sizes: sizes() })?;
    }
    product.push(T::one());
    for vector in vectors.rev() {
        next.clear();
        for &value in vector {
            next.extend(product.iter().map(|&inner| value * inner));
        }
        std::mem::swap(&mut product, &mut next);
    }
    Ok(Array1::from_vec(product))
}

/// One row of the matrix a factor stands for, `2·r·cols` flops when low-rank. The row exists.
pub(super) fn factor_row<'f, T: Scalar>(factor: &'f Factor<'_, T>, row: usize) -> CowArray<'f, T, Ix1> {
    match factor {
        Factor::Full(matrix) => CowArray::from(matrix.row(row)),
        Factor::LowRank(low) => {
            let left = low.left.row(row);
            CowArray::from(Array1::from_shape_fn(low.right.ncols(), |col| left.dot(&low.right.column(col))))
        }
    }
}
