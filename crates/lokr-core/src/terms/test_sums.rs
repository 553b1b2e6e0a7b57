//! Sums of products for the unit tests of this room.

use lokr_testing::{dense_kron, matrix};
use ndarray::{Array2, ArrayRef2};

use super::kron_terms::KronTerms;
use crate::operator::{Factor, Kron};
use crate::scalar::Scalar;
use crate::test_support::all_close;

/// Sums of one to four products, of one split and of several, full and low-rank; each with the dense sum written out.
/// No element of the dense sum is larger than 20.
pub(crate) fn sums<T: Scalar>() -> Vec<(KronTerms<'static, T>, Array2<T>)> {
    let shapes: [&[(usize, usize, usize, usize)]; 8] = [
        &[(1, 1, 1, 1), (1, 1, 1, 1)],
        &[(2, 3, 5, 7)],
        &[(3, 2, 2, 5), (3, 2, 2, 5), (3, 2, 2, 5)],
        &[(4, 4, 3, 3), (4, 4, 3, 3)],
        &[(2, 3, 6, 2), (4, 1, 3, 6), (3, 2, 4, 3), (2, 3, 6, 2)],
        &[(2, 2, 3, 3), (3, 3, 2, 2), (6, 1, 1, 6), (1, 6, 6, 1)],
        &[(1, 7, 5, 1), (5, 1, 1, 7)],
        &[(4, 2, 1, 9), (2, 6, 2, 3)],
    ];
    let weights = [0.75, -2.0, 1.0, 0.5].map(T::from_f64_lossy);
    let sum = |shapes: &[(usize, usize, usize, usize)]| {
        let mut terms = Vec::new();
        let mut sum = Array2::zeros((shapes[0].0 * shapes[0].2, shapes[0].1 * shapes[0].3));
        for ((seed, &weight), &(m, n, p, q)) in (1..).step_by(5).zip(&weights).zip(shapes) {
            let (a, b) = (matrix::<T>(m, n, seed), matrix::<T>(p, q, seed + 1));
            let kron = if terms.len() % 2 == 1 {
                let (left, right) = (matrix::<T>(p, 2, seed + 2), matrix::<T>(2, q, seed + 3));
                sum += &(dense_kron(&a, &left.dot(&right)) * weight);
                Kron::new(a, Factor::low_rank(left, right).unwrap()).unwrap()
            } else {
                sum += &(dense_kron(&a, &b) * weight);
                Kron::new(a, b).unwrap()
            };
            terms.push((weight, kron));
        }
        (KronTerms::new(terms).unwrap(), sum)
    };
    shapes.into_iter().map(sum).collect()
}

/// Asserts that a matrix of the size of [`sums`] is what is expected, up to rounding.
#[track_caller]
pub(crate) fn close_to<T: Scalar>(found: &ArrayRef2<T>, expected: &ArrayRef2<T>) {
    all_close(found, expected, T::one());
}
