//! Losses that are a mean over the outputs of a sample.

use lokr_core::Scalar;
use ndarray::{ArrayView1, ArrayViewMut1};

use super::traits::LossFunction;
use crate::error::{LayerError, Result};
use crate::training::targets::{Target, Targets};

/// `Σ(y − t)²/(batch·outputs)`. Needs [`Targets::Values`].
///
/// # Examples
/// ```
/// use lokr_layers::{LossFunction, MeanSquaredError, Targets};
/// use ndarray::array;
///
/// let (y, t) = (array![[1.0, 2.0], [3.0, 4.0]], array![[1.0, 0.0], [3.0, 2.0]]);
/// let mut dy = y.clone();
/// assert_eq!(MeanSquaredError.gradient_into(&y, Targets::Values(t.view()), &mut dy)?, 2.0); // (0 + 4 + 0 + 4)/4
/// assert_eq!(dy, array![[0.0, 1.0], [0.0, 1.0]]); // 2·(y − t)/4
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct MeanSquaredError;

/// `Σ|y − t|/(batch·outputs)`, whose gradient at `y = t` is taken as 0. Needs [`Targets::Values`].
///
/// # Examples
/// ```
/// use lokr_layers::{LossFunction, MeanAbsoluteError, Targets};
/// use ndarray::array;
///
/// let (y, t) = (array![[1.0, 2.0]], array![[1.0, 5.0]]);
/// assert_eq!(MeanAbsoluteError.value(&y, Targets::Values(t.view()))?, 1.5);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct MeanAbsoluteError;

/// Squares of small errors, and the absolute value of large ones, so that outliers do not rule: the mean over
/// `batch·outputs` of `d²/2` where `|d| ≤ δ` and of `δ·(|d| − δ/2)` elsewhere, with `d = y − t` (Huber 1964). Needs
/// [`Targets::Values`].
///
/// # Examples
/// ```
/// use lokr_layers::{Huber, LossFunction, Targets};
/// use ndarray::array;
///
/// let (y, t) = (array![[0.5, 9.0]], array![[0.0, 0.0]]);
/// assert_eq!(Huber::new(1.0)?.value(&y, Targets::Values(t.view()))?, (0.125 + 8.5) / 2.0);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Huber {
    delta: f64,
}

impl Huber {
    /// The loss that changes from squares to absolute values at `delta`.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] unless `delta` is finite and positive.
    pub fn new(delta: f64) -> Result<Self> {
        check_delta(delta, delta.is_finite() && delta > 0.0)?;
        Ok(Self { delta })
    }
}

/// `δ = 1`, as in PyTorch.
impl Default for Huber {
    fn default() -> Self {
        Self { delta: 1.0 }
    }
}

impl<T: Scalar> LossFunction<T> for MeanSquaredError {
    fn name(&self) -> &'static str {
        "mean squared error"
    }

    fn check_targets(&self, outputs: (usize, usize), targets: Targets<'_, T>) -> Result<()> {
        check_values("mean squared error", "targets of the mean squared error", outputs, targets)
    }

    fn sample(&self, y: ArrayView1<'_, T>, target: &Target<'_, T>) -> f64 {
        mean(y, target, |y, t| (y - t) * (y - t))
    }

    fn sample_gradient(&self, y: ArrayView1<'_, T>, target: &Target<'_, T>, gradient: ArrayViewMut1<'_, T>) -> f64 {
        let two = T::one() + T::one();
        gradients(y, target, gradient, |d| two * d);
        self.sample(y, target)
    }
}

impl<T: Scalar> LossFunction<T> for MeanAbsoluteError {
    fn name(&self) -> &'static str {
        "mean absolute error"
    }

    fn check_targets(&self, outputs: (usize, usize), targets: Targets<'_, T>) -> Result<()> {
        check_values("mean absolute error", "targets of the mean absolute error", outputs, targets)
    }

    fn sample(&self, y: ArrayView1<'_, T>, target: &Target<'_, T>) -> f64 {
        mean(y, target, |y, t| (y - t).abs())
    }

    fn sample_gradient(&self, y: ArrayView1<'_, T>, target: &Target<'_, T>, gradient: ArrayViewMut1<'_, T>) -> f64 {
        // The signum of NaN is NaN, that of zero is 1.
        gradients(y, target, gradient, |d| if d == T::zero() { d } else { d.signum() });
        self.sample(y, target)
    }
}

impl<T: Scalar> LossFunction<T> for Huber {
    fn name(&self) -> &'static str {
        "Huber loss"
    }

    fn check_targets(&self, outputs: (usize, usize), targets: Targets<'_, T>) -> Result<()> {
        let delta = T::from_f64_lossy(self.delta);
        check_delta(self.delta, delta.is_finite() && delta > T::zero())?;
        check_values("Huber loss", "targets of the Huber loss", outputs, targets)
    }

    fn sample(&self, y: ArrayView1<'_, T>, target: &Target<'_, T>) -> f64 {
        let delta = self.delta;
        mean(y, target, |y, t| {
            let d = (y - t).abs();
            if d > delta { delta * (d - 0.5 * delta) } else { 0.5 * d * d }
        })
    }

    fn sample_gradient(&self, y: ArrayView1<'_, T>, target: &Target<'_, T>, gradient: ArrayViewMut1<'_, T>) -> f64 {
        let delta = T::from_f64_lossy(self.delta);
        // Not by `clamp`: NaN stays NaN.
        let slope = |d: T| {
            if d > delta {
                delta
            } else if d < -delta {
                -delta
            } else {
                d
            }
        };
        gradients(y, target, gradient, slope);
        self.sample(y, target)
    }
}

fn check_delta(delta: f64, is_fine: bool) -> Result<()> {
    if is_fine {
        Ok(())
    } else {
        Err(LayerError::invalid("delta of the Huber loss", delta, "a finite positive number"))
    }
}

fn check_values<T: Scalar>(
    name: &'static str,
    setting: &'static str,
    outputs: (usize, usize),
    targets: Targets<'_, T>,
) -> Result<()> {
    match targets {
        Targets::Labels(_) => Err(LayerError::invalid(setting, "labels", "values")),
        Targets::Values(values) => LayerError::check_shape(name, "targets", outputs, values.dim()),
    }
}

/// The mean of `loss(y, t)` over the outputs, in `f64`.
fn mean<T: Scalar>(y: ArrayView1<'_, T>, target: &Target<'_, T>, loss: impl Fn(f64, f64) -> f64) -> f64 {
    let count = y.len() as f64;
    let sum = target.sum(y, |y, t| loss(y.to_f64_exact(), t.to_f64_exact()));
    // A sum may leave the range of its type where the mean is inside it.
    if sum.is_infinite() {
        return target.sum(y, |y, t| loss(y.to_f64_exact(), t.to_f64_exact()) / count);
    }
    super::traits::mean(sum, count)
}

/// Writes `slope(y − t)` over the gradient, divided by the number of outputs.
fn gradients<T: Scalar>(
    y: ArrayView1<'_, T>,
    target: &Target<'_, T>,
    mut gradient: ArrayViewMut1<'_, T>,
    slope: impl Fn(T) -> T,
) {
    let share = T::one() / T::from_usize_lossy(y.len());
    target.each(y, |j, y, t| gradient[j] = slope(y - t) * share);
}
