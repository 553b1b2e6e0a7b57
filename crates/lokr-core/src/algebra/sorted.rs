//! What the decompositions of a product share: sorted values, and vectors made of one of each factor.

use std::cmp::Ordering;

use ndarray::{Array1, Array2, ArrayView1};
use num_traits::One;

use crate::decompose::Scaled;
use crate::error::{KronError, Result};
use crate::scalar::Scalar;
use crate::sums::Extended;

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
        let order = x.partial_cmp(y).unwrap_or(Ordering::Equal);
        if sort == Sort::Descending { order.reverse() } else { order }
    });
    (indexed.iter().map(|&(value, _)| value).collect(), indexed.into_iter().map(|(_, pair)| pair).collect())
}

/// `x ⊗ y` of two vectors.
pub(super) fn kron_vector<T: Scalar>(x: ArrayView1<'_, T>, y: ArrayView1<'_, T>) -> Array1<T> {
    x.iter().flat_map(|&x| y.iter().map(move |&y| x * y)).collect()
}

/// The products of one value of every list, the last list running fastest: the eigenvalues or singular values of a
/// product in the order of its vectors. The values of a list are its power of two times what stands there.
pub(super) fn products<T: Scalar>(operation: &'static str, lists: &[Scaled<Array1<T>>]) -> Result<Vec<Extended<T>>> {
    let sizes: Vec<usize> = lists.iter().map(|list| list.result.len()).collect();
    KronError::checked_product(operation, &sizes)?;
    let mut products = vec![Extended::one()];
    for Scaled { result: values, power } in lists.iter().rev() {
        let mut next = reserved(operation, values.len() * products.len())?;
        for &value in values {
            let value = Extended::new(value).times_two_to(power.exponent());
            next.extend(products.iter().map(|&product| value * product));
        }
        products = next;
    }
    Ok(products)
}

/// The places of the values, the largest first; those of equal ones in their order.
pub(super) fn descending<T: Scalar>(operation: &'static str, values: &Array1<T>) -> Result<Vec<usize>> {
    let mut places = reserved(operation, values.len())?;
    places.extend(0..values.len());
    places.sort_unstable_by(|&i, &j| values[j].partial_cmp(&values[i]).unwrap_or(Ordering::Equal).then(i.cmp(&j)));
    Ok(places)
}

/// Memory for so many values, [`KronError::OutOfMemory`] where it is refused.
pub(super) fn reserved<V>(operation: &'static str, length: usize) -> Result<Vec<V>> {
    let mut values = Vec::new();
    match values.try_reserve_exact(length) {
        Ok(()) => Ok(values),
        Err(_) => Err(KronError::OutOfMemory { operation, shape: (length, 1) }),
    }
}
