//! What the decompositions of a product share: sorted values, and vectors made of one of each factor.

use ndarray::{Array1, Array2, ArrayView1};

use crate::scalar::Scalar;

/// Which value comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Ascending,
    Descending,
}

/// The values of a grid, sorted, each with its index; equal ones in the order of their indices.
pub(super) fn sorted<T: Scalar>(grid: &Array2<T>, sort: Sort) -> (Array1<T>, Vec<(usize, usize)>) {
    let mut indexed: Vec<_> = grid.indexed_iter().map(|(pair, &value)| (value, pair)).collect();
    indexed.sort_by(|(x, _), (y, _)| {
        let order = x.partial_cmp(y).unwrap_or(std::cmp::Ordering::Equal);
        if sort == Sort::Descending { order.reverse() } else { order }
    });
    (indexed.iter().map(|&(value, _)| value).collect(), indexed.into_iter().map(|(_, pair)| pair).collect())
}

/// `x ⊗ y` of two vectors.
pub(super) fn kron_vector<T: Scalar>(x: ArrayView1<'_, T>, y: ArrayView1<'_, T>) -> Array1<T> {
    x.iter().flat_map(|&x| y.iter().map(move |&y| x * y)).collect()
}
