//! What a loss is.

use lokr_core::Scalar;
use ndarray::{ArrayRef2, ArrayView1, ArrayViewMut1};

use crate::activation::Activation;
use crate::error::{LayerError, Result};
use crate::layer::GradientAt;
use crate::training::metrics::is_largest;
use crate::training::targets::{Target, Targets};

/// The mean of a loss over the samples of a batch.
///
/// Implement [`name`](LossFunction::name), [`sample`](LossFunction::sample) and
/// [`sample_gradient`](LossFunction::sample_gradient) for a loss of your own; shapes, sums and means are done here.
/// Sums are taken in `f64`. An empty batch has the loss 0, and NaN among the outputs makes a loss of NaN.
///
/// # Examples
/// ```
/// use lokr_layers::{CrossEntropy, LossFunction, Target, Targets};
/// use ndarray::{ArrayView1, ArrayViewMut1, array};
///
/// // Two classes, equally likely.
/// let loss = CrossEntropy::new().value(&array![[5.0, 5.0]], Targets::Labels(&[1]))?;
/// assert_eq!(loss, 2.0_f64.ln());
///
/// /// Σⱼ (yⱼ − tⱼ)⁴.
/// struct Quartic;
///
/// impl LossFunction<f64> for Quartic {
///     fn name(&self) -> &'static str {
///         "quartic error"
///     }
///     fn sample(&self, y: ArrayView1<'_, f64>, target: &Target<'_, f64>) -> f64 {
///         target.sum(y, |y, t| (y - t).powi(4))
///     }
///     fn sample_gradient(
///         &self,
///         y: ArrayView1<'_, f64>,
///         target: &Target<'_, f64>,
///         mut dy: ArrayViewMut1<'_, f64>,
///     ) -> f64 {
///         target.each(y, |j, y, t| dy[j] = 4.0 * (y - t).powi(3));
///         self.sample(y, target)
///     }
/// }
///
/// let (y, t) = (array![[1.0], [3.0]], array![[0.0], [1.0]]);
/// let mut dy = y.clone();
/// assert_eq!(Quartic.gradient_into(&y, Targets::Values(t.view()), &mut dy)?, 8.5); // (1 + 16)/2
/// assert_eq!(dy, array![[2.0], [16.0]]); // the gradient of the mean
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub trait LossFunction<T: Scalar>: Send + Sync {
    /// Its name in lower case, for messages.
    fn name(&self) -> &'static str;

    /// The loss of one sample with the outputs `y`.
    fn sample(&self, y: ArrayView1<'_, T>, target: &Target<'_, T>) -> f64;

    /// The loss of one sample with the outputs `y`; its gradient is written over `gradient`, of the same length.
    fn sample_gradient(&self, y: ArrayView1<'_, T>, target: &Target<'_, T>, gradient: ArrayViewMut1<'_, T>) -> f64;

    /// Checks that `targets` fit outputs of the shape `(batch, outputs)`. Unless overridden: values of that shape, and
    /// no labels.
    ///
    /// # Errors
    /// [`LayerError::Shape`], [`LayerError::Length`], [`LayerError::Label`], [`LayerError::InvalidSetting`].
    fn check_targets(&self, outputs: (usize, usize), targets: Targets<'_, T>) -> Result<()> {
        match targets {
            Targets::Labels(_) => Err(LayerError::invalid("kind of targets", "labels", "values for this loss")),
            Targets::Values(values) => LayerError::check_shape(self.name(), "targets", outputs, values.dim()),
        }
    }

    /// Checks that a network that ends in the activation `last` can be trained with this loss. Unless overridden, all
    /// can.
    ///
    /// # Errors
    /// [`LayerError::LossActivation`].
    fn check_activation(&self, last: Activation) -> Result<()> {
        let _ = last;
        Ok(())
    }

    /// What the gradient refers to, for [`crate::Layer::backward_into`]. The output, unless overridden.
    fn gradient_at(&self) -> GradientAt {
        GradientAt::Output
    }

    /// What the sample counts for in the mean: the sum of losses is divided by the sum of weights. 1, unless
    /// overridden. [`LossFunction::sample`] has its weight in it already.
    fn weight(&self, target: &Target<'_, T>) -> f64 {
        let _ = target;
        1.0
    }

    /// Whether the outputs `y` of a sample are the right answer, where there is a right one. Unless overridden: whether
    /// the largest value stands at the label.
    fn is_right(&self, y: ArrayView1<'_, T>, target: &Target<'_, T>) -> Option<bool> {
        match target {
            Target::Label(label) => Some(is_largest(y, *label)),
            Target::Values(_) => None,
        }
    }

    /// The sum of the samples' weights: what the sum of losses is divided by.
    fn total_weight(&self, targets: Targets<'_, T>) -> f64 {
        (0..targets.len()).map(|i| self.weight(&targets.row(i))).sum()
    }

    /// The loss of the outputs `y (batch, outputs)`.
    ///
    /// # Errors
    /// Those of [`LossFunction::check_targets`].
    fn value(&self, y: &ArrayRef2<T>, targets: Targets<'_, T>) -> Result<f64> {
        self.check_targets(y.dim(), targets)?;
        let sum = y.rows().into_iter().enumerate().map(|(i, row)| self.sample(row, &targets.row(i))).sum();
        Ok(mean(sum, self.total_weight(targets)))
    }

    /// The loss of the outputs `y (batch, outputs)`; its gradient is written over `gradient`, of the same shape.
    ///
    /// # Errors
    /// As [`LossFunction::value`], and [`LayerError::Shape`] of `gradient`. Nothing is written then.
    fn gradient_into(&self, y: &ArrayRef2<T>, targets: Targets<'_, T>, gradient: &mut ArrayRef2<T>) -> Result<f64> {
        let weight = self.total_weight(targets);
        Ok(mean(self.part_gradient_into(y, targets, weight, gradient)?, weight))
    }

    /// For a batch that is taken in parts: the *sum* of the losses of a part, whose gradient, divided by the `weight`
    /// of the whole batch, is written over `gradient`. The gradients of all parts add up to that of the batch's mean.
    ///
    /// # Errors
    /// As [`LossFunction::gradient_into`].
    fn part_gradient_into(
        &self,
        y: &ArrayRef2<T>,
        targets: Targets<'_, T>,
        weight: f64,
        gradient: &mut ArrayRef2<T>,
    ) -> Result<f64> {
        LayerError::check_shape(self.name(), "gradient", y.dim(), gradient.dim())?;
        self.check_targets(y.dim(), targets)?;
        // Samples without weight have a gradient of zero.
        let share = T::from_f64_lossy(if weight == 0.0 { 0.0 } else { 1.0 / weight });
        let mut sum = 0.0;
        for (i, (y, mut gradient)) in y.rows().into_iter().zip(gradient.rows_mut()).enumerate() {
            sum += self.sample_gradient(y, &targets.row(i), gradient.view_mut());
            gradient.mapv_inplace(|g| g * share);
        }
        Ok(sum)
    }
}

/// A loss that is borrowed.
impl<T: Scalar, L: LossFunction<T> + ?Sized> LossFunction<T> for &L {
    fn name(&self) -> &'static str {
        (**self).name()
    }
    fn sample(&self, y: ArrayView1<'_, T>, target: &Target<'_, T>) -> f64 {
        (**self).sample(y, target)
    }
    fn sample_gradient(&self, y: ArrayView1<'_, T>, target: &Target<'_, T>, gradient: ArrayViewMut1<'_, T>) -> f64 {
        (**self).sample_gradient(y, target, gradient)
    }
    fn check_targets(&self, outputs: (usize, usize), targets: Targets<'_, T>) -> Result<()> {
        (**self).check_targets(outputs, targets)
    }
    fn check_activation(&self, last: Activation) -> Result<()> {
        (**self).check_activation(last)
    }
    fn gradient_at(&self) -> GradientAt {
        (**self).gradient_at()
    }
    fn weight(&self, target: &Target<'_, T>) -> f64 {
        (**self).weight(target)
    }
    fn is_right(&self, y: ArrayView1<'_, T>, target: &Target<'_, T>) -> Option<bool> {
        (**self).is_right(y, target)
    }
}

/// `sum/weight`, and 0 of nothing.
pub(in crate::training) fn mean(sum: f64, weight: f64) -> f64 {
    if weight == 0.0 { 0.0 } else { sum / weight }
}

/// `ln p`, where probabilities of less than the smallest positive normal number of `T` count as that one. What is below
/// zero is no probability, and its logarithm no number.
pub(super) fn ln_of_probability<T: Scalar>(p: f64) -> f64 {
    let least = T::min_positive_value().to_f64_exact();
    if (0.0..least).contains(&p) { least.ln() } else { p.ln() }
}
