//! Means of gradients and of their squares, and the step made of them: what Adam and AdamW do alike.

use lokr_core::Scalar;

use super::update::{check_below_one, check_not_negative, count_parameters, take_front, update};
use crate::error::{LayerError, Result};
use crate::layer::Layer;

/// Settings of [`crate::Adam`] and [`crate::AdamW`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamSettings {
    /// `η`; finite and not negative. 0.001 by default.
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

/// What an optimizer of the Adam family holds and does.
#[derive(Debug, Clone)]
pub(super) struct Moments<T> {
    settings: AdamSettings,
    memory: Option<Memory<T>>,
}

#[derive(Debug, Clone)]
struct Memory<T> {
    /// Steps made.
    steps: u32,
    mean: Vec<T>,
    square: Vec<T>,
}

/// What the weight decay is taken from, and so where [`super::Adam`] and [`super::AdamW`] differ.
#[derive(Debug, Clone, Copy)]
pub(super) enum DecayOf {
    /// `g ← g + λ·θ`.
    Gradient,
    /// `θ ← θ − η·λ·θ`.
    Value,
}

impl<T: Scalar> Moments<T> {
    pub(super) fn new(settings: AdamSettings) -> Result<Self> {
        check_not_negative("learning rate", settings.learning_rate)?;
        check_below_one("beta1", settings.beta1)?;
        check_below_one("beta2", settings.beta2)?;
        check_not_negative("weight decay", settings.weight_decay)?;
        // Positive in `T` too: a parameter whose gradients are all zero would become 0/0.
        let epsilon = T::from_f64_lossy(settings.epsilon);
        if !(epsilon.is_finite() && epsilon > T::zero()) {
            return Err(LayerError::invalid("epsilon", settings.epsilon, "a finite positive number"));
        }
        Ok(Self { settings, memory: None })
    }

    pub(super) fn learning_rate(&self) -> f64 {
        self.settings.learning_rate
    }

    pub(super) fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        check_not_negative("learning rate", learning_rate)?;
        self.settings.learning_rate = learning_rate;
        Ok(())
    }

    /// Forgets past gradients.
    pub(super) fn reset(&mut self) {
        self.memory = None;
    }

    /// One step of the optimizer called `name`.
    pub(super) fn step(&mut self, name: &'static str, network: &mut dyn Layer<T>, decay: DecayOf) -> Result<()> {
        let count = count_parameters(name, network, self.memory.as_ref().map(|memory| memory.mean.len()))?;
        let AdamSettings { learning_rate, beta1, beta2, epsilon, weight_decay } = self.settings;
        let (of_gradient, of_value) = match decay {
            DecayOf::Gradient => (weight_decay, 0.0),
            DecayOf::Value => (0.0, learning_rate * weight_decay),
        };
        let zeros = || vec![T::zero(); count];
        let memory = self.memory.get_or_insert_with(|| Memory { steps: 0, mean: zeros(), square: zeros() });
        memory.steps = memory.steps.saturating_add(1);

        // All that does not depend on the parameter, in f64: 1 − β₂ᵗ would lose most digits of an f32.
        let t = f64::from(memory.steps);
        let correction = |beta: f64| 1.0 - beta.powf(t);
        let rate = T::from_f64_lossy(learning_rate / correction(beta1));
        let root_correction = T::from_f64_lossy(1.0 / correction(beta2).sqrt());
        let (keep1, add1) = (T::from_f64_lossy(beta1), T::from_f64_lossy(1.0 - beta1));
        let (keep2, add2) = (T::from_f64_lossy(beta2), T::from_f64_lossy(1.0 - beta2));
        let epsilon = T::from_f64_lossy(epsilon);
        let of_gradient = T::from_f64_lossy(of_gradient);
        let keep_value = T::from_f64_lossy(1.0 - of_value);

        let (mut means, mut squares) = (memory.mean.as_mut_slice(), memory.square.as_mut_slice());
        network.visit_mut(&mut |_, values, gradient| {
            let mean = take_front(&mut means, values.len());
            let square = take_front(&mut squares, values.len());
            if let Some(gradient) = gradient {
                let state = mean.iter_mut().zip(square);
                update(values, gradient, state, |v, g, (mean, square)| {
                    let g = g + of_gradient * *v;
                    *mean = keep1 * *mean + add1 * g;
                    *square = keep2 * *square + add2 * g * g;
                    *v = keep_value * *v - rate * *mean / (square.sqrt() * root_correction + epsilon);
                });
            }
        });
        Ok(())
    }
}
