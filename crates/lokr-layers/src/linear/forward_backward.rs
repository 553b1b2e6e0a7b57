//! What a linear layer computes: its forward and backward, as a whole and piece by piece.

use lokr_core::{Scalar, matmul_into};
use ndarray::{ArrayRef2, ArrayView1, ArrayView2, ArrayViewMut2};

use super::gradients::accumulate;
use super::orientation::{Orientation, Storage};
use super::parameters::Linear;
use crate::activation::Activation;
use crate::error::{LayerError, Result};
use crate::layer::{
    Form, GradientAt, GradientVisitorMut, Layer, LinearLayer, Merges, ValueVisitor, ValueVisitorMut, Visitor,
    VisitorMut, pre_activation_gradient,
};

impl<T: Scalar, O: Orientation> Linear<T, O> {
    fn check_columns(argument: &'static str, expected: usize, matrix: &ArrayRef2<T>) -> Result<()> {
        LayerError::check_shape(Self::name(), argument, (matrix.nrows(), expected), matrix.dim())
    }

    /// The way back, to the input where its gradient is asked for.
    fn back(&mut self, dy: &ArrayRef2<T>, at: GradientAt, dx: Option<&mut ArrayRef2<T>>) -> Result<()> {
        if !self.ran_forward {
            return Err(LayerError::BackwardBeforeForward { layer: Self::name() });
        }
        let batch = self.input.view().nrows();
        LayerError::check_shape(Self::name(), "dy", (batch, self.output_size()), dy.dim())?;
        if let Some(dx) = &dx {
            LayerError::check_shape(Self::name(), "dx", (batch, self.input_size()), dx.dim())?;
        }
        let dz = &*pre_activation_gradient(&self.activation_state, self.activation, (dy, at), &mut self.dz)?;
        if !self.frozen {
            accumulate(Self::storage(), self.biased, &mut self.gradients, &self.input.view(), dz)?;
        }
        let Some(dx) = dx else { return Ok(()) };
        Ok(matmul_into(T::one(), dz, &Self::storage().out_by_in(self.weights.view()), T::zero(), dx)?)
    }
}

impl<T: Scalar, O: Orientation> Layer<T> for Linear<T, O> {
    fn input_size(&self) -> usize {
        self.weight().ncols()
    }

    fn output_size(&self) -> usize {
        self.bias.len()
    }

    fn type_name(&self) -> &'static str {
        Self::name()
    }

    fn predict_into(&self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.pre_activation_into(x, y)?;
        self.activation.apply(y);
        Ok(())
    }

    fn forward_into(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.pre_activation_into(x, y)?;
        self.ran_forward = false;
        self.input.try_store(x)?;
        self.activation_state.forward(self.activation, y)?;
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
        if self.frozen {
            return;
        }
        let gradients = self.gradients.as_ref().filter(|g| g.present);
        visitor("weight", self.weights.view().into_dyn(), gradients.map(|g| g.weights.view().into_dyn()));
        if self.biased {
            visitor("bias", self.bias.view().into_dyn(), gradients.map(|g| g.bias.view().into_dyn()));
        }
    }

    fn visit_mut(&mut self, visitor: VisitorMut<'_, T>) {
        if self.frozen {
            return;
        }
        self.ran_forward = false;
        self.merges.clear();
        let gradients = self.gradients.as_ref().filter(|g| g.present);
        visitor("weight", self.weights.view_mut().into_dyn(), gradients.map(|g| g.weights.view().into_dyn()));
        if self.biased {
            visitor("bias", self.bias.view_mut().into_dyn(), gradients.map(|g| g.bias.view().into_dyn()));
        }
    }

    fn visit_values(&self, visitor: ValueVisitor<'_, T>) {
        visitor("weight", self.weights.view().into_dyn());
        if self.biased {
            visitor("bias", self.bias.view().into_dyn());
        }
    }

    fn visit_values_mut(&mut self, visitor: ValueVisitorMut<'_, T>) {
        self.forget();
        self.merges.clear();
        visitor("weight", self.weights.view_mut().into_dyn());
        if self.biased {
            visitor("bias", self.bias.view_mut().into_dyn());
        }
    }

    fn visit_gradients_mut(&mut self, visitor: GradientVisitorMut<'_, T>) -> Result<()> {
        if let Some(gradients) = self.gradients.as_mut().filter(|g| g.present && !self.frozen) {
            visitor("weight", gradients.weights.view_mut().into_dyn());
            if self.biased {
                visitor("bias", gradients.bias.view_mut().into_dyn());
            }
        }
        Ok(())
    }

    fn clear_gradients(&mut self) {
        if let Some(gradients) = &mut self.gradients {
            gradients.present = false;
        }
    }

    /// Also gives the memory of the stored input and the gradients back.
    fn reset_state(&mut self) {
        self.gradients = None;
        self.ran_forward = false;
        self.input.clear();
        self.activation_state.clear();
        self.dz.clear();
    }

    fn set_frozen(&mut self, frozen: bool) -> Result<()> {
        if self.frozen != frozen {
            self.frozen = frozen;
            self.clear_gradients();
        }
        Ok(())
    }

    fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Does nothing: this layer behaves alike in both modes.
    fn set_training_mode(&mut self, _training: bool) {}

    fn clone_box(&self) -> Box<dyn Layer<T>> {
        Box::new(self.clone())
    }

    fn form(&self) -> Form<'_, T> {
        match Self::storage() {
            Storage::InputMajor => Form::Dense(self),
            Storage::OutputMajor => Form::FullyConnected(self),
        }
    }

    fn as_linear(&self) -> Option<&dyn LinearLayer<T>> {
        Some(self)
    }

    fn as_linear_mut(&mut self) -> Option<&mut dyn LinearLayer<T>> {
        Some(self)
    }
}

impl<T: Scalar, O: Orientation> LinearLayer<T> for Linear<T, O> {
    fn weight(&self) -> ArrayView2<'_, T> {
        Self::storage().out_by_in(self.weights.view())
    }

    /// Whoever writes here makes another weight of it: see [`Merges`].
    fn weight_mut(&mut self) -> ArrayViewMut2<'_, T> {
        self.forget();
        self.merges.clear();
        Self::storage().out_by_in_mut(self.weights.view_mut())
    }

    fn bias(&self) -> ArrayView1<'_, T> {
        self.bias.view()
    }

    fn has_bias(&self) -> bool {
        self.biased
    }

    fn activation(&self) -> Activation {
        self.activation
    }

    fn pre_activation_into(&self, x: &ArrayRef2<T>, z: &mut ArrayRef2<T>) -> Result<()> {
        Self::check_columns("x", self.input_size(), x)?;
        LayerError::check_shape(Self::name(), "y", (x.nrows(), self.output_size()), z.dim())?;
        // The product is added to the bias in place, without a temporary of the output's size.
        z.assign(&self.bias);
        Ok(matmul_into(T::one(), x, &self.weight().t(), T::one(), z)?)
    }

    fn input_gradient_into(&self, dz: &ArrayRef2<T>, dx: &mut ArrayRef2<T>) -> Result<()> {
        Self::check_columns("dz", self.output_size(), dz)?;
        LayerError::check_shape(Self::name(), "dx", (dz.nrows(), self.input_size()), dx.dim())?;
        Ok(matmul_into(T::one(), dz, &self.weight(), T::zero(), dx)?)
    }

    fn accumulate_gradients(&mut self, x: &ArrayRef2<T>, dz: &ArrayRef2<T>) -> Result<()> {
        Self::check_columns("x", self.input_size(), x)?;
        LayerError::check_shape(Self::name(), "dz", (x.nrows(), self.output_size()), dz.dim())?;
        if self.frozen { Ok(()) } else { accumulate(Self::storage(), self.biased, &mut self.gradients, x, dz) }
    }

    fn product_into(&self, x: &ArrayRef2<T>, z: &mut ArrayRef2<T>) -> Result<()> {
        Self::check_columns("x", self.input_size(), x)?;
        LayerError::check_shape(Self::name(), "y", (x.nrows(), self.output_size()), z.dim())?;
        Ok(matmul_into(T::one(), x, &self.weight().t(), T::zero(), z)?)
    }

    fn keeps_forward(&self) -> bool {
        false
    }

    fn merges(&mut self) -> Option<&mut Merges> {
        Some(&mut self.merges)
    }
}
