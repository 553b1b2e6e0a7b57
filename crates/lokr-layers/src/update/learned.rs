//! Numbers that are trained.

use lokr_core::Scalar;
use ndarray::{ArrayView1, ArrayViewD, ArrayViewMut1, ArrayViewMutD};

/// A number and the gradient of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Learned<T> {
    pub(super) value: T,
    pub(super) gradient: T,
}

impl<T: Scalar> Learned<T> {
    pub(super) fn new(value: T) -> Self {
        Self { value, gradient: T::zero() }
    }

    /// The value as an array of one.
    pub(super) fn value(&self) -> ArrayViewD<'_, T> {
        ArrayView1::from(std::slice::from_ref(&self.value)).into_dyn()
    }

    /// The gradient as an array of one.
    pub(super) fn gradient(&self) -> ArrayViewD<'_, T> {
        ArrayView1::from(std::slice::from_ref(&self.gradient)).into_dyn()
    }

    /// [`Learned::gradient`], writable.
    pub(super) fn gradient_mut(&mut self) -> ArrayViewMutD<'_, T> {
        ArrayViewMut1::from(std::slice::from_mut(&mut self.gradient)).into_dyn()
    }

    /// The value, writable, beside its gradient.
    pub(super) fn both(&mut self) -> (ArrayViewMutD<'_, T>, ArrayViewD<'_, T>) {
        let value = ArrayViewMut1::from(std::slice::from_mut(&mut self.value)).into_dyn();
        (value, ArrayView1::from(std::slice::from_ref(&self.gradient)).into_dyn())
    }
}
