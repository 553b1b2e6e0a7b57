//! Weight decomposition: a weight's direction with norms of its own, which are trained (DoRA, arXiv 2402.09353).

use lokr_core::Scalar;
use ndarray::{Array1, Array2, ArrayView1};

/// What a norm of DoRA belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum DoraAxis {
    /// One norm per output row, `dora_scale (out, 1)`: LyCORIS since 3.2.
    Output,
    /// One norm per input column, `dora_scale (1, in)`; for a convolution one per input channel, over all elements of
    /// the kernel.
    Input,
}

/// What a multiplier `μ` does to a DoRA adapter. With `V = W + s·(A ⊗ B)` and `g = dora_scale / (‖V‖ + eps)`:
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum DoraStrength {
    /// `W + μ·(V·g − W)`: 0 gives the base weight, as in ComfyUI.
    #[default]
    FromBase,
    /// `V·(1 + μ·(g − 1))`: 0 gives `V`, not `W`. LyCORIS's formula.
    Lycoris,
}

/// The trained norms of an update, and how it is applied with them.
#[derive(Debug, Clone)]
pub(crate) struct Dora<T> {
    pub(crate) axis: DoraAxis,
    pub(super) strength: DoraStrength,
    /// Neighbouring rows or columns that share a norm: the elements of a kernel.
    pub(super) span: usize,
    /// `dora_scale` in its shape in files, `(out, 1)` or `(1, in)`.
    pub(super) magnitude: Array2<T>,
    pub(super) gradient: Array2<T>,
}

/// What `W` and `V` are multiplied by: the decomposed weight is `base·W + gains∘V`, with a number for each row or
/// column.
#[derive(Debug, Clone)]
pub(crate) struct Gains<T> {
    pub(crate) base: T,
    pub(crate) values: Array1<T>,
    pub(super) norms: Array1<T>,
}

impl<T: Scalar> Dora<T> {
    pub(crate) fn norms(&self) -> ArrayView1<'_, T> {
        match self.axis {
            DoraAxis::Output => self.magnitude.column(0),
            DoraAxis::Input => self.magnitude.row(0),
        }
    }
}
