//! What several test modules use: distinct numbers and central differences.

use lokr_core::Scalar;
use ndarray::{Array1, Array2};

use crate::Layer;

/// Distinct values in (−1, 1) that look random: fractional parts of multiples of √2 (Weyl's sequence).
pub(crate) fn values<T: Scalar>(rows: usize, cols: usize, seed: usize) -> Array2<T> {
    Array2::from_shape_fn((rows, cols), |(i, j)| {
        let k = 1 + seed * 10_007 + i * cols + j;
        T::from_f64_lossy(2.0 * (k as f64 * std::f64::consts::SQRT_2).fract() - 1.0)
    })
}

/// Like [`values`], as a vector.
pub(crate) fn vector<T: Scalar>(length: usize, seed: usize) -> Array1<T> {
    values(1, length, seed).row(0).to_owned()
}

/// Checks the gradients of the parameters and of the input of `layer` at `x` against central differences of
/// `⟨c, layer(x)⟩`, with `c` distinct numbers. `predict` alone is trusted.
pub(crate) fn check_gradients(layer: &mut dyn Layer<f64>, x: &Array2<f64>) {
    let c = values::<f64>(x.nrows(), layer.output_size(), 91);
    layer.clear_gradients();
    layer.forward(x).unwrap();
    let dx = layer.backward(&c).unwrap();
    let gradients = layer.gradients().unwrap();
    let parameters = layer.parameters();
    let step = 1e-5;
    for k in 0..parameters.len() {
        let mut at = |delta: f64| {
            let mut moved = parameters.clone();
            moved[k] += delta;
            layer.set_parameters(&moved).unwrap();
            (layer.predict(x).unwrap() * &c).sum()
        };
        assert_close(gradients[k], (at(step) - at(-step)) / (2.0 * step), &format!("parameter {k}"));
    }
    layer.set_parameters(&parameters).unwrap();
    for ((i, j), &found) in dx.indexed_iter() {
        let at = |delta: f64| {
            let mut moved = x.clone();
            moved[[i, j]] += delta;
            (layer.predict(&moved).unwrap() * &c).sum()
        };
        assert_close(found, (at(step) - at(-step)) / (2.0 * step), &format!("input ({i}, {j})"));
    }
}

fn assert_close(found: f64, difference: f64, what: &str) {
    let tolerance = 2e-8 * (1.0 + difference.abs());
    assert!((found - difference).abs() < tolerance, "{what}: gradient {found}, central difference {difference}");
}
