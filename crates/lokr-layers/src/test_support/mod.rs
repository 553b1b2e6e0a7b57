//! What several test modules use: central differences, layouts, a layer that watches its modes, all activations.

mod activations;

use std::sync::{Arc, Mutex};

use approx::assert_abs_diff_eq;
use lokr_testing::{LAYOUTS, central_difference, matrix, with_layout};
use ndarray::{Array2, ArrayRef2};

pub(crate) use activations::ACTIVATIONS;

use crate::activation::Activation;
use crate::error::Result;
use crate::layer::{GradientAt, Layer, Visitor, VisitorMut};
use crate::linear::Dense;

/// Checks the gradients of the parameters and of the input of `layer` at `x` against central differences of
/// `⟨c, layer(x)⟩`, with `c` distinct numbers. `predict` alone is trusted.
pub(crate) fn check_gradients(layer: &mut dyn Layer<f64>, x: &Array2<f64>) {
    let c = matrix::<f64>(x.nrows(), layer.output_size(), 91);
    layer.clear_gradients();
    layer.forward(x).unwrap();
    let dx = layer.backward(&c).unwrap();
    let gradients = layer.gradients().unwrap();
    let parameters = layer.parameters();
    for k in 0..parameters.len() {
        let difference = central_difference(|delta| {
            let mut moved = parameters.clone();
            moved[k] += delta;
            layer.set_parameters(&moved).unwrap();
            (layer.predict(x).unwrap() * &c).sum()
        });
        assert_close(gradients[k], difference, &format!("parameter {k}"));
    }
    layer.set_parameters(&parameters).unwrap();
    for ((i, j), &found) in dx.indexed_iter() {
        let difference = central_difference(|delta| {
            let mut moved = x.clone();
            moved[[i, j]] += delta;
            (layer.predict(&moved).unwrap() * &c).sum()
        });
        assert_close(found, difference, &format!("input ({i}, {j})"));
    }
}

/// Checks that `layer` gives the same output for `x`, the same gradients for `dy` and the same input gradient, however
/// what it reads and what it writes lie in memory.
pub(crate) fn check_layouts(layer: &mut dyn Layer<f64>, x: &Array2<f64>, dy: &Array2<f64>) {
    layer.reset_state();
    let (y, dx) = (layer.forward(x).unwrap(), layer.backward(dy).unwrap());
    let gradients = layer.gradients().unwrap();
    let (y_nan, dx_nan) = (Array2::from_elem(y.dim(), f64::NAN), Array2::from_elem(dx.dim(), f64::NAN));
    for layout in LAYOUTS {
        for layout_of_output in LAYOUTS {
            layer.reset_state();
            with_layout(x, layout, |x| {
                with_layout(&y_nan, layout_of_output, |found| {
                    layer.forward_into(x, found).unwrap();
                    assert_abs_diff_eq!(*found, *y, epsilon = 1e-14);
                });
            });
            with_layout(dy, layout, |dy| {
                with_layout(&dx_nan, layout_of_output, |found| {
                    layer.backward_into(dy, GradientAt::Output, found).unwrap();
                    assert_abs_diff_eq!(*found, *dx, epsilon = 1e-14);
                });
            });
            assert_abs_diff_eq!(layer.gradients().unwrap(), gradients, epsilon = 1e-14);
        }
    }
}

fn assert_close(found: f64, difference: f64, what: &str) {
    let tolerance = 2e-8 * (1.0 + difference.abs());
    assert!((found - difference).abs() < tolerance, "{what}: gradient {found}, central difference {difference}");
}

/// A layer that writes down what mode it is put in, and in which it is trained.
#[derive(Clone)]
pub(crate) struct ModeProbe {
    pub(crate) inner: Dense<f64>,
    pub(crate) events: Arc<Mutex<Vec<&'static str>>>,
    pub(crate) trainable: bool,
}

impl ModeProbe {
    fn write(&self, event: &'static str) {
        let mut events = self.events.lock().unwrap();
        if events.last() != Some(&event) {
            events.push(event);
        }
    }
}

impl Layer<f64> for ModeProbe {
    fn input_size(&self) -> usize {
        self.inner.input_size()
    }
    fn output_size(&self) -> usize {
        self.inner.output_size()
    }
    fn type_name(&self) -> &'static str {
        "ModeProbe"
    }
    fn predict_into(&self, x: &ArrayRef2<f64>, y: &mut ArrayRef2<f64>) -> Result<()> {
        self.write("predict");
        self.inner.predict_into(x, y)
    }
    fn forward_into(&mut self, x: &ArrayRef2<f64>, y: &mut ArrayRef2<f64>) -> Result<()> {
        self.write("forward");
        self.inner.forward_into(x, y)
    }
    fn backward_into(&mut self, dy: &ArrayRef2<f64>, at: GradientAt, dx: &mut ArrayRef2<f64>) -> Result<()> {
        self.inner.backward_into(dy, at, dx)
    }
    fn visit(&self, visitor: Visitor<'_, f64>) {
        self.inner.visit(visitor);
    }
    fn visit_mut(&mut self, visitor: VisitorMut<'_, f64>) {
        self.inner.visit_mut(visitor);
    }
    fn clear_gradients(&mut self) {
        self.inner.clear_gradients();
    }
    fn reset_state(&mut self) {
        self.inner.reset_state();
    }
    fn set_training_mode(&mut self, training: bool) {
        self.write(if training { "training mode" } else { "inference mode" });
    }
    fn supports_training(&self) -> bool {
        self.trainable
    }
    fn clone_box(&self) -> Box<dyn Layer<f64>> {
        Box::new(self.clone())
    }
}
