//! The adapter as a layer: forward, backward, parameters.

use lokr_core::{Factor, Kron, KronGradients, Scalar};
use ndarray::ArrayRef2;

use super::checks::TYPE_NAME;
use super::lokr_adapter::{LoKrAdapter, TrainingState};
use super::placement::DeltaPlacement;
use crate::activation::Activation;
use crate::error::{LayerError, Result};
use crate::layer::{GradientAt, GradientVisitorMut, Layer, LinearLayer, Visitor, VisitorMut};

impl<T: Scalar, L: Layer<T> + Clone> LoKrAdapter<T, L> {
    fn check_forward(&self, x: &ArrayRef2<T>, y: &ArrayRef2<T>) -> Result<()> {
        let batch = x.nrows();
        LayerError::check_shape(TYPE_NAME, "x", (batch, self.base.input_size()), x.dim())?;
        LayerError::check_shape(TYPE_NAME, "y", (batch, self.base.output_size()), y.dim())
    }
}

/// The base as a linear layer, where the placement needs it to be one.
fn linear_before<T: Scalar, L: Layer<T>>(base: &L) -> Result<&dyn LinearLayer<T>> {
    base.as_linear().ok_or(LayerError::NoPreActivation { layer: base.type_name() })
}

/// Names of the stored matrices, in the order of [`Kron::parts`], as they stand in files.
fn matrix_names<T: Scalar>(delta: &Kron<'_, T>) -> impl Iterator<Item = &'static str> + use<T> {
    let a: &'static [&'static str] = match delta.a() {
        Factor::Full(_) => &["lokr_w1"],
        Factor::LowRank(_) => &["lokr_w1_a", "lokr_w1_b"],
    };
    let b: &'static [&'static str] = match delta.b() {
        Factor::Full(_) => &["lokr_w2"],
        Factor::LowRank(_) => &["lokr_w2_a", "lokr_w2_b"],
    };
    a.iter().chain(b).copied()
}

impl<T: Scalar, L: Layer<T> + Clone + 'static> Layer<T> for LoKrAdapter<T, L> {
    fn input_size(&self) -> usize {
        self.base.input_size()
    }

    fn output_size(&self) -> usize {
        self.base.output_size()
    }

    fn type_name(&self) -> &'static str {
        TYPE_NAME
    }

    fn predict_into(&self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.check_forward(x, y)?;
        match self.placement {
            DeltaPlacement::BeforeActivation => {
                let linear = linear_before(&self.base)?;
                linear.pre_activation_into(x, y)?;
                self.delta.apply_into(self.scaling, x, T::one(), y)?;
                linear.activation().apply(y);
            }
            DeltaPlacement::AfterActivation => {
                self.base.predict_into(x, y)?;
                self.delta.apply_into(self.scaling, x, T::one(), y)?;
            }
        }
        Ok(())
    }

    fn forward_into(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.check_forward(x, y)?;
        match (self.placement, self.base.as_linear()) {
            (DeltaPlacement::BeforeActivation, _) => {
                let linear = linear_before(&self.base)?;
                linear.pre_activation_into(x, y)?;
                self.delta.apply_into(self.scaling, x, T::one(), y)?;
                self.training.activation.forward(linear.activation(), y);
            }
            (DeltaPlacement::AfterActivation, Some(linear)) => {
                linear.pre_activation_into(x, y)?;
                self.training.activation.forward(linear.activation(), y);
                self.delta.apply_into(self.scaling, x, T::one(), y)?;
            }
            (DeltaPlacement::AfterActivation, None) => {
                self.base.forward_into(x, y)?;
                self.delta.apply_into(self.scaling, x, T::one(), y)?;
            }
        }
        self.training.input.store(x);
        self.training.has_input = true;
        Ok(())
    }

    fn backward_into(&mut self, dy: &ArrayRef2<T>, at: GradientAt, dx: &mut ArrayRef2<T>) -> Result<()> {
        let Self { base, delta, scaling, placement, base_frozen, training, .. } = self;
        if !training.has_input {
            return Err(LayerError::BackwardBeforeForward { layer: TYPE_NAME });
        }
        let x = training.input.view();
        LayerError::check_shape(TYPE_NAME, "dy", (x.nrows(), base.output_size()), dy.dim())?;
        LayerError::check_shape(TYPE_NAME, "dx", (x.nrows(), base.input_size()), dx.dim())?;
        let activation = base.as_linear().map(|linear| linear.activation());
        let before = *placement == DeltaPlacement::BeforeActivation;
        if at == GradientAt::PreActivation && !before && activation != Some(Activation::Identity) {
            return Err(LayerError::NoPreActivation { layer: TYPE_NAME });
        }

        let stored_dz;
        let dz = match activation {
            Some(activation) if at == GradientAt::Output && activation != Activation::Identity => {
                let mut dz = training.dz.resize(dy.dim());
                training.activation.backward_into(activation, dy, &mut dz);
                stored_dz = dz;
                &*stored_dz
            }
            _ => dy, // nothing lies between the two
        };
        match base.as_linear() {
            Some(linear) => linear.input_gradient_into(dz, dx)?,
            None => base.backward_into(dy, at, dx)?,
        }
        if let Some(linear) = base.as_linear_mut().filter(|_| !*base_frozen) {
            linear.accumulate_gradients(&x, dz)?;
        }

        let gradients = training.gradients.get_or_insert_with(|| KronGradients::zeros(delta));
        if !training.has_gradients {
            gradients.fill_zero();
            training.has_gradients = true;
        }
        delta.gradients_into(*scaling, &x, if before { dz } else { dy }, gradients, T::one(), dx)?;
        Ok(())
    }

    fn visit(&self, visitor: Visitor<'_, T>) {
        let gradients = self.training.gradients.as_ref().filter(|_| self.training.has_gradients);
        for (index, (name, matrix)) in matrix_names(&self.delta).zip(self.delta.parts()).enumerate() {
            let gradient = gradients.map(|g| g.parts()[index].view().into_dyn());
            visitor(name, matrix.into_dyn(), gradient);
        }
        if !self.base_frozen {
            self.base.visit(visitor);
        }
    }

    fn visit_mut(&mut self, visitor: VisitorMut<'_, T>) {
        let gradients = self.training.gradients.as_ref().filter(|_| self.training.has_gradients);
        let names = matrix_names(&self.delta);
        for (index, (name, matrix)) in names.zip(self.delta.parts_mut()).enumerate() {
            let gradient = gradients.map(|g| g.parts()[index].view().into_dyn());
            visitor(name, matrix.into_dyn(), gradient);
        }
        if !self.base_frozen {
            self.base.visit_mut(visitor);
        }
    }

    fn visit_gradients_mut(&mut self, visitor: GradientVisitorMut<'_, T>) -> Result<()> {
        let names = matrix_names(&self.delta);
        if let Some(gradients) = self.training.gradients.as_mut().filter(|_| self.training.has_gradients) {
            for (name, gradient) in names.zip(gradients.parts_mut()) {
                visitor(name, gradient.view_mut().into_dyn());
            }
        }
        if self.base_frozen { Ok(()) } else { self.base.visit_gradients_mut(visitor) }
    }

    fn clear_gradients(&mut self) {
        self.clear_all_gradients();
    }

    /// Also gives the memory of the stored input and the gradients back.
    fn reset_state(&mut self) {
        self.training = TrainingState::new();
        self.base.reset_state();
    }

    fn set_training_mode(&mut self, training: bool) {
        self.base.set_training_mode(training);
    }

    fn visit_random_states(&mut self, visitor: &mut dyn FnMut(&str, &mut u64)) {
        self.base.visit_random_states(visitor);
    }

    fn supports_training(&self) -> bool {
        self.base.supports_training()
    }

    /// The base's, where the delta enters before it or it is the identity: after another one the output has passed
    /// none.
    fn output_activation(&self) -> Option<Activation> {
        let activation = self.base.output_activation();
        match self.placement {
            DeltaPlacement::BeforeActivation => activation,
            DeltaPlacement::AfterActivation => activation.filter(|a| *a == Activation::Identity),
        }
    }

    fn clone_box(&self) -> Box<dyn Layer<T>> {
        Box::new(self.clone())
    }

    fn merged(&self) -> Result<Box<dyn Layer<T>>> {
        Ok(Box::new(self.merge()?))
    }
}
