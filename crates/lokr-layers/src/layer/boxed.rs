//! A layer behind a box is a layer.

use std::sync::Arc;

use lokr_core::Scalar;
use ndarray::ArrayRef2;

use super::arguments::{GradientAt, GradientVisitorMut, ValueVisitor, ValueVisitorMut, Visitor, VisitorMut};
use super::form::Form;
use super::rows::RowUpdates;
use super::traits::{Adapter, Layer, LinearLayer};
use crate::activation::Activation;
use crate::error::Result;
use crate::patches::Patches;

impl<T: Scalar> Clone for Box<dyn Layer<T>> {
    fn clone(&self) -> Self {
        (**self).clone_box()
    }
}

impl<T: Scalar> Layer<T> for Box<dyn Layer<T>> {
    fn input_size(&self) -> usize {
        (**self).input_size()
    }
    fn output_size(&self) -> usize {
        (**self).output_size()
    }
    fn type_name(&self) -> &'static str {
        (**self).type_name()
    }
    fn predict_into(&self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        (**self).predict_into(x, y)
    }
    fn predict_mixed_into(&self, x: &ArrayRef2<T>, rows: &RowUpdates<'_>, y: &mut ArrayRef2<T>) -> Result<()> {
        (**self).predict_mixed_into(x, rows, y)
    }
    fn forward_into(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        (**self).forward_into(x, y)
    }
    fn backward_into(&mut self, dy: &ArrayRef2<T>, at: GradientAt, dx: &mut ArrayRef2<T>) -> Result<()> {
        (**self).backward_into(dy, at, dx)
    }
    fn backward_parameters(&mut self, dy: &ArrayRef2<T>, at: GradientAt) -> Result<()> {
        (**self).backward_parameters(dy, at)
    }
    fn visit(&self, visitor: Visitor<'_, T>) {
        (**self).visit(visitor);
    }
    fn visit_mut(&mut self, visitor: VisitorMut<'_, T>) {
        (**self).visit_mut(visitor);
    }
    fn visit_values(&self, visitor: ValueVisitor<'_, T>) {
        (**self).visit_values(visitor);
    }
    fn visit_values_mut(&mut self, visitor: ValueVisitorMut<'_, T>) {
        (**self).visit_values_mut(visitor);
    }
    fn visit_gradients_mut(&mut self, visitor: GradientVisitorMut<'_, T>) -> Result<()> {
        (**self).visit_gradients_mut(visitor)
    }
    fn clear_gradients(&mut self) {
        (**self).clear_gradients();
    }
    fn reset_state(&mut self) {
        (**self).reset_state();
    }
    fn set_training_mode(&mut self, training: bool) {
        (**self).set_training_mode(training);
    }
    fn set_frozen(&mut self, frozen: bool) -> Result<()> {
        (**self).set_frozen(frozen)
    }
    fn is_frozen(&self) -> bool {
        (**self).is_frozen()
    }
    fn children(&self) -> Vec<(&str, &dyn Layer<T>)> {
        (**self).children()
    }
    fn children_mut(&mut self) -> Vec<(&str, &mut Box<dyn Layer<T>>)> {
        (**self).children_mut()
    }
    fn as_adapter(&self) -> Option<&dyn Adapter<T>> {
        (**self).as_adapter()
    }
    fn as_adapter_mut(&mut self) -> Option<&mut dyn Adapter<T>> {
        (**self).as_adapter_mut()
    }
    fn visit_random_states(&mut self, visitor: &mut dyn FnMut(&str, &mut u64)) {
        (**self).visit_random_states(visitor);
    }
    fn supports_training(&self) -> bool {
        (**self).supports_training()
    }
    fn clone_box(&self) -> Box<dyn Layer<T>> {
        (**self).clone_box()
    }
    fn merged(&self) -> Result<Box<dyn Layer<T>>> {
        (**self).merged()
    }
    fn as_linear(&self) -> Option<&dyn LinearLayer<T>> {
        (**self).as_linear()
    }
    fn as_linear_mut(&mut self) -> Option<&mut dyn LinearLayer<T>> {
        (**self).as_linear_mut()
    }
    fn patches(&self) -> Option<&Arc<Patches>> {
        (**self).patches()
    }
    fn form(&self) -> Form<'_, T> {
        (**self).form()
    }
    fn output_activation(&self) -> Option<Activation> {
        (**self).output_activation()
    }
}
