//! What a convolution computes: its forward and backward.

use std::sync::Arc;

use lokr_core::Scalar;
use ndarray::ArrayRef2;

use super::parameters::Conv;
use crate::error::{LayerError, Result};
use crate::layer::{
    Form, GradientAt, GradientVisitorMut, Layer, LinearLayer, ValueVisitor, ValueVisitorMut, Visitor, VisitorMut,
    pre_activation_gradient,
};
use crate::patches::{Patches, Walk};

const WEIGHT: &str = "weight";

impl<T: Scalar, const N: usize> Conv<T, N> {
    fn check(&self, x: &ArrayRef2<T>, y: &ArrayRef2<T>) -> Result<()> {
        LayerError::check_shape(Self::name(), "x", (x.nrows(), self.input_size()), x.dim())?;
        LayerError::check_shape(Self::name(), "y", (x.nrows(), self.output_size()), y.dim())
    }

    /// The way back, to the input where its gradient is asked for.
    fn back(&mut self, dy: &ArrayRef2<T>, at: GradientAt, dx: Option<&mut ArrayRef2<T>>) -> Result<()> {
        if !self.ran_forward {
            return Err(LayerError::BackwardBeforeForward { layer: Self::name() });
        }
        let inputs = self.input.view().dim();
        LayerError::check_shape(Self::name(), "dy", (inputs.0, self.output_size()), dy.dim())?;
        if let Some(dx) = &dx {
            LayerError::check_shape(Self::name(), "dx", inputs, dx.dim())?;
        }
        let dz = &*pre_activation_gradient(&self.activation_state, self.kernel.activation(), (dy, at), &mut self.dz)?;
        let (patches, kernel, x) = (Some(&*self.patches), &mut self.kernel, self.input.view());
        match dx {
            Some(dx) if kernel.is_frozen() => {
                self.walk.input_gradient(patches, (dz, dx), &mut |dz, dx| kernel.input_gradient_into(dz, dx))
            }
            Some(dx) => {
                self.walk.backward(patches, (&x, dz), dx, &mut |x, dz, dx| kernel.train_backward_into(x, dz, dx))
            }
            None if kernel.is_frozen() => Ok(()),
            None => {
                let mut unasked = self.dx.try_resize(inputs)?;
                self.walk.backward(patches, (&x, dz), &mut unasked, &mut |x, dz, dx| {
                    dx.fill(T::zero());
                    kernel.accumulate_gradients(x, dz)
                })
            }
        }
    }
}

impl<T: Scalar, const N: usize> Layer<T> for Conv<T, N> {
    fn input_size(&self) -> usize {
        self.patches.input_size()
    }

    fn output_size(&self) -> usize {
        self.kernel.output_size() * self.patches.places()
    }

    fn type_name(&self) -> &'static str {
        Self::name()
    }

    fn predict_into(&self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.check(x, y)?;
        let mut walk = Walk::new();
        walk.forward(Some(&self.patches), false, (x, y), &mut |x, z| self.kernel.pre_activation_into(x, z))?;
        self.kernel.activation().apply(y);
        Ok(())
    }

    fn forward_into(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.check(x, y)?;
        self.ran_forward = false;
        self.input.try_store(x)?;
        let kernel = &self.kernel;
        self.walk.forward(Some(&self.patches), false, (x, y), &mut |x, z| kernel.pre_activation_into(x, z))?;
        self.activation_state.forward(self.kernel.activation(), y)?;
        self.ran_forward = true;
        Ok(())
    }

    fn backward_into(&mut self, dy: &ArrayRef2<T>, at: GradientAt, dx: &mut ArrayRef2<T>) -> Result<()> {
        self.back(dy, at, Some(dx))
    }

    fn backward_parameters(&mut self, dy: &ArrayRef2<T>, at: GradientAt) -> Result<()> {
        self.back(dy, at, None)
    }

    fn visit(&self, visitor: Visitor<'_, T>) {
        self.kernel.visit(&mut |name, values, gradient| match name {
            WEIGHT => {
                let shaped = |values| Self::shaped(&self.patches, values);
                visitor(name, shaped(values), gradient.map(shaped));
            }
            _ => visitor(name, values, gradient),
        });
    }

    fn visit_mut(&mut self, visitor: VisitorMut<'_, T>) {
        self.ran_forward = false;
        let patches = &self.patches;
        self.kernel.visit_mut(&mut |name, values, gradient| match name {
            WEIGHT => {
                let gradient = gradient.map(|gradient| Self::shaped(patches, gradient));
                Self::with_shape(patches, values, |values| visitor(name, values, gradient));
            }
            _ => visitor(name, values, gradient),
        });
    }

    fn visit_values(&self, visitor: ValueVisitor<'_, T>) {
        self.kernel.visit_values(&mut |name, values| match name {
            WEIGHT => visitor(name, Self::shaped(&self.patches, values)),
            _ => visitor(name, values),
        });
    }

    fn visit_values_mut(&mut self, visitor: ValueVisitorMut<'_, T>) {
        self.ran_forward = false;
        let patches = &self.patches;
        self.kernel.visit_values_mut(&mut |name, values| match name {
            WEIGHT => Self::with_shape(patches, values, |values| visitor(name, values)),
            _ => visitor(name, values),
        });
    }

    fn visit_gradients_mut(&mut self, visitor: GradientVisitorMut<'_, T>) -> Result<()> {
        let patches = &self.patches;
        self.kernel.visit_gradients_mut(&mut |name, gradient| match name {
            WEIGHT => Self::with_shape(patches, gradient, |gradient| visitor(name, gradient)),
            _ => visitor(name, gradient),
        })
    }

    fn clear_gradients(&mut self) {
        self.kernel.clear_gradients();
    }

    /// Also gives the memory of the stored input, the patches and the gradients back.
    fn reset_state(&mut self) {
        self.kernel.reset_state();
        self.ran_forward = false;
        self.input.clear();
        self.activation_state.clear();
        self.dz.clear();
        self.dx.clear();
        self.walk = Walk::new();
    }

    fn set_frozen(&mut self, frozen: bool) -> Result<()> {
        self.kernel.set_frozen(frozen)
    }

    fn is_frozen(&self) -> bool {
        self.kernel.is_frozen()
    }

    /// Does nothing: this layer behaves alike in both modes.
    fn set_training_mode(&mut self, _training: bool) {}

    fn clone_box(&self) -> Box<dyn Layer<T>> {
        Box::new(self.clone())
    }

    fn form(&self) -> Form<'_, T> {
        Form::Conv { weight: self.weights(), linear: self, patches: &self.patches }
    }

    fn as_linear(&self) -> Option<&dyn LinearLayer<T>> {
        Some(self)
    }

    fn as_linear_mut(&mut self) -> Option<&mut dyn LinearLayer<T>> {
        Some(self)
    }

    fn patches(&self) -> Option<&Arc<Patches>> {
        Some(&self.patches)
    }
}
