//! How good outputs are, in numbers for people rather than for gradients.

use lokr_core::Scalar;
use ndarray::{Array2, ArrayRef2, ArrayView1};

use super::loss::mean;
use super::targets::check_labels;
use crate::error::{LayerError, Result};

/// Share of the rows of `y (batch, classes)` whose largest value stands at the row's label; of equal values the first
/// counts, and a row with NaN is never right. 0 for an empty batch.
///
/// # Errors
/// [`crate::LayerError::Length`], [`crate::LayerError::Label`].
/// # Examples
/// ```
/// use ndarray::array;
/// let y = array![[0.1, 0.9], [0.8, 0.2], [0.5, 0.5], [0.3, 0.7]];
/// assert_eq!(lokr_layers::accuracy(&y, &[1, 0, 0, 0])?, 0.75);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub fn accuracy<T: Scalar>(y: &ArrayRef2<T>, labels: &[usize]) -> Result<f64> {
    check_labels("accuracy", y.dim(), labels)?;
    let right = y.rows().into_iter().zip(labels).filter(|(row, label)| is_largest(*row, **label)).count();
    Ok(mean(right as f64, labels.len() as f64))
}

/// Share of the rows of `y (batch, classes)` in which fewer than `k` values are ahead of the one at the row's label; of
/// equal values the first is ahead, and a row with NaN is never right. 0 for an empty batch.
///
/// # Errors
/// [`LayerError::Length`], [`LayerError::Label`]; [`LayerError::InvalidSetting`] for a `k` of 0.
/// # Examples
/// ```
/// use ndarray::array;
/// let y = array![[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]];
/// assert_eq!(lokr_layers::top_k_accuracy(&y, &[1, 2], 2)?, 0.5);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub fn top_k_accuracy<T: Scalar>(y: &ArrayRef2<T>, labels: &[usize], k: usize) -> Result<f64> {
    check_labels("top_k_accuracy", y.dim(), labels)?;
    if k == 0 {
        return Err(LayerError::invalid("k of the accuracy", k, "at least 1"));
    }
    let ahead = |row: ArrayView1<'_, T>, label: usize| {
        // Whatever is not behind is ahead, NaN too.
        row.indexed_iter().filter(|&(j, &v)| j != label && !is_behind(row[label], label, v, j)).count()
    };
    let right = |row: ArrayView1<'_, T>, label| !row.iter().any(|v| v.is_nan()) && ahead(row, label) < k;
    let right = y.rows().into_iter().zip(labels).filter(|(row, label)| right(*row, **label)).count();
    Ok(mean(right as f64, labels.len() as f64))
}

/// How often each class was answered for each: row `i`, column `j` counts the rows of `y (batch, classes)` with the
/// label `i` whose largest value stands at `j`; of equal values the first counts, and a row with NaN counts nowhere.
///
/// # Errors
/// [`LayerError::Length`], [`LayerError::Label`].
/// # Examples
/// ```
/// use ndarray::array;
/// let y = array![[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]];
/// assert_eq!(lokr_layers::confusion_matrix(&y, &[0, 0, 1])?, array![[1, 1], [0, 1]]);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub fn confusion_matrix<T: Scalar>(y: &ArrayRef2<T>, labels: &[usize]) -> Result<Array2<usize>> {
    check_labels("confusion_matrix", y.dim(), labels)?;
    let mut counts = Array2::zeros((y.ncols(), y.ncols()));
    for (row, &label) in y.rows().into_iter().zip(labels) {
        if let Some(answer) = (0..row.len()).find(|&j| is_largest(row, j)) {
            counts[[label, answer]] += 1;
        }
    }
    Ok(counts)
}

/// The share of the variance of the targets `t` that the outputs `y` explain, `1 − Σ(y − t)²/Σ(t − t̄)²`, with the mean
/// `t̄` of each column: 1 is perfect, and 0 what the means alone would reach. NaN where all targets of each column are
/// equal.
///
/// # Errors
/// [`LayerError::Shape`].
/// # Examples
/// ```
/// use ndarray::array;
/// assert_eq!(lokr_layers::r_squared(&array![[1.0], [3.0]], &array![[0.0], [4.0]])?, 0.75);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub fn r_squared<T: Scalar>(y: &ArrayRef2<T>, t: &ArrayRef2<T>) -> Result<f64> {
    LayerError::check_shape("r_squared", "t", y.dim(), t.dim())?;
    let (mut residual, mut variance) = (0.0, 0.0);
    for (y, t) in y.columns().into_iter().zip(t.columns()) {
        let center = mean(t.iter().map(|t| t.to_f64_exact()).sum(), t.len() as f64);
        for (y, t) in y.iter().zip(t) {
            let t = t.to_f64_exact();
            residual += (y.to_f64_exact() - t).powi(2);
            variance += (t - center).powi(2);
        }
    }
    Ok(1.0 - residual / variance)
}

/// Whether the value at `label` is the largest, and the first of those; never with NaN in the row.
pub(super) fn is_largest<T: Scalar>(row: ArrayView1<'_, T>, label: usize) -> bool {
    row.indexed_iter().all(|(j, &v)| is_behind(row[label], label, v, j))
}

/// Whether `v` at `j` is behind `best` at `label`.
fn is_behind<T: Scalar>(best: T, label: usize, v: T, j: usize) -> bool {
    if j < label { best > v } else { best >= v }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn the_first_k_are_found_whatever_is_equal() {
        let y = array![[1.0_f32, 1.0, 1.0], [3.0, 2.0, 1.0]];
        for (labels, k, expected) in
            [([0, 0], 1, 1.0), ([1, 1], 1, 0.0), ([1, 1], 2, 1.0), ([2, 2], 2, 0.0), ([2, 2], 9, 1.0)]
        {
            assert_eq!(top_k_accuracy(&y, &labels, k), Ok(expected), "{labels:?} {k}");
            if k == 1 {
                assert_eq!(accuracy(&y, &labels), Ok(expected));
            }
        }
        let nan = array![[f32::NAN, 1.0]];
        assert_eq!(top_k_accuracy(&nan, &[1], 2), Ok(0.0));
        assert_eq!(confusion_matrix(&nan, &[1]).unwrap().sum(), 0);
        assert_eq!(top_k_accuracy(&Array2::<f32>::zeros((0, 3)), &[], 1), Ok(0.0));
    }

    #[test]
    fn a_confusion_matrix_holds_the_accuracy_on_its_diagonal() {
        let y = lokr_testing::matrix::<f64>(60, 4, 3);
        let labels: Vec<usize> = (0..60).map(|i| i % 4).collect();
        let counts = confusion_matrix(&y, &labels).unwrap();
        assert_eq!(counts.sum(), 60);
        assert!(counts.rows().into_iter().all(|row| row.sum() == 15));
        assert_eq!(counts.diag().sum() as f64 / 60.0, accuracy(&y, &labels).unwrap());
    }

    #[test]
    fn the_share_of_the_variance_is_that_of_all_columns() {
        let t = array![[1.0, 10.0], [3.0, 30.0]];
        assert_eq!(r_squared(&t, &t), Ok(1.0));
        assert_eq!(r_squared(&array![[2.0, 20.0], [2.0, 20.0]], &t), Ok(0.0));
        assert!(r_squared(&array![[f64::NAN, 20.0], [2.0, 20.0]], &t).unwrap().is_nan());
        assert!(r_squared(&array![[1.0], [1.0]], &array![[1.0], [1.0]]).unwrap().is_nan());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let y = array![[1.0, 2.0]];
        let (layer, argument) = ("top_k_accuracy", "labels");
        assert_eq!(top_k_accuracy(&y, &[], 1), Err(LayerError::Length { layer, argument, expected: 1, found: 0 }));
        assert!(matches!(top_k_accuracy(&y, &[0], 0), Err(LayerError::InvalidSetting { .. })));
        assert_eq!(confusion_matrix(&y, &[2]), Err(LayerError::Label { sample: 0, label: 2, classes: 2 }));
        let expected = LayerError::Shape { layer: "r_squared", argument: "t", expected: (1, 2), found: (2, 1) };
        assert_eq!(r_squared(&y, &array![[1.0], [2.0]]), Err(expected));
    }
}
