//! The cross-entropy of classes.

use lokr_core::Scalar;
use ndarray::{ArrayView1, ArrayViewMut1};

use super::traits::{LossFunction, ln_of_probability};
use crate::activation::Activation;
use crate::error::{LayerError, Result};
use crate::layer::GradientAt;
use crate::training::targets::{Target, Targets, check_labels};

/// `−Σⱼ tⱼ·ln pⱼ`, where `t` is the class of a sample, or a probability for each class.
///
/// [`CrossEntropy::new`] is for a network that ends in logits, with no activation after its last layer: there
/// `p = softmax(y)`, by the stable log-sum-exp. [`CrossEntropy::from_softmax`] is for one that ends in
/// [`Activation::Softmax`]: there `p = y`, and the gradient is that with respect to the softmax's *input*, which needs
/// neither a division by probabilities nor a Jacobian. A training run refuses the one for the other.
///
/// # Weights and smoothing
/// With the smoothing `ε` and the weights `w` of `C` classes, as in PyTorch's `CrossEntropyLoss`, the loss of a sample
/// is `−Σⱼ wⱼ·((1 − ε)·tⱼ + ε/C)·ln pⱼ`. With labels the mean is weighted: the sum over the samples is divided by the
/// sum of the weights of their classes.
///
/// # Examples
/// ```
/// use lokr_layers::{CrossEntropy, LossFunction, Targets};
/// use ndarray::array;
///
/// let y = array![[0.0, 0.0], [3.0_f64.ln(), 0.0]]; // probabilities (1/2, 1/2) and (3/4, 1/4)
/// let loss = CrossEntropy::new().class_weights(&[1.0, 2.0])?;
/// let expected = (2.0 * 2.0_f64.ln() + (4.0_f64 / 3.0).ln()) / 3.0;
/// assert!((loss.value(&y, Targets::Labels(&[1, 0]))? - expected).abs() < 1e-15);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CrossEntropy {
    form: Form,
    label_smoothing: f64,
    /// One for each class, or none at all.
    class_weights: Vec<f64>,
}

/// What the outputs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Logits,
    Probabilities,
}

const NAME: &str = "cross-entropy";

impl CrossEntropy {
    /// For a network that ends in logits.
    #[must_use]
    pub const fn new() -> Self {
        Self { form: Form::Logits, label_smoothing: 0.0, class_weights: Vec::new() }
    }

    /// For a network that ends in a softmax. A probability of less than the smallest positive normal
    /// number counts as that.
    #[must_use]
    pub const fn from_softmax() -> Self {
        Self { form: Form::Probabilities, label_smoothing: 0.0, class_weights: Vec::new() }
    }

    /// Takes the share `smoothing` of each target and spreads it over all classes (Szegedy et al. 2016).
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] outside `[0, 1]`.
    pub fn label_smoothing(mut self, smoothing: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&smoothing) {
            return Err(LayerError::invalid("label smoothing", smoothing, "a number in [0, 1]"));
        }
        self.label_smoothing = smoothing;
        Ok(self)
    }

    /// Gives each class a weight: rare ones more, for instance. As many as the network has outputs, which is checked
    /// with the targets.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] unless all are finite and not negative.
    pub fn class_weights(mut self, weights: &[f64]) -> Result<Self> {
        check_weights(weights, |weight| weight.is_finite())?;
        self.class_weights = weights.to_vec();
        Ok(self)
    }

    /// Calls `f` with each class whose share of the target is not zero, and that share, `w·((1 − ε)·t + ε/C)`.
    fn each_share<T: Scalar>(&self, target: &Target<'_, T>, classes: usize, mut f: impl FnMut(usize, f64)) {
        let weight = |j: usize| self.class_weights.get(j).copied().unwrap_or(1.0);
        let (keep, spread) = (1.0 - self.label_smoothing, self.label_smoothing / classes as f64);
        match target {
            Target::Label(label) if self.label_smoothing == 0.0 => f(*label, weight(*label)),
            Target::Label(label) => {
                let share = |j| if j == *label { keep + spread } else { spread };
                (0..classes).for_each(|j| f(j, weight(j) * share(j)));
            }
            Target::Values(values) => {
                values.iter().enumerate().for_each(|(j, t)| f(j, weight(j) * (keep * t.to_f64_exact() + spread)));
            }
        }
    }
}

impl Default for CrossEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Scalar> LossFunction<T> for CrossEntropy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check_targets(&self, (batch, classes): (usize, usize), targets: Targets<'_, T>) -> Result<()> {
        match targets {
            Targets::Labels(labels) => check_labels(NAME, (batch, classes), labels)?,
            Targets::Values(values) => LayerError::check_shape(NAME, "targets", (batch, classes), values.dim())?,
        }
        if !self.class_weights.is_empty() {
            LayerError::check_length(NAME, "class weights", classes, self.class_weights.len())?;
            check_weights(&self.class_weights, |weight| T::from_f64_lossy(weight).is_finite())?;
        }
        Ok(())
    }

    fn check_activation(&self, last: Activation) -> Result<()> {
        let expected = match (self.form, last) {
            (Form::Probabilities, Activation::Softmax) => return Ok(()),
            (Form::Probabilities, _) => Activation::Softmax.name(),
            (Form::Logits, Activation::Softmax) => "logits",
            (Form::Logits, _) => return Ok(()),
        };
        Err(LayerError::LossActivation { loss: NAME, expected, found: last.name() })
    }

    fn gradient_at(&self) -> GradientAt {
        match self.form {
            Form::Logits => GradientAt::Output,
            Form::Probabilities => GradientAt::PreActivation,
        }
    }

    fn weight(&self, target: &Target<'_, T>) -> f64 {
        match target {
            Target::Label(label) => self.class_weights.get(*label).copied().unwrap_or(1.0),
            Target::Values(_) => 1.0,
        }
    }

    fn sample(&self, y: ArrayView1<'_, T>, target: &Target<'_, T>) -> f64 {
        match self.form {
            Form::Logits => {
                let max = largest(y);
                let sum = y.iter().map(|&z| (z - max).exp().to_f64_exact()).sum();
                self.of_logits(y, target, max, sum)
            }
            Form::Probabilities => self.of_probabilities(y, target),
        }
    }

    fn sample_gradient(&self, y: ArrayView1<'_, T>, target: &Target<'_, T>, mut gradient: ArrayViewMut1<'_, T>) -> f64 {
        let mut total = 0.0;
        self.each_share(target, y.len(), |_, share| total += share);
        // total·p − u, with the shares u of the target; their total is 1 unless there are weights or the caller's
        // targets are no distribution.
        let loss = match self.form {
            Form::Logits => {
                let (max, mut sum) = (largest(y), 0.0);
                gradient.zip_mut_with(&y, |g, &z| {
                    *g = (z - max).exp();
                    sum += g.to_f64_exact();
                });
                let factor = T::from_f64_lossy(total / sum);
                gradient.mapv_inplace(|g| g * factor);
                self.of_logits(y, target, max, sum)
            }
            Form::Probabilities => {
                let total = T::from_f64_lossy(total);
                gradient.zip_mut_with(&y, |g, &p| *g = total * p);
                self.of_probabilities(y, target)
            }
        };
        self.each_share(target, y.len(), |j, share| gradient[j] -= T::from_f64_lossy(share));
        loss
    }
}

impl CrossEntropy {
    /// The loss of the logits `y`, given the largest of them and `Σ e^(z − max)`.
    fn of_logits<T: Scalar>(&self, y: ArrayView1<'_, T>, target: &Target<'_, T>, max: T, sum: f64) -> f64 {
        let (log_sum, mut loss) = (sum.ln(), 0.0);
        self.each_share(target, y.len(), |j, share| {
            // ln Σ − (z − max), and not (max + ln Σ) − z: small losses of large logits keep their digits.
            let cost = log_sum - (y[j] - max).to_f64_exact();
            // A class that cannot be, at a logit of −∞, costs nothing where the target says the same.
            if !(share == 0.0 && cost == f64::INFINITY) {
                loss += share * cost;
            }
        });
        loss
    }

    fn of_probabilities<T: Scalar>(&self, y: ArrayView1<'_, T>, target: &Target<'_, T>) -> f64 {
        if y.iter().any(|p| p.is_nan()) {
            return f64::NAN;
        }
        let mut loss = 0.0;
        self.each_share(target, y.len(), |j, share| {
            loss -= share * ln_of_probability::<T>(y[j].to_f64_exact());
        });
        loss
    }
}

/// The largest value that is not NaN.
fn largest<T: Scalar>(y: ArrayView1<'_, T>) -> T {
    y.fold(T::neg_infinity(), |max, &z| max.max(z))
}

fn check_weights(weights: &[f64], is_finite: impl Fn(f64) -> bool) -> Result<()> {
    match weights.iter().find(|weight| !(is_finite(**weight) && **weight >= 0.0)) {
        Some(&weight) => Err(LayerError::invalid("class weight", weight, "a finite number that is not negative")),
        None => Ok(()),
    }
}
