//! Values with their gradients.

use lokr_core::{Scalar, memory};
use ndarray::{Array2, ArrayViewD, ArrayViewMutD};

use crate::error::Result;

/// A matrix that is trained, and the sum of its gradients while there is one. What is a vector is one of a single row.
#[derive(Debug, Clone)]
pub(super) struct Parameter<T> {
    pub(super) values: Array2<T>,
    gradient: Array2<T>,
    /// Whether the gradient holds a sum; if not, the next one starts from zero.
    present: bool,
    is_vector: bool,
}

impl<T: Scalar> Parameter<T> {
    pub(super) fn matrix(values: Array2<T>) -> Self {
        Self { values, gradient: Array2::zeros((0, 0)), present: false, is_vector: false }
    }

    pub(super) fn vector(values: Vec<T>) -> Self {
        let values = ndarray::Array1::from_vec(values).insert_axis(ndarray::Axis(0));
        Self { is_vector: true, ..Self::matrix(values) }
    }

    /// The gradient, to be added to.
    pub(super) fn accumulate(&mut self) -> Result<&mut Array2<T>> {
        if self.gradient.dim() != self.values.dim() {
            self.gradient = memory::zeros("gradients", self.values.dim())?;
        } else if !self.present {
            self.gradient.fill(T::zero());
        }
        self.present = true;
        Ok(&mut self.gradient)
    }

    pub(super) fn clear_gradient(&mut self) {
        self.present = false;
    }

    /// Gives the memory of the gradient back.
    pub(super) fn reset(&mut self) {
        (self.gradient, self.present) = (Array2::zeros((0, 0)), false);
    }

    pub(super) fn view(&self) -> ArrayViewD<'_, T> {
        shaped(self.values.view(), self.is_vector)
    }

    pub(super) fn gradient(&self) -> Option<ArrayViewD<'_, T>> {
        self.present.then(|| shaped(self.gradient.view(), self.is_vector))
    }

    pub(super) fn gradient_mut(&mut self) -> Option<ArrayViewMutD<'_, T>> {
        let is_vector = self.is_vector;
        self.present.then(|| shaped_mut(self.gradient.view_mut(), is_vector))
    }

    /// The values, writable, beside their gradient.
    pub(super) fn both(&mut self) -> (ArrayViewMutD<'_, T>, Option<ArrayViewD<'_, T>>) {
        let gradient = self.present.then(|| shaped(self.gradient.view(), self.is_vector));
        (shaped_mut(self.values.view_mut(), self.is_vector), gradient)
    }
}

fn shaped<T>(values: ndarray::ArrayView2<'_, T>, is_vector: bool) -> ArrayViewD<'_, T> {
    if is_vector { values.remove_axis(ndarray::Axis(0)).into_dyn() } else { values.into_dyn() }
}

fn shaped_mut<T>(values: ndarray::ArrayViewMut2<'_, T>, is_vector: bool) -> ArrayViewMutD<'_, T> {
    if is_vector { values.remove_axis(ndarray::Axis(0)).into_dyn() } else { values.into_dyn() }
}
