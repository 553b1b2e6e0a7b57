//! Adam and AdamW.

use lokr_core::Scalar;

use super::groups::Group;
use super::moments::{AdamSettings, DecayOf, Moments};
use super::traits::Optimizer;
use crate::error::Result;
use crate::layer::Layer;
use crate::training::state::TrainingState;

/// Adam (Kingma & Ba 2015), with weight decay as part of the gradient, `g ← g + λ·θ`.
///
/// `m ← β₁·m + (1 − β₁)·g`, `v ← β₂·v + (1 − β₂)·g²`, `θ ← θ − η·m̂/(√v̂ + ε)` with `m̂ = m/(1 − β₁ᵗ)` and
/// `v̂ = v/(1 − β₂ᵗ)` at step `t`. Holds two values per parameter.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, Adam, Dense, Layer, Optimizer};
/// use ndarray::array;
///
/// let mut layer = Dense::from_arrays(array![[2.0]], array![0.0], Activation::Identity)?;
/// let mut adam = Adam::new(0.5)?;
/// layer.forward(&array![[3.0]])?;
/// layer.backward(&array![[1.0]])?; // gradients 3 and 1
/// adam.step(&mut layer)?;
/// // The first step is as long as the learning rate, whatever the gradient.
/// assert!((layer.parameters() - array![1.5, -0.5]).iter().all(|d: &f64| d.abs() < 1e-7));
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Adam<T>(pub(super) Moments<T>);

/// AdamW (Loshchilov & Hutter 2019): [`Adam`] with decoupled weight decay, `θ ← θ − η·λ·θ` before each step.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, AdamW, Dense, Layer, Optimizer};
/// use ndarray::array;
///
/// let mut layer = Dense::from_arrays(array![[2.0]], array![0.0], Activation::Identity)?;
/// let mut adam = AdamW::new(0.5)?.weight_decay(0.2)?;
/// layer.forward(&array![[3.0]])?;
/// layer.backward(&array![[1.0]])?;
/// adam.step(&mut layer)?; // 2 − 0.5·0.2·2 − 0.5
/// assert!((layer.parameters() - array![1.3, -0.5]).iter().all(|d: &f64| d.abs() < 1e-7));
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct AdamW<T>(pub(super) Moments<T>);

/// What [`AdamW::new`] takes: [`AdamSettings`], or a learning rate alone, with a weight decay of 0.01 as in PyTorch.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct AdamWSettings(AdamSettings);

impl From<AdamSettings> for AdamWSettings {
    fn from(settings: AdamSettings) -> Self {
        Self(settings)
    }
}

impl From<f64> for AdamWSettings {
    fn from(learning_rate: f64) -> Self {
        Self(AdamSettings { learning_rate, weight_decay: 0.01, ..AdamSettings::default() })
    }
}

impl<T: Scalar> Adam<T> {
    /// With a learning rate, and the defaults of [`AdamSettings`] and of PyTorch: `Adam::new(1e-3)`. Or with all
    /// settings.
    ///
    /// # Errors
    /// [`crate::LayerError::InvalidSetting`].
    pub fn new(settings: impl Into<AdamSettings>) -> Result<Self> {
        Moments::new(settings.into()).map(Self)
    }
}

impl<T: Scalar> AdamW<T> {
    /// With a learning rate, a weight decay of 0.01 and the other defaults of [`AdamSettings`], all as in PyTorch:
    /// `AdamW::new(1e-3)`. Or with all settings, whose own default is no weight decay.
    ///
    /// # Errors
    /// [`crate::LayerError::InvalidSetting`].
    pub fn new(settings: impl Into<AdamWSettings>) -> Result<Self> {
        Moments::new(settings.into().0).map(Self)
    }
}

/// The two differ in what decays and in their names; everything else is [`Moments`]'s.
macro_rules! is_adam {
    ($name:ident, $decay:expr) => {
        impl<T: Scalar> $name<T> {
            /// Decays of the mean of gradients and of the mean of their squares, both in `[0, 1)`. 0.9 and 0.999 by
            /// default.
            ///
            /// # Errors
            /// [`crate::LayerError::InvalidSetting`].
            pub fn betas(self, beta1: f64, beta2: f64) -> Result<Self> {
                self.0.betas(beta1, beta2).map(Self)
            }

            /// `ε`, added to the root of the mean square; finite and positive in `T`. 1e-8 by default.
            ///
            /// # Errors
            /// [`crate::LayerError::InvalidSetting`].
            pub fn epsilon(self, epsilon: f64) -> Result<Self> {
                self.0.epsilon(epsilon).map(Self)
            }

            /// `λ`; finite and not negative.
            ///
            /// # Errors
            /// [`crate::LayerError::InvalidSetting`].
            pub fn weight_decay(self, decay: f64) -> Result<Self> {
                self.0.weight_decay(decay).map(Self)
            }

            /// Adds a group of parameters with settings of their own, after those given before.
            ///
            /// # Errors
            /// [`crate::LayerError::InvalidSetting`].
            pub fn group(self, group: Group) -> Result<Self> {
                self.0.group(group).map(Self)
            }
        }

        impl<T: Scalar> Optimizer<T> for $name<T> {
            fn step(&mut self, network: &mut dyn Layer<T>) -> Result<()> {
                self.0.step(stringify!($name), network, $decay)
            }

            fn learning_rate(&self) -> f64 {
                self.0.learning_rate()
            }

            fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
                self.0.set_learning_rate(learning_rate)
            }

            fn reset(&mut self) {
                self.0.reset();
            }

            fn save_state(&self, network: &dyn Layer<T>) -> Result<TrainingState<T>> {
                self.0.save_state(network)
            }

            fn load_state(&mut self, network: &dyn Layer<T>, state: &TrainingState<T>) -> Result<()> {
                self.0.load_state(stringify!($name), network, state)
            }
        }
    };
}

is_adam!(Adam, DecayOf::Gradient);
is_adam!(AdamW, DecayOf::Value);
