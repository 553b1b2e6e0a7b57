//! The losses that need no settings, by name.

use lokr_core::Scalar;
use ndarray::{ArrayRef2, ArrayView1, ArrayViewMut1};

use super::cross_entropy::CrossEntropy;
use super::elementwise::MeanSquaredError;
use super::traits::LossFunction;
use crate::activation::Activation;
use crate::error::Result;
use crate::layer::GradientAt;
use crate::training::targets::{Target, Targets};

/// Losses that need no settings: the mean of one of them over the samples of a batch. A [`LossFunction`] like the
/// others.
///
/// Sums are taken in `f64`. An empty batch has the loss 0, and NaN among the outputs makes a loss of NaN.
///
/// # Examples
/// ```
/// use lokr_layers::{Loss, Targets};
/// use ndarray::array;
///
/// let y = array![[1.0, 2.0], [3.0, 4.0]];
/// let t = array![[1.0, 0.0], [3.0, 2.0]];
/// let mut dy = y.clone();
/// let loss = Loss::MeanSquaredError.gradient_into(&y, Targets::Values(t.view()), &mut dy)?;
/// assert_eq!(loss, 2.0); // (0 + 4 + 0 + 4)/4
/// assert_eq!(dy, array![[0.0, 1.0], [0.0, 1.0]]); // 2·(y − t)/4
///
/// // Two classes, equally likely.
/// let loss = Loss::CrossEntropyFromLogits.value(&array![[5.0, 5.0]], Targets::Labels(&[1]))?;
/// assert_eq!(loss, 2.0_f64.ln());
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Loss {
    /// `Σ(y − t)²/(batch·outputs)`: [`MeanSquaredError`]. Needs [`Targets::Values`].
    MeanSquaredError,
    /// `−Σⱼ tⱼ·ln softmax(y)ⱼ`, for a network that ends in logits: [`CrossEntropy::new`].
    CrossEntropyFromLogits,
    /// `−Σⱼ tⱼ·ln yⱼ`, for a network that ends in [`crate::Activation::Softmax`]: [`CrossEntropy::from_softmax`], with
    /// the gradient at the softmax's input.
    CrossEntropyFromSoftmax,
}

static FROM_LOGITS: CrossEntropy = CrossEntropy::new();
static FROM_SOFTMAX: CrossEntropy = CrossEntropy::from_softmax();

impl Loss {
    /// Its name in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MeanSquaredError => "mean squared error",
            Self::CrossEntropyFromLogits | Self::CrossEntropyFromSoftmax => "cross-entropy",
        }
    }

    /// What the gradient of [`Loss::gradient_into`] refers to, for [`crate::Layer::backward_into`].
    #[must_use]
    pub const fn gradient_at(self) -> GradientAt {
        match self {
            Self::MeanSquaredError | Self::CrossEntropyFromLogits => GradientAt::Output,
            Self::CrossEntropyFromSoftmax => GradientAt::PreActivation,
        }
    }

    /// The loss of the outputs `y (batch, outputs)`.
    ///
    /// # Errors
    /// [`crate::LayerError::Length`], [`crate::LayerError::Shape`] and [`crate::LayerError::Label`] for targets that do
    /// not fit `y`; [`crate::LayerError::InvalidSetting`] for labels given to the mean squared error.
    pub fn value<T: Scalar>(self, y: &ArrayRef2<T>, targets: Targets<'_, T>) -> Result<f64> {
        self.function().value(y, targets)
    }

    /// The loss of the outputs `y (batch, outputs)`; its gradient is written over `gradient`, of the same shape.
    ///
    /// # Errors
    /// As [`Loss::value`], and [`crate::LayerError::Shape`] of `gradient`.
    pub fn gradient_into<T: Scalar>(
        self,
        y: &ArrayRef2<T>,
        targets: Targets<'_, T>,
        gradient: &mut ArrayRef2<T>,
    ) -> Result<f64> {
        self.function().gradient_into(y, targets, gradient)
    }

    /// The loss of that name.
    fn function<T: Scalar>(self) -> &'static dyn LossFunction<T> {
        match self {
            Self::MeanSquaredError => &MeanSquaredError,
            Self::CrossEntropyFromLogits => &FROM_LOGITS,
            Self::CrossEntropyFromSoftmax => &FROM_SOFTMAX,
        }
    }
}

impl<T: Scalar> LossFunction<T> for Loss {
    fn name(&self) -> &'static str {
        (*self).name()
    }
    fn sample(&self, y: ArrayView1<'_, T>, target: &Target<'_, T>) -> f64 {
        self.function().sample(y, target)
    }
    fn sample_gradient(&self, y: ArrayView1<'_, T>, target: &Target<'_, T>, gradient: ArrayViewMut1<'_, T>) -> f64 {
        self.function().sample_gradient(y, target, gradient)
    }
    fn check_targets(&self, outputs: (usize, usize), targets: Targets<'_, T>) -> Result<()> {
        self.function().check_targets(outputs, targets)
    }
    fn check_activation(&self, last: Activation) -> Result<()> {
        self.function::<T>().check_activation(last)
    }
    fn gradient_at(&self) -> GradientAt {
        (*self).gradient_at()
    }
}
