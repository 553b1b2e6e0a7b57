//! Factors that start as the nearest products of a matrix.

use lokr_core::{Factor, Kron, KronShape, NearestOptions, Scalar, nearest_kron};
use ndarray::{Array2, ArrayRef2};

use crate::error::{LayerError, Result};

/// The `count` products whose sum, times `scaling`, is nearest to `matrix`. A factor with a rank is held by the halves
/// that are nearest to it, of that inner size where its sides allow it.
pub(super) fn nearest_terms<T: Scalar>(
    matrix: &ArrayRef2<T>,
    shape: KronShape,
    count: usize,
    scaling: T,
    (a_rank, b_rank): (Option<usize>, Option<usize>),
) -> Result<Vec<Kron<'static, T>>> {
    if scaling == T::zero() {
        return Err(LayerError::invalid("alpha", 0, "a positive number, for factors that make a given matrix"));
    }
    let nearest = nearest_kron(matrix, shape, count, &NearestOptions::default())?;
    // Shared evenly between the factors, as their norms are.
    let root = scaling.abs().sqrt().recip();
    let term = |term: Kron<'static, T>| {
        let (a, b) = term.into_parts();
        let a = halved(a.into_dense() * (root * scaling.signum()), a_rank)?;
        Ok(Kron::new(a, halved(b.into_dense() * root, b_rank)?)?)
    };
    nearest.terms.into_iter().map(term).collect()
}

fn halved<T: Scalar>(matrix: Array2<T>, rank: Option<usize>) -> Result<Factor<'static, T>> {
    let Some(rank) = rank else { return Ok(matrix.into()) };
    let rank = rank.min(matrix.nrows()).min(matrix.ncols());
    let (left, right) = Kron::new(Array2::ones((1, 1)), matrix)?.svd()?.low_rank(rank)?;
    Ok(Factor::low_rank(left, right)?)
}
