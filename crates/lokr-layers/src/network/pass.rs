//! The network as a layer: forward, backward, parameters.

use lokr_core::{Scalar, memory};
use ndarray::{Array2, ArrayRef2};

use super::freeze::set_all_frozen;
use super::sequential::{Sequential, TYPE_NAME};
use crate::activation::Activation;
use crate::buffer::Buffer;
use crate::error::{LayerError, Result};
use crate::layer::{
    Form, GradientAt, GradientVisitorMut, Layer, RowUpdates, ValueVisitor, ValueVisitorMut, Visitor, VisitorMut,
};

impl<T: Scalar> Sequential<T> {
    /// Checks the shapes of a whole pass: `x (batch, inputs)`, `y (batch, outputs)`.
    fn check(&self, x: (&'static str, (usize, usize)), y: (&'static str, (usize, usize))) -> Result<()> {
        let batch = x.1.0;
        LayerError::check_shape(TYPE_NAME, x.0, (batch, self.input_size()), x.1)?;
        LayerError::check_shape(TYPE_NAME, y.0, (batch, self.output_size()), y.1)
    }

    /// Takes `x` through all layers, each by `step`, into `y`.
    fn pass(
        &self,
        x: &ArrayRef2<T>,
        y: &mut ArrayRef2<T>,
        step: impl Fn(&dyn Layer<T>, &ArrayRef2<T>, &mut ArrayRef2<T>) -> Result<()>,
    ) -> Result<()> {
        self.check(("x", x.dim()), ("y", y.dim()))?;
        let Some((last, others)) = self.layers.split_last() else { return Ok(()) };
        let mut hidden: Option<Array2<T>> = None;
        for layer in others {
            let mut next = memory::zeros("an output", (x.nrows(), layer.output_size()))?;
            step(&**layer, hidden.as_deref().unwrap_or(x), &mut next)?;
            hidden = Some(next);
        }
        step(&**last, hidden.as_deref().unwrap_or(x), y)
    }

    /// Takes `dy` back through the layers from the last to `first`, and on to its input if there is a place for that
    /// gradient.
    fn back(
        &mut self,
        dy: &ArrayRef2<T>,
        at: GradientAt,
        first: usize,
        mut dx: Option<&mut ArrayRef2<T>>,
    ) -> Result<()> {
        let last = self.between.len();
        for (i, layer) in self.layers.iter_mut().enumerate().skip(first).rev() {
            // The output of layer i − 1 is kept by layer i where it needs it, so its place is free for the gradient.
            let (before, after) = self.between.split_at_mut(i);
            let output = after.first().map(Buffer::view);
            let (dy, at) = match &output {
                Some(dy) if i < last => (&**dy, GradientAt::Output),
                _ => (dy, at),
            };
            match (before.last_mut(), &mut dx) {
                (Some(gradient), _) if i > first => {
                    layer.backward_into(dy, at, &mut gradient.try_resize((dy.nrows(), layer.input_size()))?)?;
                }
                (_, Some(dx)) => layer.backward_into(dy, at, dx)?,
                (_, None) => layer.backward_parameters(dy, at)?,
            }
        }
        Ok(())
    }
}

impl<T: Scalar> Layer<T> for Sequential<T> {
    fn input_size(&self) -> usize {
        self.layers.first().map_or(0, Layer::input_size)
    }

    fn output_size(&self) -> usize {
        self.layers.last().map_or(0, Layer::output_size)
    }

    fn type_name(&self) -> &'static str {
        TYPE_NAME
    }

    /// Allocates the matrices between the layers; two of them live at a time.
    fn predict_into(&self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.pass(x, y, |layer, x, y| layer.predict_into(x, y))
    }

    fn predict_mixed_into(&self, x: &ArrayRef2<T>, rows: &RowUpdates<'_>, y: &mut ArrayRef2<T>) -> Result<()> {
        LayerError::check_length(TYPE_NAME, "names of updates", x.nrows(), rows.len())?;
        self.pass(x, y, |layer, x, y| layer.predict_mixed_into(x, rows, y))
    }

    fn forward_into(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.check(("x", x.dim()), ("y", y.dim()))?;
        let last = self.between.len();
        for (i, layer) in self.layers.iter_mut().enumerate() {
            let (before, after) = self.between.split_at_mut(i);
            let input = before.last().map(Buffer::view);
            let input = input.as_deref().unwrap_or(x);
            if i == last {
                layer.forward_into(input, y)?;
            } else {
                layer.forward_into(input, &mut after[0].try_resize((x.nrows(), layer.output_size()))?)?;
            }
        }
        Ok(())
    }

    fn backward_into(&mut self, dy: &ArrayRef2<T>, at: GradientAt, dx: &mut ArrayRef2<T>) -> Result<()> {
        self.check(("dx", dx.dim()), ("dy", dy.dim()))?;
        self.back(dy, at, 0, Some(dx))
    }

    /// Ends at the first layer that has parameters to train.
    fn backward_parameters(&mut self, dy: &ArrayRef2<T>, at: GradientAt) -> Result<()> {
        LayerError::check_shape(TYPE_NAME, "dy", (dy.nrows(), self.output_size()), dy.dim())?;
        let first = self.layers.iter().position(|layer| layer.parameter_count() > 0);
        first.map_or(Ok(()), |first| self.back(dy, at, first, None))
    }

    fn visit(&self, visitor: Visitor<'_, T>) {
        let mut full_name = String::new();
        for (layer, prefix) in self.layers.iter().zip(&self.names) {
            layer.visit(&mut |name, values, gradient| {
                set_name(&mut full_name, prefix, name);
                visitor(&full_name, values, gradient);
            });
        }
    }

    fn visit_mut(&mut self, visitor: VisitorMut<'_, T>) {
        let mut full_name = String::new();
        for (layer, prefix) in self.layers.iter_mut().zip(&self.names) {
            layer.visit_mut(&mut |name, values, gradient| {
                set_name(&mut full_name, prefix, name);
                visitor(&full_name, values, gradient);
            });
        }
    }

    fn visit_values(&self, visitor: ValueVisitor<'_, T>) {
        let mut full_name = String::new();
        for (layer, prefix) in self.layers.iter().zip(&self.names) {
            layer.visit_values(&mut |name, values| {
                set_name(&mut full_name, prefix, name);
                visitor(&full_name, values);
            });
        }
    }

    fn visit_values_mut(&mut self, visitor: ValueVisitorMut<'_, T>) {
        let mut full_name = String::new();
        for (layer, prefix) in self.layers.iter_mut().zip(&self.names) {
            layer.visit_values_mut(&mut |name, values| {
                set_name(&mut full_name, prefix, name);
                visitor(&full_name, values);
            });
        }
    }

    fn visit_gradients_mut(&mut self, visitor: GradientVisitorMut<'_, T>) -> Result<()> {
        let mut full_name = String::new();
        self.layers.iter_mut().zip(&self.names).try_for_each(|(layer, prefix)| {
            layer.visit_gradients_mut(&mut |name, gradient| {
                set_name(&mut full_name, prefix, name);
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

    /// All layers or none.
    fn set_frozen(&mut self, frozen: bool) -> Result<()> {
        set_all_frozen(self.layers.iter_mut(), frozen)
    }

    fn is_frozen(&self) -> bool {
        !self.layers.is_empty() && self.layers.iter().all(Layer::is_frozen)
    }

    fn children(&self) -> Vec<(&str, &dyn Layer<T>)> {
        self.names.iter().zip(&self.layers).map(|(name, layer)| (name.as_str(), &**layer)).collect()
    }

    fn form(&self) -> Form<'_, T> {
        Form::Sequence(self.children())
    }

    fn children_mut(&mut self) -> Vec<(&str, &mut Box<dyn Layer<T>>)> {
        self.names.iter().map(String::as_str).zip(&mut self.layers).collect()
    }

    fn visit_random_states(&mut self, visitor: &mut dyn FnMut(&str, &mut u64)) {
        for (layer, prefix) in self.layers.iter_mut().zip(&self.names) {
            layer.visit_random_states(&mut |name, state| visitor(&format!("{prefix}.{name}"), state));
        }
    }

    fn supports_training(&self) -> bool {
        self.layers.iter().all(Layer::supports_training)
    }

    /// That of the last layer.
    fn output_activation(&self) -> Option<Activation> {
        self.layers.last().and_then(Layer::output_activation)
    }

    fn clone_box(&self) -> Box<dyn Layer<T>> {
        Box::new(self.clone())
    }

    fn merged(&self) -> Result<Box<dyn Layer<T>>> {
        let layers = self.layers.iter().map(Layer::merged).collect::<Result<_>>()?;
        Ok(Box::new(Self { layers, names: self.names.clone(), between: vec![Buffer::new(); self.between.len()] }))
    }
}

fn set_name(full: &mut String, prefix: &str, name: &str) {
    full.clear();
    full.push_str(prefix);
    full.push('.');
    full.push_str(name);
}
