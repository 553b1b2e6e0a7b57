//! The cross-entropy of answers that are yes or no.

use lokr_core::Scalar;
use ndarray::{ArrayView1, ArrayViewMut1};

use super::traits::{LossFunction, ln_of_probability, mean};
use crate::activation::{Activation, sigmoid};
use crate::error::{LayerError, Result};
use crate::layer::GradientAt;
use crate::training::targets::{Target, Targets, check_labels};

/// `−t·ln p − (1 − t)·ln(1 − p)`, the mean over `batch·outputs`: each output is a question of its own, answered by yes
/// (1), by no (0) or by a probability between them.
///
/// [`BinaryCrossEntropy::new`] is for a network that ends in logits, with no activation after its last layer: there `p`
/// is the logistic function of `y`, in a form that neither overflows nor cancels. [`BinaryCrossEntropy::from_sigmoid`]
/// is for one that ends in [`Activation::Sigmoid`]; its gradient is that with respect to the sigmoid's *input*. A
/// training run refuses the one for the other. Targets are [`Targets::Values`], or for a network of one output the
/// labels 0 and 1.
///
/// # Examples
/// ```
/// use lokr_layers::{BinaryCrossEntropy, LossFunction, Targets};
/// use ndarray::array;
///
/// let loss = BinaryCrossEntropy::new().value(&array![[0.0_f64], [800.0]], Targets::Labels(&[1, 0]))?;
/// assert_eq!(loss, (2.0_f64.ln() + 800.0) / 2.0);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BinaryCrossEntropy {
    form: Form,
    positive_weight: f64,
}

/// What the outputs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Logits,
    Probabilities,
}

const NAME: &str = "binary cross-entropy";

impl BinaryCrossEntropy {
    /// For a network that ends in logits.
    #[must_use]
    pub const fn new() -> Self {
        Self { form: Form::Logits, positive_weight: 1.0 }
    }

    /// For a network that ends in a sigmoid. Probabilities of less than the smallest positive
    /// normal number count as that.
    #[must_use]
    pub const fn from_sigmoid() -> Self {
        Self { form: Form::Probabilities, positive_weight: 1.0 }
    }

    /// Multiplies the part of the answer yes, `t·ln p`, by `weight`: above 1 where yes is rare. As `pos_weight` in
    /// PyTorch, the mean is not divided by it.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] unless it is finite and positive.
    pub fn positive_weight(mut self, weight: f64) -> Result<Self> {
        check_weight(weight, weight.is_finite())?;
        self.positive_weight = weight;
        Ok(self)
    }

    /// The loss of one output.
    fn element<T: Scalar>(self, y: T, t: T) -> f64 {
        let y_exact = y.to_f64_exact();
        let (if_yes, if_no) = match self.form {
            Form::Logits => (softplus(-y_exact), softplus(y_exact)),
            Form::Probabilities => (-ln_of_probability::<T>(y_exact), -ln_of_probability::<T>(1.0 - y_exact)),
        };
        let (yes, no) = (self.positive_weight * t.to_f64_exact(), 1.0 - t.to_f64_exact());
        // An answer that is sure costs nothing for the other one, even where that is infinite.
        (if yes == 0.0 { 0.0 } else { yes * if_yes }) + (if no == 0.0 { 0.0 } else { no * if_no })
    }
}

impl Default for BinaryCrossEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Scalar> LossFunction<T> for BinaryCrossEntropy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check_targets(&self, (batch, outputs): (usize, usize), targets: Targets<'_, T>) -> Result<()> {
        check_weight(self.positive_weight, T::from_f64_lossy(self.positive_weight).is_finite())?;
        match targets {
            Targets::Labels(labels) if outputs == 1 => check_labels(NAME, (batch, 2), labels),
            Targets::Labels(_) => {
                Err(LayerError::invalid("targets of the binary cross-entropy", "labels", "values, for several outputs"))
            }
            Targets::Values(values) => LayerError::check_shape(NAME, "targets", (batch, outputs), values.dim()),
        }
    }

    fn check_activation(&self, last: Activation) -> Result<()> {
        let expected = match (self.form, last) {
            (Form::Probabilities, Activation::Sigmoid) => return Ok(()),
            (Form::Probabilities, _) => Activation::Sigmoid.name(),
            (Form::Logits, Activation::Sigmoid | Activation::Softmax) => "logits",
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

    fn is_right(&self, y: ArrayView1<'_, T>, target: &Target<'_, T>) -> Option<bool> {
        let threshold = match self.form {
            Form::Logits => 0.0,
            Form::Probabilities => 0.5,
        };
        match (target, y.first().map(|y| y.to_f64_exact())) {
            (Target::Label(label), Some(y)) => Some(if *label == 1 { y > threshold } else { y <= threshold }),
            _ => None,
        }
    }

    fn sample(&self, y: ArrayView1<'_, T>, target: &Target<'_, T>) -> f64 {
        if y.iter().any(|y| y.is_nan()) {
            return f64::NAN;
        }
        let mut sum = 0.0;
        each(y, target, |_, y, t| sum += self.element(y, t));
        mean(sum, y.len() as f64)
    }

    fn sample_gradient(&self, y: ArrayView1<'_, T>, target: &Target<'_, T>, mut gradient: ArrayViewMut1<'_, T>) -> f64 {
        let (one, weight) = (T::one(), T::from_f64_lossy(self.positive_weight));
        let share = one / T::from_usize_lossy(y.len());
        each(y, target, |j, y, t| {
            // Each from its own exponential: 1 − σ(z) would lose the digits of σ(−z).
            let (p, q) = match self.form {
                Form::Logits => (sigmoid(y), sigmoid(-y)),
                Form::Probabilities => (y, one - y),
            };
            gradient[j] = ((one - t) * p - weight * t * q) * share;
        });
        self.sample(y, target)
    }
}

/// Calls `f` with each output and its target; a label is the target of a single output.
fn each<T: Scalar>(y: ArrayView1<'_, T>, target: &Target<'_, T>, mut f: impl FnMut(usize, T, T)) {
    match target {
        Target::Label(label) => y.iter().enumerate().for_each(|(j, &y)| f(j, y, T::from_usize_lossy(*label))),
        Target::Values(_) => target.each(y, f),
    }
}

/// `ln(1 + eᶻ)`.
fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

fn check_weight(weight: f64, is_finite: bool) -> Result<()> {
    if is_finite && weight > 0.0 {
        Ok(())
    } else {
        Err(LayerError::invalid("positive weight", weight, "a finite positive number"))
    }
}
