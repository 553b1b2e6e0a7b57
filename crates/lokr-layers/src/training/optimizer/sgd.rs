//! Stochastic gradient descent.

use lokr_core::Scalar;

use super::checks::check_below_one;
use super::groups::{Group, Groups, Rates};
use super::memory::Memory;
use super::traits::Optimizer;
use super::update::{count_parameters, take_front, update};
use crate::error::Result;
use crate::layer::Layer;
use crate::training::state::TrainingState;

/// How past gradients push on.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
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

/// Settings of [`Sgd`]. A learning rate alone is settings too, with the rest by default.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct SgdSettings {
    /// Step per unit of gradient; finite in the type and not negative. 0.01 by default.
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
/// use lokr_layers::{Activation, Dense, Layer, Optimizer, Sgd};
/// use ndarray::array;
///
/// let mut layer = Dense::from_arrays(array![[2.0]], array![0.0], Activation::Identity)?;
/// let mut sgd = Sgd::new(0.5)?;
/// layer.forward(&array![[3.0]])?;
/// layer.backward(&array![[1.0]])?; // gradients 3 and 1
/// sgd.step(&mut layer)?;
/// assert_eq!(layer.parameters(), array![0.5, -0.5]);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sgd<T> {
    pub(super) settings: SgdSettings,
    pub(super) groups: Groups,
    velocity: Option<Memory<T, 1>>,
}

/// The name of the velocity in a state.
const NAMES: [&str; 1] = ["velocity"];

impl From<f64> for SgdSettings {
    fn from(learning_rate: f64) -> Self {
        Self { learning_rate, ..Self::default() }
    }
}

impl SgdSettings {
    fn check<T: Scalar>(&self, groups: &Groups) -> Result<()> {
        groups.check::<T>(self.rates(), 1.0)?;
        match self.momentum {
            Momentum::None => Ok(()),
            Momentum::HeavyBall { factor } | Momentum::Nesterov { factor } => check_below_one("momentum", factor),
        }
    }

    fn rates(&self) -> Rates {
        Rates { rate: self.learning_rate, decay: self.weight_decay }
    }
}

impl<T: Scalar> Sgd<T> {
    /// With a learning rate, `Sgd::new(0.01)`, or with all settings.
    ///
    /// # Errors
    /// [`crate::LayerError::InvalidSetting`].
    pub fn new(settings: impl Into<SgdSettings>) -> Result<Self> {
        Self { settings: settings.into(), groups: Groups::default(), velocity: None }.checked()
    }

    pub(super) fn checked(self) -> Result<Self> {
        self.settings.check::<T>(&self.groups)?;
        Ok(self)
    }

    /// The step follows the velocity `v ← factor·v + g`: [`Momentum::HeavyBall`].
    ///
    /// # Errors
    /// [`crate::LayerError::InvalidSetting`] for a factor outside `[0, 1)`.
    pub fn momentum(mut self, factor: f64) -> Result<Self> {
        self.settings.momentum = Momentum::HeavyBall { factor };
        self.checked()
    }

    /// The step follows `g + factor·v`: [`Momentum::Nesterov`].
    ///
    /// # Errors
    /// [`crate::LayerError::InvalidSetting`] for a factor outside `[0, 1)`.
    pub fn nesterov(mut self, factor: f64) -> Result<Self> {
        self.settings.momentum = Momentum::Nesterov { factor };
        self.checked()
    }

    /// `λ` in `g ← g + λ·θ`; finite and not negative.
    ///
    /// # Errors
    /// [`crate::LayerError::InvalidSetting`].
    pub fn weight_decay(mut self, decay: f64) -> Result<Self> {
        self.settings.weight_decay = decay;
        self.checked()
    }

    /// Adds a group of parameters with settings of their own, after those given before.
    ///
    /// # Errors
    /// [`crate::LayerError::InvalidSetting`].
    pub fn group(mut self, group: Group) -> Result<Self> {
        self.groups.push(group);
        self.checked()
    }
}

impl<T: Scalar> Optimizer<T> for Sgd<T> {
    fn step(&mut self, network: &mut dyn Layer<T>) -> Result<()> {
        let count = count_parameters("Sgd", network, self.velocity.as_ref().map(Memory::len), &self.groups)?;
        let (groups, all) = (&self.groups, self.settings.rates());
        let rates = |name: &str| {
            let Rates { rate, decay } = groups.rates(name, all);
            (T::from_f64_lossy(rate), T::from_f64_lossy(decay))
        };
        // Weights of the velocity and of the gradient itself in the step.
        let (factor, along, direct) = match self.settings.momentum {
            Momentum::None => {
                network.visit_mut(&mut |name, values, gradient| {
                    if let Some(gradient) = gradient {
                        let (rate, decay) = rates(name);
                        update(values, gradient, std::iter::repeat(()), |v, g, ()| *v -= rate * (g + decay * *v));
                    }
                });
                return Ok(());
            }
            Momentum::HeavyBall { factor } => (factor, 1.0, T::zero()),
            Momentum::Nesterov { factor } => (factor, factor, T::one()),
        };
        let (factor, along) = (T::from_f64_lossy(factor), T::from_f64_lossy(along));
        let memory = self.velocity.get_or_insert_with(|| Memory::zeros(count));
        memory.steps = memory.steps.saturating_add(1);
        let [velocity] = &mut memory.values;
        let mut rest = velocity.as_mut_slice();
        network.visit_mut(&mut |name, values, gradient| {
            let velocity = take_front(&mut rest, values.len());
            if let Some(gradient) = gradient {
                let (rate, decay) = rates(name);
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
        let settings = SgdSettings { learning_rate, ..self.settings };
        settings.check::<T>(&self.groups)?;
        self.settings = settings;
        Ok(())
    }

    fn reset(&mut self) {
        self.velocity = None;
    }

    fn save_state(&self, network: &dyn Layer<T>) -> Result<TrainingState<T>> {
        self.velocity.as_ref().map_or_else(|| Ok(TrainingState::default()), |memory| memory.save(NAMES, network))
    }

    fn load_state(&mut self, network: &dyn Layer<T>, state: &TrainingState<T>) -> Result<()> {
        self.velocity = Memory::load("Sgd", NAMES, network, state)?;
        Ok(())
    }
}
