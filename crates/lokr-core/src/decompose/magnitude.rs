//! The largest element and the Frobenius norm of a dense matrix.

use ndarray::ArrayView2;

use crate::scalar::Scalar;

/// The Frobenius norm, safe from overflow and underflow of the squares.
pub(crate) fn frobenius_norm<T: Scalar>(matrix: ArrayView2<'_, T>) -> T {
    let scale = largest_magnitude(matrix);
    if scale == T::zero() || !scale.is_finite() {
        return scale;
    }
    scale * matrix.iter().map(|&x| (x / scale) * (x / scale)).sum::<T>().sqrt()
}

/// The largest absolute value, NaN when there is one.
pub(crate) fn largest_magnitude<T: Scalar>(matrix: ArrayView2<'_, T>) -> T {
    matrix.iter().map(|x| x.abs()).fold(T::zero(), max_or_nan)
}

/// The larger one, or NaN when one is (`Float::max` would drop it).
pub(crate) fn max_or_nan<T: Scalar>(x: T, y: T) -> T {
    if x >= y || x.is_nan() { x } else { y }
}
