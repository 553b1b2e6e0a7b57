//! Means of gradients and of their squares, and the step made of them: what Adam and AdamW do alike.

use lokr_core::Scalar;

use super::checks::check_below_one;
use super::groups::{Group, Groups, Rates};
use super::memory::Memory;
use super::update::{count_parameters, take_front, update};
use crate::error::{LayerError, Result};
use crate::layer::Layer;
use crate::training::state::TrainingState;

/// Settings of [`crate::Adam`] and [`crate::AdamW`]. A learning rate alone is settings too, with the rest by default.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct AdamSettings {
    /// `η`; finite in the type and not negative. 0.001 by default.
    pub learning_rate: f64,
    /// Decay of the mean of gradients, in `[0, 1)`. 0.9 by default.
    pub beta1: f64,
    /// Decay of the mean of squared gradients, in `[0, 1)`. 0.999 by default.
    pub beta2: f64,
    /// `ε`, added to the root of the mean square; finite and positive. 1e-8 by default.
    pub epsilon: f64,
    /// `λ`; finite and not negative. 0 by default. What it does is where [`crate::Adam`] and [`crate::AdamW`] differ.
    pub weight_decay: f64,
}

impl Default for AdamSettings {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

impl From<f64> for AdamSettings {
    fn from(learning_rate: f64) -> Self {
        Self { learning_rate, ..Self::default() }
    }
}

/// What an optimizer of the Adam family holds and does.
#[derive(Debug, Clone)]
pub(super) struct Moments<T> {
    pub(super) settings: AdamSettings,
    pub(super) groups: Groups,
    /// Means of the gradients and of their squares.
    memory: Option<Memory<T, 2>>,
}

/// Their names in a state.
const NAMES: [&str; 2] = ["mean", "square"];

/// What the weight decay is taken from, and so where [`super::Adam`] and [`super::AdamW`] differ.
#[derive(Debug, Clone, Copy)]
pub(super) enum DecayOf {
    /// `g ← g + λ·θ`.
    Gradient,
    /// `θ ← θ − η·λ·θ`.
    Value,
}

impl AdamSettings {
    pub(super) fn check<T: Scalar>(&self, groups: &Groups) -> Result<()> {
        check_below_one("beta1", self.beta1)?;
        check_below_one("beta2", self.beta2)?;
        // The first step's mean is divided by 1 − β₁.
        groups.check::<T>(self.rates(), 1.0 / (1.0 - self.beta1))?;
        // Positive in `T` too: a parameter whose gradients are all zero would become 0/0.
        let epsilon = T::from_f64_lossy(self.epsilon);
        if !(epsilon.is_finite() && epsilon > T::zero()) {
            return Err(LayerError::invalid("epsilon", self.epsilon, "a finite positive number"));
        }
        Ok(())
    }

    pub(super) fn rates(&self) -> Rates {
        Rates { rate: self.learning_rate, decay: self.weight_decay }
    }
}

impl<T: Scalar> Moments<T> {
    pub(super) fn new(settings: AdamSettings) -> Result<Self> {
        Self { settings, groups: Groups::default(), memory: None }.checked()
    }

    pub(super) fn checked(self) -> Result<Self> {
        self.settings.check::<T>(&self.groups)?;
        Ok(self)
    }

    pub(super) fn betas(mut self, beta1: f64, beta2: f64) -> Result<Self> {
        (self.settings.beta1, self.settings.beta2) = (beta1, beta2);
        self.checked()
    }

    pub(super) fn epsilon(mut self, epsilon: f64) -> Result<Self> {
        self.settings.epsilon = epsilon;
        self.checked()
    }

    pub(super) fn weight_decay(mut self, decay: f64) -> Result<Self> {
        self.settings.weight_decay = decay;
        self.checked()
    }

    pub(super) fn group(mut self, group: Group) -> Result<Self> {
        self.groups.push(group);
        self.checked()
    }

    pub(super) fn learning_rate(&self) -> f64 {
        self.settings.learning_rate
    }

    pub(super) fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        let settings = AdamSettings { learning_rate, ..self.settings };
        settings.check::<T>(&self.groups)?;
        self.settings = settings;
        Ok(())
    }

    /// Forgets past gradients.
    pub(super) fn reset(&mut self) {
        self.memory = None;
    }

    pub(super) fn save_state(&self, network: &dyn Layer<T>) -> Result<TrainingState<T>> {
        self.memory.as_ref().map_or_else(|| Ok(TrainingState::default()), |memory| memory.save(NAMES, network))
    }

    pub(super) fn load_state(
        &mut self,
        name: &'static str,
        network: &dyn Layer<T>,
        state: &TrainingState<T>,
    ) -> Result<()> {
        self.memory = Memory::load(name, NAMES, network, state)?;
        Ok(())
    }

    /// One step of the optimizer called `name`.
    pub(super) fn step(&mut self, name: &'static str, network: &mut dyn Layer<T>, decay: DecayOf) -> Result<()> {
        let count = count_parameters(name, network, self.memory.as_ref().map(Memory::len), &self.groups)?;
        let AdamSettings { beta1, beta2, epsilon, .. } = self.settings;
        let memory = self.memory.get_or_insert_with(|| Memory::zeros(count));
        memory.steps = memory.steps.saturating_add(1);

        // All that does not depend on the value, in f64: 1 − β₂ᵗ would lose most digits of an f32.
        let t = memory.steps as f64;
        let correction = |beta: f64| 1.0 - beta.powf(t);
        let (mean_correction, root_correction) = (correction(beta1), 1.0 / correction(beta2).sqrt());
        let root_correction = T::from_f64_lossy(root_correction);
        let (keep1, add1) = (T::from_f64_lossy(beta1), T::from_f64_lossy(1.0 - beta1));
        let (keep2, add2) = (T::from_f64_lossy(beta2), T::from_f64_lossy(1.0 - beta2));
        let epsilon = T::from_f64_lossy(epsilon);

        let [means, squares] = &mut memory.values;
        let (mut means, mut squares) = (means.as_mut_slice(), squares.as_mut_slice());
        let (groups, all) = (&self.groups, self.settings.rates());
        network.visit_mut(&mut |name, values, gradient| {
            let mean = take_front(&mut means, values.len());
            let square = take_front(&mut squares, values.len());
            let Some(gradient) = gradient else { return };
            let rates = groups.rates(name, all);
            let (of_gradient, of_value) = match decay {
                DecayOf::Gradient => (rates.decay, 0.0),
                DecayOf::Value => (0.0, rates.rate * rates.decay),
            };
            let rate = T::from_f64_lossy(rates.rate / mean_correction);
            let (of_gradient, keep_value) = (T::from_f64_lossy(of_gradient), T::from_f64_lossy(1.0 - of_value));
            let state = mean.iter_mut().zip(square);
            update(values, gradient, state, |v, g, (mean, square)| {
                let g = g + of_gradient * *v;
                *mean = keep1 * *mean + add1 * g;
                *square = keep2 * *square + add2 * g * g;
                *v = keep_value * *v - rate * *mean / (square.sqrt() * root_correction + epsilon);
            });
        });
        Ok(())
    }
}
