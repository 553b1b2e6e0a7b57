//! The adapter as a layer: forward, backward, parameters.

use std::sync::Arc;

use lokr_core::Scalar;
use ndarray::ArrayRef2;

use super::lokr_adapter::{LoKrAdapter, TrainingState};
use super::merge::{Way, change_weight};
use crate::activation::Activation;
use crate::buffer::Buffer;
use crate::error::{LayerError, Result};
use crate::layer::{
    Adapter, GradientAt, GradientVisitorMut, Layer, LinearLayer, RowUpdates, ValueVisitor, ValueVisitorMut, Visitor,
    VisitorMut, pre_activation_gradient,
};
use crate::patches::Patches;
use crate::update::{DeltaPlacement, LoKrUpdate, TYPE_NAME};

impl<T: Scalar, L: Layer<T> + Clone + 'static> LoKrAdapter<T, L> {
    fn check_forward(&self, x: &ArrayRef2<T>, y: &ArrayRef2<T>) -> Result<()> {
        let batch = x.nrows();
        LayerError::check_shape(TYPE_NAME, "x", (batch, self.base.input_size()), x.dim())?;
        LayerError::check_shape(TYPE_NAME, "y", (batch, self.base.output_size()), y.dim())
    }

    /// The way back, to the input where its gradient is asked for.
    fn back(&mut self, dy: &ArrayRef2<T>, at: GradientAt, dx: Option<&mut ArrayRef2<T>>) -> Result<()> {
        if !self.training.has_input {
            return Err(LayerError::BackwardBeforeForward { layer: TYPE_NAME });
        }
        let inputs = self.training.input.view().dim();
        LayerError::check_shape(TYPE_NAME, "dy", (inputs.0, self.base.output_size()), dy.dim())?;
        if let Some(dx) = &dx {
            LayerError::check_shape(TYPE_NAME, "dx", inputs, dx.dim())?;
        }
        let activation = self.base.as_linear().map(|linear| linear.activation());
        let before = self.placement == DeltaPlacement::BeforeActivation;
        if at == GradientAt::PreActivation && !before && activation != Some(Activation::Identity) {
            return Err(LayerError::NoPreActivation { layer: TYPE_NAME });
        }
        // Out of the adapter for so long, so that they can be read while gradients are written.
        let (input, mut stored_dz) = (self.training.input.take(), self.training.dz.take());
        let mut stored_dx = self.training.dx.take();
        let (x, asked) = (input.view(), dx.is_some());
        let result = match dx {
            Some(dx) => self.back_checked(activation, (dy, at), &x, &mut stored_dz, (dx, asked)),
            None => stored_dx
                .try_resize(inputs)
                .and_then(|mut dx| self.back_checked(activation, (dy, at), &x, &mut stored_dz, (&mut dx, asked))),
        };
        (self.training.input, self.training.dz, self.training.dx) = (input, stored_dz, stored_dx);
        result
    }

    /// The way back of what has been checked. `dx` means nothing where it is not asked for.
    fn back_checked(
        &mut self,
        activation: Option<Activation>,
        (dy, at): (&ArrayRef2<T>, GradientAt),
        x: &ArrayRef2<T>,
        stored_dz: &mut Buffer<T>,
        (dx, asked): (&mut ArrayRef2<T>, bool),
    ) -> Result<()> {
        let state = &self.training.activation;
        let dz = &*pre_activation_gradient(state, activation.unwrap_or_default(), (dy, at), stored_dz)?;
        match activation {
            Some(_) if self.base.patches().is_some() => self.back_patches((x, dz), (dx, asked)),
            Some(_) if self.placement == DeltaPlacement::BeforeActivation => self.back_before(x, (dz, dz), (dx, asked)),
            Some(_) => self.back_before(x, (dz, dy), (dx, asked)),
            None => {
                self.back_base(dy, at, dx)?;
                self.back_updates(x, dy, dx)
            }
        }
    }
}

impl<T: Scalar, L: Layer<T>> LoKrAdapter<T, L> {
    /// The way back through a base without a weight matrix. One that does not train makes no gradients of its
    /// parameters: it is frozen for so long.
    fn back_base(&mut self, dy: &ArrayRef2<T>, at: GradientAt, dx: &mut ArrayRef2<T>) -> Result<()> {
        if !self.frozen && !self.base_frozen || self.base.is_frozen() {
            return self.base.backward_into(dy, at, dx);
        }
        let before = frozen_leaves(&self.base);
        let can_be_frozen = self.base.set_frozen(true).is_ok();
        let result = self.base.backward_into(dy, at, dx);
        if can_be_frozen {
            set_frozen_leaves(&mut self.base, &mut before.into_iter())?;
        }
        self.base.clear_gradients();
        result
    }
}

/// Which of the layers that are made of no others are frozen, first to last.
fn frozen_leaves<T: Scalar>(layer: &dyn Layer<T>) -> Vec<bool> {
    let children = layer.children();
    if children.is_empty() {
        return vec![layer.is_frozen()];
    }
    children.into_iter().flat_map(|(_, child)| frozen_leaves(child)).collect()
}

/// The way back of [`frozen_leaves`].
fn set_frozen_leaves<T: Scalar>(layer: &mut dyn Layer<T>, frozen: &mut impl Iterator<Item = bool>) -> Result<()> {
    if layer.children().is_empty() {
        return layer.set_frozen(frozen.next().unwrap_or(false));
    }
    layer.children_mut().into_iter().try_for_each(|(_, child)| set_frozen_leaves(&mut **child, frozen))
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
        if self.base.patches().is_some() {
            return self.predict_patches(x, y);
        }
        match self.placement {
            DeltaPlacement::BeforeActivation => {
                self.pre_activation_into(x, y)?;
                self.activation().apply(y);
            }
            DeltaPlacement::AfterActivation => {
                self.base.predict_into(x, y)?;
                self.updates.apply_into(x, y)?;
            }
        }
        Ok(())
    }

    fn predict_mixed_into(&self, x: &ArrayRef2<T>, rows: &RowUpdates<'_>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.check_forward(x, y)?;
        if self.base.patches().is_some() {
            return self.predict_patches_mixed(x, rows, y);
        }
        match self.placement {
            DeltaPlacement::BeforeActivation => {
                self.pre_activation_mixed_into(x, rows, y)?;
                self.activation().apply(y);
            }
            DeltaPlacement::AfterActivation => {
                self.check_mixed(x, rows)?;
                self.base.predict_mixed_into(x, rows, y)?;
                self.add_mixed(x, rows, y)?;
            }
        }
        Ok(())
    }

    fn forward_into(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.check_forward(x, y)?;
        self.refuse_merged()?;
        self.training.has_input = false;
        self.training.input.try_store(x)?;
        let activation = self.base.as_linear().map(|linear| linear.activation());
        match (self.placement, activation) {
            (_, Some(activation)) if self.base.patches().is_some() => {
                self.forward_patches(x, y)?;
                self.training.activation.forward(activation, y)?;
            }
            (DeltaPlacement::BeforeActivation, activation) => {
                self.train_before(x, y)?;
                self.training.activation.forward(activation.unwrap_or_default(), y)?;
            }
            (DeltaPlacement::AfterActivation, Some(Activation::Identity)) => self.train_before(x, y)?,
            (DeltaPlacement::AfterActivation, Some(activation)) => {
                self.train_base(x, y)?;
                self.training.activation.forward(activation, y)?;
                self.train_updates(x, y)?;
            }
            (DeltaPlacement::AfterActivation, None) => {
                self.base.forward_into(x, y)?;
                self.train_updates(x, y)?;
            }
        }
        self.training.has_input = true;
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
        self.updates.visit(visitor);
        if self.base_trains() {
            self.base.visit(&mut |name, values, gradient| visitor(&base_name(name), values, gradient));
        }
    }

    fn visit_mut(&mut self, visitor: VisitorMut<'_, T>) {
        if self.frozen {
            return;
        }
        self.training.has_input = false;
        self.drop_gains();
        self.updates.visit_mut(visitor);
        if self.base_trains() {
            self.base.visit_mut(&mut |name, values, gradient| visitor(&base_name(name), values, gradient));
        }
    }

    /// Of all updates, those that are disabled too, then of the base.
    fn visit_values(&self, visitor: ValueVisitor<'_, T>) {
        self.updates.visit_values(visitor);
        self.base.visit_values(&mut |name, values| visitor(&base_name(name), values));
    }

    fn visit_values_mut(&mut self, visitor: ValueVisitorMut<'_, T>) {
        self.forget();
        self.updates.visit_values_mut(visitor);
        self.base.visit_values_mut(&mut |name, values| visitor(&base_name(name), values));
    }

    fn visit_gradients_mut(&mut self, visitor: GradientVisitorMut<'_, T>) -> Result<()> {
        if self.frozen {
            return Ok(());
        }
        self.updates.visit_gradients_mut(visitor);
        if self.base_trains() {
            return self.base.visit_gradients_mut(&mut |name, gradient| visitor(&base_name(name), gradient));
        }
        Ok(())
    }

    fn clear_gradients(&mut self) {
        self.updates.each(LoKrUpdate::clear_gradients);
        self.base.clear_gradients();
    }

    /// Also gives the memory of the stored input and the gradients back.
    fn reset_state(&mut self) {
        self.training = TrainingState::new();
        self.updates.each(LoKrUpdate::reset);
        self.base.reset_state();
    }

    /// In inference mode a forward leaves nothing out.
    fn set_training_mode(&mut self, training: bool) {
        self.updates.each(|update| update.set_training_mode(training));
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
        self.updates.visit_random_states(visitor);
        self.base.visit_random_states(&mut |name, state| visitor(&format!("base.{name}"), state));
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

    /// Merges adapters around adapters too, from the inside outwards.
    fn merged(&self) -> Result<Box<dyn Layer<T>>> {
        let mut merged = self.base.merged()?;
        if self.updates.in_place.is_none() {
            change_weight(&self.updates, self.placement, Way::Merge, None, &mut *merged)?;
        }
        merged.reset_state();
        Ok(merged)
    }

    fn patches(&self) -> Option<&Arc<Patches>> {
        self.base.patches()
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
    let adapted = name.starts_with("base.") || name.split('.').any(is_of_update);
    if adapted { format!("base.{name}").into() } else { name.into() }
}

/// Whether a value of that name is one of an update.
fn is_of_update(name: &str) -> bool {
    name.starts_with("lokr_") || name.starts_with("lora_") || name == "dora_scale"
}
