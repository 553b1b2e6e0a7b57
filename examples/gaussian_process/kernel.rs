//! The covariance of two points of one axis.

use ndarray::{Array1, Array2};

/// Matérn's covariance of smoothness 5/2, `(1 + s + s²/3)·e⁻ˢ` with `s = √5·|x − y|/length` (Rasmussen & Williams,
/// *Gaussian Processes for Machine Learning*, equation 4.17), for every `x` and `y`.
pub fn matern(x: &Array1<f64>, y: &Array1<f64>, length: f64) -> Array2<f64> {
    of_distances(x, y, length, |s| (1.0 + s + s * s / 3.0) * (-s).exp())
}

/// Its derivative by the logarithm of the length, `(s² + s³)/3·e⁻ˢ`.
pub fn matern_by_log_length(x: &Array1<f64>, y: &Array1<f64>, length: f64) -> Array2<f64> {
    of_distances(x, y, length, |s| (s * s + s * s * s) / 3.0 * (-s).exp())
}

fn of_distances(x: &Array1<f64>, y: &Array1<f64>, length: f64, f: impl Fn(f64) -> f64) -> Array2<f64> {
    Array2::from_shape_fn((x.len(), y.len()), |(i, j)| f(5.0_f64.sqrt() * (x[i] - y[j]).abs() / length))
}
