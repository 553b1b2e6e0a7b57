//! Sums for the tests, with the dense matrices written out.

use lokr_testing::{dense_kron, matrix};
use ndarray::{Array2, ArrayRef2};

use super::KronSum;
use crate::operator::Factor;
use crate::scalar::Scalar;

/// The sum of these matrices by its definition.
pub(super) fn dense_sum<T: Scalar>(matrices: &[Array2<T>]) -> Array2<T> {
    matrices.iter().fold(Array2::zeros((1, 1)), |sum, matrix| {
        let eye = |of: &ArrayRef2<T>| Array2::eye(of.nrows());
        dense_kron(&sum, &eye(matrix)) + dense_kron(&eye(&sum), matrix)
    })
}

/// Of one to four summands, each made by `matrix` of a side and a seed.
pub(super) fn sums_of<T: Scalar>(matrix: impl Fn(usize, u64) -> Array2<T>) -> Vec<(KronSum<'static, T>, Array2<T>)> {
    let sides: [&[usize]; 9] = [&[1], &[5], &[1, 1], &[1, 5], &[3, 1], &[5, 3], &[2, 3, 2], &[3, 1, 4], &[2, 1, 3, 2]];
    let sum = |sides: &[usize]| {
        let matrices: Vec<_> = (1..).zip(sides).map(|(seed, &side)| matrix(side, seed)).collect();
        let dense = dense_sum(&matrices);
        (KronSum::from_factors(matrices).unwrap(), dense)
    };
    sides.into_iter().map(sum).collect()
}

/// The same of matrices of no kind, and with low-rank ones.
pub(super) fn sums<T: Scalar>() -> Vec<(KronSum<'static, T>, Array2<T>)> {
    let mut sums = sums_of(|side, seed| matrix::<T>(side, side, seed));
    for (side, rank) in [(4, 1), (4, 3), (3, 0)] {
        let (left, right) = (matrix::<T>(side, rank, 5), matrix::<T>(rank, side, 6));
        let (a, low) = (matrix::<T>(2, 2, 7), left.dot(&right));
        let factors = [Factor::from(a.clone()), Factor::low_rank(left, right).unwrap()];
        sums.push((KronSum::from_factors(factors).unwrap(), dense_sum(&[a, low])));
    }
    sums
}
