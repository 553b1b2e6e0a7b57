//! What the methods of layers are given.

use ndarray::{ArrayViewD, ArrayViewMutD};

/// What a gradient handed to `backward` refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GradientAt {
    /// The layer's output.
    Output,
    /// The value before the layer's activation: the short cut of softmax with cross-entropy, whose gradient there is
    /// `(probabilities − target) / batch`.
    PreActivation,
}

/// Is shown one parameter after the other: name, values, and gradient if there is one.
pub type Visitor<'v, T> = &'v mut dyn FnMut(&str, ArrayViewD<'_, T>, Option<ArrayViewD<'_, T>>);

/// A [`Visitor`] that may change the values.
pub type VisitorMut<'v, T> = &'v mut dyn FnMut(&str, ArrayViewMutD<'_, T>, Option<ArrayViewD<'_, T>>);

/// Is shown one gradient after the other, writable: the parameter's name and its gradient.
pub type GradientVisitorMut<'v, T> = &'v mut dyn FnMut(&str, ArrayViewMutD<'_, T>);

/// Is shown one value after the other, frozen ones too: its name and the numbers.
pub type ValueVisitor<'v, T> = &'v mut dyn FnMut(&str, ArrayViewD<'_, T>);

/// A [`ValueVisitor`] that may change the numbers.
pub type ValueVisitorMut<'v, T> = &'v mut dyn FnMut(&str, ArrayViewMutD<'_, T>);
