//! The sum of the products of equal elements of two matrices.

use ndarray::ArrayView2;

use super::extended::{Extended, exponent, wide_exponent};
use super::pairwise::{BLOCK, Pairwise, block};
use crate::scalar::Scalar;

/// `Σ x[i, j]·y[i, j]` of matrices of equal shape, in blocks that are added in pairs, on the calling thread.
///
/// One pass where the sum is in the middle of the type's range. A sum that is not (zero among them) may have lost
/// products, or parts of the sum, outside of the range: then a second pass looks, and a third adds products with
/// exponents of their own.
pub(crate) fn dot<T: Scalar>(x: ArrayView2<'_, T>, y: ArrayView2<'_, T>) -> Extended<T> {
    debug_assert_eq!(x.dim(), y.dim());
    let sum = plain(x, y);
    // Products that underflow are off by less than the smallest value each, far below the rounding of such a sum.
    let least = T::min_positive_value() / T::epsilon() / T::epsilon();
    if sum.is_finite() && sum.abs() >= least { Extended::new(sum) } else { wide(x, y, sum) }
}

fn plain<T: Scalar>(x: ArrayView2<'_, T>, y: ArrayView2<'_, T>) -> T {
    let memory = match (x.to_slice(), y.to_slice()) {
        (Some(x), Some(y)) => Some((x, y)),
        _ => x.reversed_axes().to_slice().zip(y.reversed_axes().to_slice()),
    };
    let mut sum = Pairwise::new();
    if let Some((x, y)) = memory {
        x.chunks(BLOCK).zip(y.chunks(BLOCK)).for_each(|(x, y)| sum.push(block(x, y)));
        return sum.total();
    }
    let (mut x_block, mut y_block, mut length) = ([T::zero(); BLOCK], [T::zero(); BLOCK], 0);
    for (&x, &y) in x.iter().zip(&y) {
        (x_block[length], y_block[length]) = (x, y);
        length += 1;
        if length == BLOCK {
            sum.push(block(&x_block, &y_block));
            length = 0;
        }
    }
    sum.push(block(&x_block[..length], &y_block[..length]));
    sum.total()
}

/// The same where `sum`, that of [`plain`], may have left the range on the way.
fn wide<T: Scalar>(x: ArrayView2<'_, T>, y: ArrayView2<'_, T>, sum: T) -> Extended<T> {
    let pairs = || x.iter().zip(&y);
    let of_products = pairs().filter_map(|(&x, &y)| Some(exponent(x)? + exponent(y)?));
    let range = of_products.fold(None, |range: Option<(i64, i64)>, exponent| {
        let (low, high) = range.unwrap_or((exponent, exponent));
        Some((low.min(exponent), high.max(exponent)))
    });
    // Without finite products other than zero, `sum` is zero, infinite or NaN for a reason.
    let Some((low, high)) = range else { return Extended::new(sum) };
    let safe = wide_exponent::<T>() / 2;
    if low >= -safe && high <= safe && !sum.is_nan() {
        return Extended::new(sum);
    }
    let ones = [T::one(); BLOCK];
    let (mut total, mut terms, mut length) = (Pairwise::new(), [T::zero(); BLOCK], 0);
    for (&x, &y) in pairs() {
        // The largest product becomes about one.
        terms[length] = (Extended::new(x) * Extended::new(y)).times_two_to(-high).value();
        length += 1;
        if length == BLOCK {
            total.push(block(&terms, &ones));
            length = 0;
        }
    }
    total.push(block(&terms[..length], &ones[..length]));
    Extended::new(total.total()).times_two_to(high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lokr_testing::{LAYOUTS, matrix, with_layout};
    use ndarray::{Array2, array};

    fn agrees_with_f64<T: Scalar>() {
        for (rows, cols) in [(0, 3), (1, 1), (1, 7), (13, 1), (31, 33), (64, 32), (67, 131)] {
            let (x, y) = (matrix::<T>(rows, cols, 1), matrix::<T>(rows, cols, 2));
            let expected: f64 = x.iter().zip(&y).map(|(x, y)| x.to_f64_exact() * y.to_f64_exact()).sum();
            for x_layout in LAYOUTS {
                for y_layout in LAYOUTS {
                    let found =
                        with_layout(&x, x_layout, |x| with_layout(&y, y_layout, |y| dot(x.view(), y.view()).value()));
                    let allowed = 16.0 * ((rows * cols) as f64).sqrt() * Scalar::to_f64_exact(T::epsilon());
                    assert!(
                        (Scalar::to_f64_exact(found) - expected).abs() <= allowed,
                        "{rows} × {cols}, {x_layout:?}, {y_layout:?}: {found}, expected {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_f64_in_every_layout() {
        agrees_with_f64::<f32>();
        agrees_with_f64::<f64>();
    }

    #[test]
    fn a_long_sum_in_f32_is_as_good_as_a_short_one() {
        let x = Array2::from_elem((4096, 1000), 0.1_f32);
        let expected = 4_096_000.0 * f64::from(0.1_f32).powi(2);
        let found = f64::from(dot(x.view(), x.view()).value());
        assert!((found / expected - 1.0).abs() < 1e-6, "{found}, expected {expected}");
    }

    #[test]
    fn sums_whose_parts_leave_the_range() {
        let one = |x: Array2<f64>, y: Array2<f64>| dot(x.view(), y.view());
        assert_eq!(one(array![[1e200, 1e200]], array![[1e200, -1e200]]).value(), 0.0);
        assert_eq!(one(array![[1e300, 1.0, 1e300]], array![[1e300, 2.0, -1e300]]).value(), 0.0); // lost in rounding
        let product =
            one(array![[1e-200, 3e-200]], array![[1e-200, 1e-200]]) * Extended::new(1e200) * Extended::new(1e200);
        assert!((product.value() - 4.0).abs() < 1e-14);
        assert!((one(array![[1e300, 1e-300]], array![[0.0, 1e-10]]).value() / 1e-310 - 1.0).abs() < 1e-10);
        assert_eq!(one(array![[f64::INFINITY, 1e200]], array![[1.0, -1e200]]).value(), f64::INFINITY);
        assert!(one(array![[f64::INFINITY, 1.0]], array![[0.0, 1.0]]).value().is_nan());
        assert!(one(array![[f64::NAN, 1e200]], array![[1.0, 1e200]]).value().is_nan());
        assert!(one(array![[f64::INFINITY, f64::INFINITY]], array![[1.0, -1.0]]).value().is_nan());
    }
}
