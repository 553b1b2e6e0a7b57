//! The adapter as a layer: forward, backward, parameters.

use lokr_core::Scalar;
use ndarray::ArrayRef2;

use super::linear::{backward, train_pre_activation};
use super::lokr_adapter::{LoKrAdapter, TrainingState};
use crate::activation::Activation;
use crate::error::{LayerError, Result};
use crate::layer::{Adapter, GradientAt, Layer, LinearLayer, Visitor, VisitorMut};
use crate::update::{DeltaPlacement, TYPE_NAME};

impl<T: Scalar, L: Layer<T> + Clone> LoKrAdapter<T, L> {
    fn check_forward(&self, x: &ArrayRef2<T>, y: &ArrayRef2<T>) -> Result<()> {
        let batch = x.nrows();
        LayerError::check_shape(TYPE_NAME, "x", (batch, self.base.input_size()), x.dim())?;
        LayerError::check_shape(TYPE_NAME, "y", (batch, self.base.output_size()), y.dim())
    }
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
                self.pre_activation_into(x, y)?;
                self.activation().apply(y);
            }
            DeltaPlacement::AfterActivation => {
                self.base.predict_into(x, y)?;
                self.update.apply_into(x, y)?;
            }
        }
        Ok(())
    }

    fn forward_into(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.check_forward(x, y)?;
        self.training.has_input = false;
        self.training.input.try_store(x)?;
        let activation = self.base.as_linear().map(|linear| linear.activation());
        match (self.placement, activation) {
            (DeltaPlacement::BeforeActivation, activation) => {
                train_pre_activation(self, x, y)?;
                self.training.activation.forward(activation.unwrap_or_default(), y)?;
            }
            (DeltaPlacement::AfterActivation, Some(activation)) => {
                self.train_base(x, y)?;
                self.training.activation.forward(activation, y)?;
                self.train_update(x, y)?;
            }
            (DeltaPlacement::AfterActivation, None) => {
                self.base.forward_into(x, y)?;
                self.train_update(x, y)?;
            }
        }
        self.training.has_input = true;
        Ok(())
    }

    fn backward_into(&mut self, dy: &ArrayRef2<T>, at: GradientAt, dx: &mut ArrayRef2<T>) -> Result<()> {
        let Self { base, update, placement, base_frozen, frozen, training } = self;
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
                let mut dz = training.dz.try_resize(dy.dim())?;
                training.activation.backward_into(activation, dy, &mut dz);
                stored_dz = dz;
                &*stored_dz
            }
            _ => dy, // nothing lies between the two
        };
        let trains = (!*frozen && !*base_frozen, !*frozen);
        match base.as_linear_mut() {
            Some(linear) => backward(linear, update, trains, &x, (dz, if before { dz } else { dy }), dx),
            None => {
                base.backward_into(dy, at, dx)?;
                if *frozen { update.apply_transposed_into(dy, dx) } else { update.backward_into(&x, dy, dx) }
            }
        }
    }

    fn visit(&self, visitor: Visitor<'_, T>) {
        if self.frozen {
            return;
        }
        self.update.visit("", visitor);
        if !self.base_frozen {
            self.base.visit(&mut |name, values, gradient| visitor(&base_name(name), values, gradient));
        }
    }

    fn visit_mut(&mut self, visitor: VisitorMut<'_, T>) {
        if self.frozen {
            return;
        }
        self.training.has_input = false;
        self.update.visit_mut("", visitor);
        if !self.base_frozen {
            self.base.visit_mut(&mut |name, values, gradient| visitor(&base_name(name), values, gradient));
        }
    }

    fn clear_gradients(&mut self) {
        self.update.clear_gradients();
        self.base.clear_gradients();
    }

    /// Also gives the memory of the stored input and the gradients back.
    fn reset_state(&mut self) {
        self.training = TrainingState::new();
        self.update.reset();
        self.base.reset_state();
    }

    /// In inference mode a forward leaves nothing out.
    fn set_training_mode(&mut self, training: bool) {
        self.update.set_training_mode(training);
        self.base.set_training_mode(training);
    }

    /// Freezes the update together with the base. Unfreezing lets the base train only where
    /// [`LoKrAdapter::set_base_frozen`] does.
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

    fn as_adapter(&self) -> Option<&dyn Adapter<T>> {
        Some(self)
    }

    fn as_adapter_mut(&mut self) -> Option<&mut dyn Adapter<T>> {
        Some(self)
    }

    fn visit_random_states(&mut self, visitor: &mut dyn FnMut(&str, &mut u64)) {
        self.update.visit_random_states("", visitor);
        self.base.visit_random_states(&mut |name, state| visitor(&format!("base.{name}"), state));
    }

    fn supports_training(&self) -> bool {
        self.base.supports_training()
    }

    fn clone_box(&self) -> Box<dyn Layer<T>> {
        Box::new(self.clone())
    }

    /// Merges adapters around adapters too, from the inside outwards.
    fn merged(&self) -> Result<Box<dyn Layer<T>>> {
        let mut merged = self.base.merged()?;
        self.merge_into_layer(&mut *merged)?;
        merged.reset_state();
        Ok(merged)
    }

    /// A linear layer where the base is one and nothing but the identity stands between the two.
    fn as_linear(&self) -> Option<&dyn LinearLayer<T>> {
        let activation = self.base.as_linear()?.activation();
        self.is_linear(activation).then_some(self)
    }

    fn as_linear_mut(&mut self) -> Option<&mut dyn LinearLayer<T>> {
        let activation = self.base.as_linear()?.activation();
        if self.is_linear(activation) { Some(self) } else { None }
    }
}

impl<T: Scalar, L> LoKrAdapter<T, L> {
    fn is_linear(&self, activation: Activation) -> bool {
        self.placement == DeltaPlacement::BeforeActivation || activation.is_identity()
    }
}

/// The names of a base that is an adapter get a prefix, so that none stands twice.
fn base_name(name: &str) -> std::borrow::Cow<'_, str> {
    let adapted = name.starts_with("base.") || name.split('.').any(|part| part.starts_with("lokr_"));
    if adapted { format!("base.{name}").into() } else { name.into() }
}
