//! Comparison of results.

use ndarray::{ArrayRef, Dimension, NdFloat};

use crate::to_f64;

/// Asserts `|found − expected| ≤ 4·ε·length·max(1, largest |expected|)` element by element; `length` is that of the
/// sums behind each. NaN fails.
///
/// # Panics
/// If shapes or values differ.
#[track_caller]
pub fn assert_close<T: NdFloat, D: Dimension>(
    found: &ArrayRef<T, D>,
    expected: &ArrayRef<T, D>,
    length: usize,
    what: &str,
) {
    assert_eq!(found.shape(), expected.shape(), "{what}: shape");
    let largest = expected.iter().fold(1.0f64, |m, &v| m.max(to_f64(v).abs()));
    let tolerance = 4.0 * to_f64(T::epsilon()) * (length.max(1) as f64) * largest;
    for ((index, &found), &expected) in found.indexed_iter().zip(expected) {
        let difference = (to_f64(found) - to_f64(expected)).abs();
        assert!(
            difference <= tolerance,
            "{what}: at {index:?} found {found}, expected {expected}: {difference:e} > {tolerance:e}"
        );
    }
}
