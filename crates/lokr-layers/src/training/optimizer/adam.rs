//! Adam and AdamW.

use lokr_core::Scalar;

use super::moments::{AdamSettings, DecayOf, Moments};
use super::traits::Optimizer;
use crate::error::Result;
use crate::layer::Layer;

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

/// The two differ in what decays and in their names; everything else is [`Moments`]'s.
macro_rules! is_adam {
    ($name:ident, $decay:expr) => {
        impl<T: Scalar> $name<T> {
            /// # Errors
            /// [`crate::LayerError::InvalidSetting`].
            pub fn new(settings: AdamSettings) -> Result<Self> {
                Moments::new(settings).map(Self)
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
        }
    };
}

is_adam!(Adam, DecayOf::Gradient);
is_adam!(AdamW, DecayOf::Value);
