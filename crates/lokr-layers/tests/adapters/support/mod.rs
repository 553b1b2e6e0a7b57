//! Layers and plain arithmetic that the tests of adapters share.

#[path = "../../../src/test_support/activations.rs"]
mod activations; // the list that the unit tests go through

pub(crate) mod convolution;

use lokr_core::{Factor, Scalar};
use lokr_layers::{
    Activation, Dense, FullyConnected, GradientAt, Layer, LayerError, LoKrAdapter, LoKrInit, Result, Visitor,
    VisitorMut,
};
use ndarray::{Array1, Array2, ArrayRef2};

pub(crate) use activations::ACTIVATIONS;
pub(crate) use lokr_testing::{LAYOUTS, Layout, assert_close, dense_kron, dense_product, matrix, vector, with_layout};

/// An input-major layer with the weight `w (out, in)`.
pub(crate) fn dense<T: Scalar>(w: &ArrayRef2<T>, bias: &Array1<T>, activation: Activation) -> Dense<T> {
    Dense::from_arrays(w.t().to_owned(), bias.clone(), activation).unwrap()
}

/// An output-major layer with the weight `w (out, in)`.
pub(crate) fn fully_connected<T: Scalar>(
    w: &ArrayRef2<T>,
    bias: &Array1<T>,
    activation: Activation,
) -> FullyConnected<T> {
    FullyConnected::from_arrays(w.to_owned(), bias.clone(), activation).unwrap()
}

/// An adapter that does something: neither factor is zero.
pub(crate) fn adapter<T: Scalar, L: Layer<T> + Clone>(base: L, rank: usize, seed: u64) -> LoKrAdapter<T, L> {
    LoKrAdapter::builder(base)
        .rank(rank)
        .alpha(T::from_f64_lossy(1.5))
        .init(LoKrInit::Random)
        .seed(seed)
        .build()
        .unwrap()
}

/// A factor multiplied out element by element.
pub(crate) fn dense_factor<T: Scalar>(factor: &Factor<'_, T>) -> Array2<T> {
    match factor {
        Factor::Full(matrix) => matrix.to_owned(),
        Factor::LowRank(halves) => dense_product(&halves.left(), &halves.right()),
    }
}

/// `s·(A ⊗ B)` from the definition.
pub(crate) fn delta_of<T: Scalar, L: Layer<T> + Clone>(adapter: &LoKrAdapter<T, L>) -> Array2<T> {
    let (a, b) = (dense_factor(adapter.delta().a()), dense_factor(adapter.delta().b()));
    dense_kron(&a, &b) * adapter.scaling()
}

/// The bits of all trainable values.
pub(crate) fn bits<T: Scalar>(layer: &impl Layer<T>) -> Vec<u64> {
    layer.parameters().iter().map(|v| v.to_f64_exact().to_bits()).collect()
}

/// A user's own layer without a weight matrix: squares each value and adds one trainable offset to all. Counts its
/// calls and remembers the training mode.
#[derive(Debug, Clone)]
pub(crate) struct Square {
    pub(crate) size: usize,
    pub(crate) offset: Array1<f64>,
    pub(crate) gradient: Option<Array1<f64>>,
    pub(crate) input: Option<Array2<f64>>,
    pub(crate) training: bool,
}

impl Square {
    pub(crate) fn new(size: usize) -> Self {
        Self { size, offset: Array1::from_elem(1, 0.25), gradient: None, input: None, training: true }
    }
}

impl Layer<f64> for Square {
    fn input_size(&self) -> usize {
        self.size
    }
    fn output_size(&self) -> usize {
        self.size
    }
    fn type_name(&self) -> &'static str {
        "Square"
    }
    fn predict_into(&self, x: &ArrayRef2<f64>, y: &mut ArrayRef2<f64>) -> Result<()> {
        y.zip_mut_with(x, |y, x| *y = x * x + self.offset[0]);
        Ok(())
    }
    fn forward_into(&mut self, x: &ArrayRef2<f64>, y: &mut ArrayRef2<f64>) -> Result<()> {
        self.input = Some(x.to_owned());
        self.predict_into(x, y)
    }
    fn backward_into(&mut self, dy: &ArrayRef2<f64>, at: GradientAt, dx: &mut ArrayRef2<f64>) -> Result<()> {
        let x = self.input.as_ref().ok_or(LayerError::BackwardBeforeForward { layer: "Square" })?;
        if at == GradientAt::PreActivation {
            return Err(LayerError::NoPreActivation { layer: "Square" });
        }
        dx.assign(&(x * 2.0 * dy));
        self.gradient.get_or_insert_with(|| Array1::zeros(1))[0] += dy.sum();
        Ok(())
    }
    fn visit(&self, visitor: Visitor<'_, f64>) {
        visitor("offset", self.offset.view().into_dyn(), self.gradient.as_ref().map(|g| g.view().into_dyn()));
    }
    fn visit_mut(&mut self, visitor: VisitorMut<'_, f64>) {
        visitor("offset", self.offset.view_mut().into_dyn(), self.gradient.as_ref().map(|g| g.view().into_dyn()));
    }
    fn clear_gradients(&mut self) {
        self.gradient = None;
    }
    fn reset_state(&mut self) {
        (self.gradient, self.input) = (None, None);
    }
    fn set_training_mode(&mut self, training: bool) {
        self.training = training;
    }
    fn clone_box(&self) -> Box<dyn Layer<f64>> {
        Box::new(self.clone())
    }
}

/// A layer of any sizes that does nothing, for the checks of a constructor.
#[derive(Debug, Clone)]
pub(crate) struct Empty(pub(crate) (usize, usize));

/// A linear layer that claims one input too many.
#[derive(Debug, Clone)]
pub(crate) struct Contradiction(pub(crate) Dense<f64>);

/// The methods that a stand-in layer does not need.
macro_rules! inert_layer {
    ($name:literal, $input:expr, $output:expr) => {
        inert_layer!($name, $input, $output, |_: &Self, _| {});
    };
    ($name:literal, $input:expr, $output:expr, $visit:expr) => {
        fn input_size(&self) -> usize {
            $input(self)
        }
        fn output_size(&self) -> usize {
            $output(self)
        }
        fn type_name(&self) -> &'static str {
            $name
        }
        fn predict_into(&self, _: &ArrayRef2<f64>, _: &mut ArrayRef2<f64>) -> Result<()> {
            Ok(())
        }
        fn forward_into(&mut self, _: &ArrayRef2<f64>, _: &mut ArrayRef2<f64>) -> Result<()> {
            Ok(())
        }
        fn backward_into(&mut self, _: &ArrayRef2<f64>, _: GradientAt, _: &mut ArrayRef2<f64>) -> Result<()> {
            Ok(())
        }
        fn visit(&self, visitor: Visitor<'_, f64>) {
            let visit: fn(&Self, Visitor<'_, f64>) = $visit;
            visit(self, visitor);
        }
        fn visit_mut(&mut self, _: VisitorMut<'_, f64>) {}
        fn clear_gradients(&mut self) {}
        fn reset_state(&mut self) {}
        fn set_training_mode(&mut self, _: bool) {}
        fn clone_box(&self) -> Box<dyn Layer<f64>> {
            Box::new(self.clone())
        }
    };
}

/// A layer that shows its parameter twice.
#[derive(Debug, Clone)]
pub(crate) struct Twins(pub(crate) Square);

impl Layer<f64> for Twins {
    inert_layer!("Twins", |layer: &Self| layer.0.size, |layer: &Self| layer.0.size, |layer: &Self, visitor| {
        layer.0.visit(visitor);
        layer.0.visit(visitor);
    });
}

impl Layer<f64> for Empty {
    inert_layer!("Empty", |layer: &Self| layer.0.1, |layer: &Self| layer.0.0);
}

impl Layer<f64> for Contradiction {
    inert_layer!("Contradiction", |layer: &Self| layer.0.input_size() + 1, |layer: &Self| layer.0.output_size());
    fn as_linear(&self) -> Option<&dyn lokr_layers::LinearLayer<f64>> {
        self.0.as_linear()
    }
}
