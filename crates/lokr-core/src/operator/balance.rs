//! Factors of opposite scale, brought to the same one.
//!
//! With factors of about `2^a` and `2^b` and data of about `2^x`, the result is of about `2^(a+b+x)`. What stands
//! between is `2^(b+x)`, which for a large and a small factor may lie outside of the range of the type although data
//! and result do not. With both factors at `2^((a+b)/2)` it lies between the two, whatever the order. Powers of two
//! change no digit.

use ndarray::{ArrayRef2, CowArray, Ix2};
use smallvec::{SmallVec, smallvec};

use super::axis::Axis;
use crate::scalar::Scalar;
use crate::sums::{exponents, times_two_to, wide_exponent};

/// Brings all matrices to the same scale where one is extremely large and another extremely small, if all their
/// elements allow that without rounding; else leaves them as they are.
pub(super) fn balance<T: Scalar>(axes: &mut [Axis<'_, T>]) {
    if !are_opposite(axes) {
        return;
    }
    let ranges: SmallVec<[_; 4]> = axes.iter().flat_map(Axis::matrices).map(|matrix| exponents(matrix)).collect();
    let highest = |range: &Option<(i64, i64)>| range.map_or(0, |(_, high)| high);
    let total: i64 = ranges.iter().map(highest).sum();
    let (count, last) = (ranges.len() as i64, ranges.len() - 1);
    let mean = total / count;
    let shift = |index: usize| mean - highest(&ranges[index]) + if index == last { total - mean * count } else { 0 };
    // Elements that become smaller stay normal, and those that become larger finite.
    let safe = wide_exponent::<T>();
    let exact = |(index, range): (usize, &Option<(i64, i64)>)| {
        let shift = shift(index);
        range.is_none_or(|(low, high)| (shift >= 0 || low + shift > -safe) && high + shift < safe)
    };
    if ranges.iter().enumerate().all(exact) {
        for (index, matrix) in axes.iter_mut().flat_map(Axis::matrices_mut).enumerate() {
            *matrix = CowArray::from(matrix.mapv(|value| times_two_to(value, shift(index))));
        }
    }
}

/// [`balance`] of matrices of one axis each.
pub(super) fn balanced<T: Scalar>(matrices: Vec<CowArray<'_, T, Ix2>>) -> Vec<CowArray<'_, T, Ix2>> {
    let mut axes: Vec<Axis<'_, T>> = matrices.into_iter().map(|matrix| Axis::Matrices(smallvec![matrix])).collect();
    balance(&mut axes);
    let matrices = |axis| if let Axis::Matrices(matrices) = axis { matrices } else { SmallVec::new() };
    axes.into_iter().flat_map(matrices).collect()
}

/// Whether an extremely large and an extremely small matrix meet, by three elements of each: this is asked before every
/// application, and must cost next to nothing.
fn are_opposite<T: Scalar>(axes: &[Axis<'_, T>]) -> bool {
    let (large, small) = limits::<T>();
    let (mut any_large, mut any_small) = (false, false);
    for matrix in axes.iter().flat_map(Axis::matrices) {
        let magnitude = sample(matrix);
        any_large |= magnitude > large;
        any_small |= magnitude < small && magnitude > T::zero();
    }
    any_large && any_small
}

/// What is extreme: about the fourth root of what a type can hold.
fn limits<T: Scalar>() -> (T, T) {
    let large = if size_of::<T>() == size_of::<f32>() { 1e9 } else { 1e77 };
    (T::from_f64_lossy(large), T::from_f64_lossy(1.0 / large))
}

/// The largest magnitude of three elements along the diagonal.
fn sample<T: Scalar>(matrix: &ArrayRef2<T>) -> T {
    let (rows, cols) = matrix.dim();
    let elements = [(0, 0), (rows / 2, cols / 2), (rows.saturating_sub(1), cols.saturating_sub(1))];
    elements.into_iter().filter_map(|index| matrix.get(index)).fold(T::zero(), |max, value| max.max(value.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{Factor, Kron, KronChain};
    use crate::test_support::{all_close, kron_of};
    use lokr_testing::matrix;
    use ndarray::{Array2, array};

    /// Every order of the sizes, with factors of opposite scale and data at both ends of what the result allows.
    fn agrees_with_the_same_factors_at_scale_one<T: Scalar>(large: f64) {
        for (m, n, p, q) in [(1, 1, 1, 1), (3, 5, 2, 7), (7, 2, 5, 3), (4, 4, 4, 4), (1, 6, 5, 1)] {
            let (plain, x) = (kron_of::<T>(m, n, p, q), matrix::<T>(3, n * q, 3));
            let expected = plain.apply(&x).unwrap();
            let scale = T::from_usize_lossy(n * q);
            let (large, small) = (T::from_f64_lossy(large), T::from_f64_lossy(1.0 / large));
            for (a, b) in [(large, small), (small, large)] {
                let k = Kron::new(plain.a().to_dense() * a, plain.b().to_dense() * b).unwrap();
                let chain = KronChain::new([k.a().to_dense(), k.b().to_dense()]).unwrap();
                for unit in [T::one(), large, small] {
                    let x = &x * unit;
                    all_close(&(k.apply(&x).unwrap() / unit), &expected, scale);
                    all_close(&(chain.apply(&x).unwrap() / unit), &expected, scale);
                    let y = matrix::<T>(2, m * p, 4);
                    let back = k.apply_transposed(&(&y * unit)).unwrap() / unit;
                    all_close(&back, &plain.apply_transposed(&y).unwrap(), T::from_usize_lossy(m * p));
                }
            }
        }
    }

    #[test]
    fn an_intermediate_out_of_range_does_not_spoil_a_result_in_range() {
        agrees_with_the_same_factors_at_scale_one::<f32>(1e30);
        agrees_with_the_same_factors_at_scale_one::<f64>(1e200);
    }

    #[test]
    fn halves_of_opposite_scale_are_balanced_too() {
        let (left, right) = (matrix::<f64>(9, 1, 1), matrix::<f64>(1, 7, 2));
        let plain = Kron::new(matrix(2, 2, 3), Factor::low_rank(&left, &right).unwrap()).unwrap();
        let k = Kron::new(matrix(2, 2, 3), Factor::low_rank(&left * 1e200, &right * 1e-200).unwrap()).unwrap();
        let x = matrix::<f64>(4, 14, 5);
        for unit in [1e-200, 1.0, 1e200] {
            all_close(&(k.apply(&(&x * unit)).unwrap() / unit), &plain.apply(&x).unwrap(), 14.0);
        }
    }

    #[test]
    fn factors_that_would_be_rounded_stay_as_they_are() {
        let a = array![[1e300, 1e-300]];
        let k = Kron::new(&a, array![[1e-200]]).unwrap();
        assert_eq!(k.apply(&array![[0.0, 1e300]]).unwrap()[[0, 0]], 1e-300 * (1e-200 * 1e300));
        let k = Kron::new(array![[1e200]], Array2::from_elem((1, 1), f64::NAN)).unwrap();
        assert!(k.apply(&array![[1.0]]).unwrap()[[0, 0]].is_nan());
    }
}
