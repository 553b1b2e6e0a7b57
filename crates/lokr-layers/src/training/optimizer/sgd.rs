//! Stochastic gradient descent.

use lokr_core::Scalar;

use super::traits::Optimizer;
use super::update::{check_below_one, check_not_negative, count_parameters, take_front, update};
use crate::error::Result;
use crate::layer::Layer;

/// How past gradients push on.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Momentum {
    /// Not at all.
    #[default]
    None,
    /// The step follows the velocity `v ← μ·v + g` (Polyak 1964).
    HeavyBall {
        /// `μ`, in `[0, 1)`.
        factor: f64,
    },
    /// The step follows `g + μ·v`, with the same velocity (Nesterov 1983, as restated by Sutskever et al. 2013).
    Nesterov {
        /// `μ`, in `[0, 1)`.
        factor: f64,
    },
}

/// Settings of [`Sgd`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdSettings {
    /// Step per unit of gradient; finite and not negative. 0.01 by default.
    pub learning_rate: f64,
    /// None by default.
    pub momentum: Momentum,
    /// `λ` in `g ← g + λ·θ`; finite and not negative. 0 by default.
    pub weight_decay: f64,
}

impl Default for SgdSettings {
    fn default() -> Self {
        Self { learning_rate: 0.01, momentum: Momentum::None, weight_decay: 0.0 }
    }
}

/// Stochastic gradient descent, `θ ← θ − η·g`, with momentum and weight decay as in PyTorch's `SGD` without dampening.
///
/// Holds one value per parameter with momentum, none without.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, Dense, Layer, Optimizer, Sgd, SgdSettings};
/// use ndarray::array;
///
/// let mut layer = Dense::from_arrays(array![[2.0]], array![0.0], Activation::Identity)?;
/// let mut sgd = Sgd::new(SgdSettings { learning_rate: 0.5, ..Default::default() })?;
/// layer.forward(&array![[3.0]])?;
/// layer.backward(&array![[1.0]])?; // gradients 3 and 1
/// sgd.step(&mut layer)?;
/// assert_eq!(layer.parameters(), array![0.5, -0.5]);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sgd<T> {
    settings: SgdSettings,
    velocity: Option<Vec<T>>,
}

impl<T: Scalar> Sgd<T> {
    /// # Errors
    /// [`crate::LayerError::InvalidSetting`].
    pub fn new(settings: SgdSettings) -> Result<Self> {
        check_not_negative("learning rate", settings.learning_rate)?;
        check_not_negative("weight decay", settings.weight_decay)?;
        match settings.momentum {
            Momentum::None => {}
            Momentum::HeavyBall { factor } | Momentum::Nesterov { factor } => check_below_one("momentum", factor)?,
        }
        Ok(Self { settings, velocity: None })
    }
}

impl<T: Scalar> Optimizer<T> for Sgd<T> {
    fn step(&mut self, network: &mut dyn Layer<T>) -> Result<()> {
        let count = count_parameters("Sgd", network, self.velocity.as_ref().map(Vec::len))?;
        let rate = T::from_f64_lossy(self.settings.learning_rate);
        let decay = T::from_f64_lossy(self.settings.weight_decay);
        // Weights of the velocity and of the gradient itself in the step.
        let (factor, along, direct) = match self.settings.momentum {
            Momentum::None => {
                network.visit_mut(&mut |_, values, gradient| {
                    if let Some(gradient) = gradient {
                        update(values, gradient, std::iter::repeat(()), |v, g, ()| *v -= rate * (g + decay * *v));
                    }
                });
                return Ok(());
            }
            Momentum::HeavyBall { factor } => (factor, 1.0, T::zero()),
            Momentum::Nesterov { factor } => (factor, factor, T::one()),
        };
        let (factor, along) = (T::from_f64_lossy(factor), T::from_f64_lossy(along));
        let velocity = self.velocity.get_or_insert_with(|| vec![T::zero(); count]);
        let mut rest = velocity.as_mut_slice();
        network.visit_mut(&mut |_, values, gradient| {
            let velocity = take_front(&mut rest, values.len());
            if let Some(gradient) = gradient {
                update(values, gradient, velocity.iter_mut(), |v, g, velocity| {
                    let g = g + decay * *v;
                    *velocity = factor * *velocity + g;
                    *v -= rate * (along * *velocity + direct * g);
                });
            }
        });
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        self.settings.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        check_not_negative("learning rate", learning_rate)?;
        self.settings.learning_rate = learning_rate;
        Ok(())
    }

    fn reset(&mut self) {
        self.velocity = None;
    }
}
