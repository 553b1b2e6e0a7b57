//! Activations and their derivatives.

/// What is applied to a layer's pre-activation, row by row.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Activation {
    /// `z`.
    #[default]
    Identity,
}
