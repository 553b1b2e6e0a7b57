//! Adam and AdamW.

use lokr_core::Scalar;

use super::{Optimizer, check_below_one, check_not_negative, count_parameters, take_front, update};
use crate::{Layer, LayerError, Result};

/// Settings of [`Adam`] and [`AdamW`].
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
    /// `λ`; finite and not negative. 0 by default. What it does is where [`Adam`] and [`AdamW`] differ.
    pub weight_decay: f64,
}

impl Default for AdamSettings {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// Adam (Kingma & Ba 2015), with weight decay as part of the gradient, `g ← g + λ·θ`.
///
/// `m ← β₁·m + (1 − β₁)·g`, `v ← β₂·v + (1 − β₂)·g²`, `θ ← θ − η·m̂/(√v̂ + ε)` with `m̂ = m/(1 − β₁ᵗ)` and
/// `v̂ = v/(1 − β₂ᵗ)` at step `t`. Holds two values per parameter.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, Adam, AdamSettings, Dense, Layer, Optimizer};
/// use ndarray::array;
///
/// let mut layer = Dense::from_arrays(array![[2.0]], array![0.0], Activation::Identity)?;
/// let mut adam = Adam::new(AdamSettings { learning_rate: 0.5, ..Default::default() })?;
/// layer.forward(&array![[3.0]])?;
/// layer.backward(&array![[1.0]])?; // gradients 3 and 1
/// adam.step(&mut layer)?;
/// // The first step is as long as the learning rate, whatever the gradient.
/// assert!((layer.parameters() - array![1.5, -0.5]).iter().all(|d: &f64| d.abs() < 1e-7));
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Adam<T>(Moments<T>);

impl<T: Scalar> Adam<T> {
    /// # Errors
    /// [`LayerError::InvalidSetting`].
    pub fn new(settings: AdamSettings) -> Result<Self> {
        Moments::new(settings).map(Self)
    }
}

impl<T: Scalar> Optimizer<T> for Adam<T> {
    fn step(&mut self, network: &mut dyn Layer<T>) -> Result<()> {
        let decay = self.0.settings.weight_decay;
        self.0.step("Adam", network, Decay { of_gradient: decay, of_value: 0.0 })
    }

    fn learning_rate(&self) -> f64 {
        self.0.settings.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        self.0.set_learning_rate(learning_rate)
    }

    fn reset(&mut self) {
        self.0.memory = None;
    }
}

/// AdamW (Loshchilov & Hutter 2019): [`Adam`] with decoupled weight decay, `θ ← θ − η·λ·θ` before each step.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, AdamSettings, AdamW, Dense, Layer, Optimizer};
/// use ndarray::array;
///
/// let mut layer = Dense::from_arrays(array![[2.0]], array![0.0], Activation::Identity)?;
/// let mut adam = AdamW::new(AdamSettings { learning_rate: 0.5, weight_decay: 0.2, ..Default::default() })?;
/// layer.forward(&array![[3.0]])?;
/// layer.backward(&array![[1.0]])?;
/// adam.step(&mut layer)?; // 2 − 0.5·0.2·2 − 0.5
/// assert!((layer.parameters() - array![1.3, -0.5]).iter().all(|d: &f64| d.abs() < 1e-7));
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct AdamW<T>(Moments<T>);

impl<T: Scalar> AdamW<T> {
    /// # Errors
    /// [`LayerError::InvalidSetting`].
    pub fn new(settings: AdamSettings) -> Result<Self> {
        Moments::new(settings).map(Self)
    }
}

impl<T: Scalar> Optimizer<T> for AdamW<T> {
    fn step(&mut self, network: &mut dyn Layer<T>) -> Result<()> {
        let settings = self.0.settings;
        let of_value = settings.learning_rate * settings.weight_decay;
        self.0.step("AdamW", network, Decay { of_gradient: 0.0, of_value })
    }

    fn learning_rate(&self) -> f64 {
        self.0.settings.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        self.0.set_learning_rate(learning_rate)
    }

    fn reset(&mut self) {
        self.0.memory = None;
    }
}

/// What both have in common.
#[derive(Debug, Clone)]
struct Moments<T> {
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

/// Where the weight decay goes: `g ← g + of_gradient·θ`, or `θ ← θ − of_value·θ`.
struct Decay {
    of_gradient: f64,
    of_value: f64,
}

impl<T: Scalar> Moments<T> {
    fn new(settings: AdamSettings) -> Result<Self> {
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

    fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        check_not_negative("learning rate", learning_rate)?;
        self.settings.learning_rate = learning_rate;
        Ok(())
    }

    fn step(&mut self, name: &'static str, network: &mut dyn Layer<T>, decay: Decay) -> Result<()> {
        let count = count_parameters(name, network, self.memory.as_ref().map(|memory| memory.mean.len()))?;
        let AdamSettings { learning_rate, beta1, beta2, epsilon, .. } = self.settings;
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
        let of_gradient = T::from_f64_lossy(decay.of_gradient);
        let keep_value = T::from_f64_lossy(1.0 - decay.of_value);

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
