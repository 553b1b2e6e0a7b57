//! Layers one after the other.

use std::fmt::Write;

use lokr_core::Scalar;
use ndarray::{Array2, ArrayRef2};

use crate::activation::Activation;
use crate::buffer::Buffer;
use crate::error::{LayerError, Result};
use crate::layer::{GradientAt, GradientVisitorMut, Layer, Visitor, VisitorMut};

/// A network of layers, each fed by the one before. Itself a [`Layer`].
///
/// Names of parameters get the index of their layer in front, `"0.weight"`. A gradient at the pre-activation is one at
/// that of the last layer. Between two layers lies one matrix, used by forward and backward and kept from step to
/// step.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, Dense, FullyConnected, Layer, Sequential};
/// use ndarray::array;
///
/// let first = Dense::from_arrays(array![[1.0, -1.0]], array![0.0, 0.0], Activation::Relu)?;
/// let second = FullyConnected::from_arrays(array![[1.0, 1.0]], array![0.5], Activation::Identity)?;
/// let network = Sequential::new(vec![Box::new(first), Box::new(second)])?;
/// assert_eq!(network.predict(&array![[3.0], [-4.0]])?, array![[3.5], [4.5]]); // |x| + 0.5
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Clone)]
pub struct Sequential<T: Scalar> {
    /// At least one, and their sizes chain.
    layers: Vec<Box<dyn Layer<T>>>,
    /// `between[i]` holds the output of layer `i`, or the gradient of it.
    pub(super) between: Vec<Buffer<T>>,
}

impl<T: Scalar> Sequential<T> {
    /// A network of `layers`, first to last.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] without layers; [`LayerError::Chain`] where a layer does not take what the one
    /// before gives.
    pub fn new(layers: Vec<Box<dyn Layer<T>>>) -> Result<Self> {
        if layers.is_empty() {
            return Err(LayerError::invalid("number of layers", 0, "at least 1"));
        }
        for (index, pair) in layers.windows(2).enumerate() {
            let (outputs, inputs) = (pair[0].output_size(), pair[1].input_size());
            if outputs != inputs {
                return Err(LayerError::Chain { layer: pair[1].type_name(), index: index + 1, inputs, outputs });
            }
        }
        let between = vec![Buffer::new(); layers.len() - 1];
        Ok(Self { layers, between })
    }

    /// The layers, first to last.
    #[must_use]
    pub fn layers(&self) -> &[Box<dyn Layer<T>>] {
        &self.layers
    }

    /// The layers, first to last, taken out of the network.
    #[must_use]
    pub fn into_layers(self) -> Vec<Box<dyn Layer<T>>> {
        self.layers
    }

    /// A network of what `f` makes of each layer, given its index and the layer: for wrapping every layer in an
    /// adapter. [`Layer::merged`] is the way back.
    ///
    /// # Errors
    /// The first error of `f`; [`LayerError::Chain`].
    pub fn map_layers(self, mut f: impl FnMut(usize, Box<dyn Layer<T>>) -> Result<Box<dyn Layer<T>>>) -> Result<Self> {
        Self::new(self.layers.into_iter().enumerate().map(|(i, layer)| f(i, layer)).collect::<Result<_>>()?)
    }

    /// Checks the shapes of a whole pass: `x (batch, inputs)`, `y (batch, outputs)`.
    fn check(&self, x: (&'static str, (usize, usize)), y: (&'static str, (usize, usize))) -> Result<()> {
        let batch = x.1.0;
        LayerError::check_shape("Sequential", x.0, (batch, self.input_size()), x.1)?;
        LayerError::check_shape("Sequential", y.0, (batch, self.output_size()), y.1)
    }
}

impl<T: Scalar> std::fmt::Debug for Sequential<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.layers.iter().map(|l| format!("{} {} → {}", l.type_name(), l.input_size(), l.output_size()));
        f.debug_list().entries(names).finish()
    }
}

impl<T: Scalar> Layer<T> for Sequential<T> {
    fn input_size(&self) -> usize {
        self.layers[0].input_size()
    }

    fn output_size(&self) -> usize {
        self.layers[self.layers.len() - 1].output_size()
    }

    fn type_name(&self) -> &'static str {
        "Sequential"
    }

    /// Allocates the matrices between the layers; two of them live at a time.
    fn predict_into(&self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.check(("x", x.dim()), ("y", y.dim()))?;
        let last = self.layers.len() - 1;
        let mut hidden: Option<Array2<T>> = None;
        for layer in &self.layers[..last] {
            hidden = Some(match &hidden {
                None => layer.predict(x)?,
                Some(hidden) => layer.predict(hidden)?,
            });
        }
        match &hidden {
            None => self.layers[last].predict_into(x, y),
            Some(hidden) => self.layers[last].predict_into(hidden, y),
        }
    }

    fn forward_into(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.check(("x", x.dim()), ("y", y.dim()))?;
        let last = self.layers.len() - 1;
        for (i, layer) in self.layers.iter_mut().enumerate() {
            let (before, after) = self.between.split_at_mut(i);
            let input = before.last().map(Buffer::view);
            let input = input.as_deref().unwrap_or(x);
            if i == last {
                layer.forward_into(input, y)?;
            } else {
                layer.forward_into(input, &mut after[0].resize((x.nrows(), layer.output_size())))?;
            }
        }
        Ok(())
    }

    fn backward_into(&mut self, dy: &ArrayRef2<T>, at: GradientAt, dx: &mut ArrayRef2<T>) -> Result<()> {
        self.check(("dx", dx.dim()), ("dy", dy.dim()))?;
        let last = self.layers.len() - 1;
        for (i, layer) in self.layers.iter_mut().enumerate().rev() {
            // The output of layer i − 1 is kept by layer i where it needs it, so its place is free for the gradient.
            let (before, after) = self.between.split_at_mut(i);
            let output = after.first().map(Buffer::view);
            let (dy, at) = match &output {
                Some(dy) if i < last => (&**dy, GradientAt::Output),
                _ => (dy, at),
            };
            match before.last_mut() {
                Some(gradient) => {
                    layer.backward_into(dy, at, &mut gradient.resize((dy.nrows(), layer.input_size())))?;
                }
                None => layer.backward_into(dy, at, dx)?,
            }
        }
        Ok(())
    }

    fn visit(&self, visitor: Visitor<'_, T>) {
        let mut full_name = String::new();
        for (i, layer) in self.layers.iter().enumerate() {
            layer.visit(&mut |name, values, gradient| {
                set_name(&mut full_name, i, name);
                visitor(&full_name, values, gradient);
            });
        }
    }

    fn visit_mut(&mut self, visitor: VisitorMut<'_, T>) {
        let mut full_name = String::new();
        for (i, layer) in self.layers.iter_mut().enumerate() {
            layer.visit_mut(&mut |name, values, gradient| {
                set_name(&mut full_name, i, name);
                visitor(&full_name, values, gradient);
            });
        }
    }

    fn visit_gradients_mut(&mut self, visitor: GradientVisitorMut<'_, T>) -> Result<()> {
        let mut full_name = String::new();
        self.layers.iter_mut().enumerate().try_for_each(|(i, layer)| {
            layer.visit_gradients_mut(&mut |name, gradient| {
                set_name(&mut full_name, i, name);
                visitor(&full_name, gradient);
            })
        })
    }

    fn clear_gradients(&mut self) {
        self.layers.iter_mut().for_each(Layer::clear_gradients);
    }

    fn reset_state(&mut self) {
        self.layers.iter_mut().for_each(Layer::reset_state);
        self.between.iter_mut().for_each(Buffer::clear);
    }

    fn set_training_mode(&mut self, training: bool) {
        self.layers.iter_mut().for_each(|layer| layer.set_training_mode(training));
    }

    fn visit_random_states(&mut self, visitor: &mut dyn FnMut(&str, &mut u64)) {
        for (i, layer) in self.layers.iter_mut().enumerate() {
            layer.visit_random_states(&mut |name, state| visitor(&format!("{i}.{name}"), state));
        }
    }

    fn supports_training(&self) -> bool {
        self.layers.iter().all(Layer::supports_training)
    }

    /// That of the last layer.
    fn output_activation(&self) -> Option<Activation> {
        self.layers[self.layers.len() - 1].output_activation()
    }

    fn clone_box(&self) -> Box<dyn Layer<T>> {
        Box::new(self.clone())
    }

    fn merged(&self) -> Result<Box<dyn Layer<T>>> {
        Ok(Box::new(Self::new(self.layers.iter().map(Layer::merged).collect::<Result<_>>()?)?))
    }
}

fn set_name(full: &mut String, index: usize, name: &str) {
    full.clear();
    // Writing to a `String` cannot fail.
    let _ = write!(full, "{index}.{name}");
}
