//! Inputs with what is to come out for them.

use lokr_core::Scalar;
use ndarray::{ArrayRef2, ArrayView2, Axis, Slice};

use super::loss::LossFunction;
use super::targets::Targets;
use crate::error::{LayerError, Result};
use crate::layer::Layer;

/// Inputs, one sample per row, and as many targets. Borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Samples<'a, T> {
    pub(super) x: ArrayView2<'a, T>,
    pub(super) targets: Targets<'a, T>,
}

impl<'a, T: Scalar> Samples<'a, T> {
    /// Inputs `x (samples, inputs)` with their targets.
    ///
    /// # Errors
    /// [`LayerError::Length`] unless there are as many targets as rows.
    pub fn new(x: &'a ArrayRef2<T>, targets: Targets<'a, T>) -> Result<Self> {
        LayerError::check_length("Samples", "targets", x.nrows(), targets.len())?;
        Ok(Self { x: x.view(), targets })
    }

    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.x.nrows()
    }

    /// Whether there are no samples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks that there are samples, that `network` takes them, and that `loss` takes their targets and the network's
    /// last activation.
    pub(super) fn check(&self, name: &'static str, network: &dyn Layer<T>, loss: &dyn LossFunction<T>) -> Result<()> {
        if self.is_empty() {
            return Err(LayerError::invalid(name, 0, "at least 1"));
        }
        let expected = (self.len(), network.input_size());
        LayerError::check_shape(network.type_name(), "x", expected, self.x.dim())?;
        loss.check_targets((self.len(), network.output_size()), self.targets)?;
        network.output_activation().map_or(Ok(()), |last| loss.check_activation(last))
    }

    /// All of them, borrowed for no longer than this borrow.
    pub(super) fn all(&self) -> Samples<'_, T> {
        self.range(0, self.len())
    }

    /// `count` of the samples, from `start` on; the range must lie inside.
    pub(super) fn range(&self, start: usize, count: usize) -> Samples<'_, T> {
        let x = self.x.slice_axis(Axis(0), Slice::from(start..start + count));
        Samples { x, targets: self.targets.range(start, count) }
    }
}
