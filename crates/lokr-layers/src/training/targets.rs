//! What the outputs of a batch are compared with.

use lokr_core::Scalar;
use ndarray::{ArrayView1, ArrayView2, Axis, Slice};

use crate::error::{LayerError, Result};

/// What the outputs of a batch are compared with.
#[derive(Debug, Clone, Copy)]
pub enum Targets<'a, T> {
    /// The class of each sample.
    Labels(&'a [usize]),
    /// A row of values for each sample, `(batch, outputs)`; for a cross-entropy the probability of each class, one-hot
    /// or soft.
    Values(ArrayView2<'a, T>),
}

impl<'a, T> Targets<'a, T> {
    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Labels(labels) => labels.len(),
            Self::Values(values) => values.nrows(),
        }
    }

    /// Whether there are no samples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The targets of the samples from `start` on, `count` of them; the range must lie inside.
    pub(super) fn range(&self, start: usize, count: usize) -> Targets<'_, T> {
        match self {
            Self::Labels(labels) => Targets::Labels(&labels[start..start + count]),
            Self::Values(values) => Targets::Values(values.slice_axis(Axis(0), Slice::from(start..start + count))),
        }
    }

    pub(super) fn row(&self, sample: usize) -> Target<'_, T> {
        match self {
            Self::Labels(labels) => Target::Label(labels[sample]),
            Self::Values(values) => Target::Values(values.row(sample)),
        }
    }
}

/// The target of one sample, as a [`crate::LossFunction`] is given it.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a, T> {
    /// Its class: a target of one there, and of zero elsewhere.
    Label(usize),
    /// A target for each output.
    Values(ArrayView1<'a, T>),
}

impl<T: Scalar> Target<'_, T> {
    /// Calls `f(j, yⱼ, tⱼ)` for each output.
    pub fn each(&self, y: ArrayView1<'_, T>, mut f: impl FnMut(usize, T, T)) {
        match self {
            Self::Label(label) => {
                let t = |j| if j == *label { T::one() } else { T::zero() };
                y.iter().enumerate().for_each(|(j, &y)| f(j, y, t(j)));
            }
            Self::Values(values) => y.iter().zip(values).enumerate().for_each(|(j, (&y, &t))| f(j, y, t)),
        }
    }

    /// `Σⱼ f(yⱼ, tⱼ)` over the outputs.
    pub fn sum(&self, y: ArrayView1<'_, T>, mut f: impl FnMut(T, T) -> f64) -> f64 {
        let mut sum = 0.0;
        self.each(y, |_, y, t| sum += f(y, t));
        sum
    }
}

/// Checks that there is a label for each of `batch` samples, and each below `classes`.
pub(super) fn check_labels(name: &'static str, (batch, classes): (usize, usize), labels: &[usize]) -> Result<()> {
    LayerError::check_length(name, "labels", batch, labels.len())?;
    match labels.iter().enumerate().find(|(_, label)| **label >= classes) {
        Some((sample, &label)) => Err(LayerError::Label { sample, label, classes }),
        None => Ok(()),
    }
}
