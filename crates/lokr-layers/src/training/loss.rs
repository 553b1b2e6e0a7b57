//! Losses: one number for how far a batch of outputs is from its targets, and the gradient of it.

use lokr_core::Scalar;
use ndarray::{ArrayRef2, ArrayView1, ArrayViewMut1};

use super::targets::{Target, Targets, check_labels};
use crate::error::{LayerError, Result};
use crate::layer::GradientAt;

/// The mean of a loss over the samples of a batch.
///
/// Sums are taken in `f64`. An empty batch has the loss 0.
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
#[non_exhaustive]
pub enum Loss {
    /// `Σ(y − t)²/(batch·outputs)`. Needs [`Targets::Values`].
    MeanSquaredError,
    /// `−Σⱼ tⱼ·ln softmax(y)ⱼ`, for a network that ends in logits: no activation after its last layer. By the stable
    /// log-sum-exp.
    CrossEntropyFromLogits,
    /// `−Σⱼ tⱼ·ln yⱼ`, for a network that ends in [`crate::Activation::Softmax`]. A probability of zero counts as the
    /// smallest positive normal number.
    ///
    /// The gradient is that with respect to the softmax's *input*, `(y − t)/batch`, which needs no division by
    /// probabilities and no Jacobian: see [`Loss::gradient_at`].
    CrossEntropyFromSoftmax,
}

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
    /// [`LayerError::Length`], [`LayerError::Shape`] and [`LayerError::Label`] for targets that do not fit `y`;
    /// [`LayerError::InvalidSetting`] for labels given to the mean squared error.
    pub fn value<T: Scalar>(self, y: &ArrayRef2<T>, targets: Targets<'_, T>) -> Result<f64> {
        self.check(y.dim(), targets)?;
        let sum = y.rows().into_iter().enumerate().map(|(i, row)| self.row_value(row, &targets.row(i))).sum();
        Ok(mean(sum, y.nrows()))
    }

    /// The loss of the outputs `y (batch, outputs)`; its gradient is written over `gradient`, of the same shape.
    ///
    /// # Errors
    /// As [`Loss::value`], and [`LayerError::Shape`] of `gradient`.
    pub fn gradient_into<T: Scalar>(
        self,
        y: &ArrayRef2<T>,
        targets: Targets<'_, T>,
        gradient: &mut ArrayRef2<T>,
    ) -> Result<f64> {
        LayerError::check_shape(self.name(), "gradient", y.dim(), gradient.dim())?;
        let loss = self.value(y, targets)?;
        let share = T::one() / T::from_usize_lossy(y.nrows());
        for (i, (y, gradient)) in y.rows().into_iter().zip(gradient.rows_mut()).enumerate() {
            self.row_gradient(y, &targets.row(i), share, gradient);
        }
        Ok(loss)
    }

    /// Checks that `targets` fit outputs of shape `(batch, outputs)`.
    pub(super) fn check<T: Scalar>(self, (batch, classes): (usize, usize), targets: Targets<'_, T>) -> Result<()> {
        match targets {
            Targets::Labels(_) if self == Self::MeanSquaredError => {
                Err(LayerError::invalid("targets of the mean squared error", "labels", "values"))
            }
            Targets::Labels(labels) => check_labels(self.name(), (batch, classes), labels),
            Targets::Values(values) => LayerError::check_shape(self.name(), "targets", (batch, classes), values.dim()),
        }
    }

    fn row_value<T: Scalar>(self, y: ArrayView1<'_, T>, target: &Target<'_, T>) -> f64 {
        match self {
            Self::MeanSquaredError => {
                let square = |y: T, t: T| (y - t).to_f64_exact().powi(2);
                mean(target.sum(y, square), y.len())
            }
            Self::CrossEntropyFromLogits => {
                let (max, log_sum) = log_sum_exp(y);
                // ln Σ − (z − max), and not (max + ln Σ) − z: small losses of large logits keep their digits.
                target.sum(y, |z, t| t.to_f64_exact() * (log_sum - (z - max).to_f64_exact()))
            }
            Self::CrossEntropyFromSoftmax => {
                target.sum(y, |p, t| -t.to_f64_exact() * p.max(T::min_positive_value()).to_f64_exact().ln())
            }
        }
    }

    /// `share`: that of one sample in the mean over the batch.
    fn row_gradient<T: Scalar>(
        self,
        y: ArrayView1<'_, T>,
        target: &Target<'_, T>,
        share: T,
        mut gradient: ArrayViewMut1<'_, T>,
    ) {
        // y − t where softmax(z) stands for y; the total of t is 1 unless the caller's targets are no distribution.
        let share = match self {
            Self::MeanSquaredError => {
                gradient.assign(&y);
                (share + share) / T::from_usize_lossy(y.len())
            }
            Self::CrossEntropyFromLogits => {
                let (max, log_sum) = log_sum_exp(y);
                let (log_sum, total) = (T::from_f64_lossy(log_sum), target.total());
                gradient.zip_mut_with(&y, |g, &z| *g = total * (z - max - log_sum).exp());
                share
            }
            Self::CrossEntropyFromSoftmax => {
                let total = target.total();
                gradient.zip_mut_with(&y, |g, &p| *g = total * p);
                share
            }
        };
        match target {
            Target::Label(label) => gradient[*label] -= T::one(),
            Target::Values(values) => gradient -= values,
        }
        gradient.mapv_inplace(|g| g * share);
    }
}

/// `max` and `ln Σ e^(z − max)`.
fn log_sum_exp<T: Scalar>(z: ArrayView1<'_, T>) -> (T, f64) {
    let max = z.fold(T::neg_infinity(), |max, &z| max.max(z));
    (max, z.iter().map(|&z| (z - max).exp().to_f64_exact()).sum::<f64>().ln())
}

/// `sum/count`, and 0 of nothing.
pub(super) fn mean(sum: f64, count: usize) -> f64 {
    if count == 0 { 0.0 } else { sum / count as f64 }
}
