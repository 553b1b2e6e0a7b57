//! Activations and their derivatives.

use lokr_core::Scalar;
use ndarray::{ArrayRef2, Zip};

use crate::buffer::Buffer;
use crate::{LayerError, Result};

/// From this many values on, an activation is shared out to the threads of the current rayon pool.
const PARALLEL_LENGTH: usize = 1 << 15;

/// What is applied to a layer's pre-activation, row by row.
///
/// # Examples
/// ```
/// use lokr_layers::Activation;
/// use ndarray::array;
///
/// let mut z = array![[-2.0, 0.0, 3.0]];
/// Activation::LeakyRelu { slope: 0.5 }.apply(&mut z);
/// assert_eq!(z, array![[-1.0, 0.0, 3.0]]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Activation {
    /// `z`.
    #[default]
    Identity,
    /// `max(z, 0)`. Its derivative at 0 is taken as 0.
    Relu,
    /// `z` where positive, else `slope·z`. Its derivative at 0 is taken as the slope.
    LeakyRelu {
        /// Slope on the negative side; any finite value.
        slope: f64,
    },
    /// `z·Φ(z)`, with `Φ` the distribution function of the standard normal (Hendrycks & Gimpel 2016), by the error
    /// function and not its `tanh` approximation.
    Gelu,
    /// `z·σ(z)`, also called swish.
    Silu,
    /// Hyperbolic tangent.
    Tanh,
    /// The logistic function `σ(z) = 1/(1 + e⁻ᶻ)`.
    Sigmoid,
    /// `eᶻʲ/Σ eᶻᵏ` over each row.
    Softmax,
}

impl Activation {
    /// Its name in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Relu => "relu",
            Self::LeakyRelu { .. } => "leaky relu",
            Self::Gelu => "gelu",
            Self::Silu => "silu",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::Softmax => "softmax",
        }
    }

    /// Replaces the pre-activation `z`, one sample per row, by the activation of it. Any strides.
    ///
    /// The softmax subtracts each row's maximum first, so finite rows of any size give finite probabilities.
    pub fn apply<T: Scalar>(self, z: &mut ArrayRef2<T>) {
        let (zero, one) = (T::zero(), T::one());
        match self {
            Self::Identity => {}
            // Written so that NaN stays NaN.
            Self::Relu => map(z, |z| if z < zero { zero } else { z }),
            Self::LeakyRelu { slope } => {
                let slope = T::from_f64_lossy(slope);
                map(z, |z| if z < zero { slope * z } else { z });
            }
            Self::Gelu => map(z, |z| z * normal_cdf(z)),
            Self::Silu => map(z, |z| z * sigmoid(z)),
            Self::Tanh => map(z, T::tanh),
            Self::Sigmoid => map(z, sigmoid),
            Self::Softmax => {
                for mut row in z.rows_mut() {
                    let max = row.fold(T::neg_infinity(), |max, &z| max.max(z));
                    row.mapv_inplace(|z| (z - max).exp());
                    let scale = one / row.sum();
                    row.mapv_inplace(|e| e * scale);
                }
            }
        }
    }

    /// # Errors
    /// [`LayerError::InvalidSetting`] for a slope that is not finite.
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::LeakyRelu { slope } if !slope.is_finite() => {
                Err(LayerError::invalid("slope of leaky relu", slope, "a finite number"))
            }
            _ => Ok(()),
        }
    }

    /// What the derivative is computed from.
    const fn keeps(self) -> Kept {
        match self {
            Self::Identity => Kept::Nothing,
            Self::LeakyRelu { .. } | Self::Gelu | Self::Silu => Kept::PreActivation,
            Self::Relu | Self::Tanh | Self::Sigmoid | Self::Softmax => Kept::Output,
        }
    }
}

impl std::fmt::Display for Activation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

enum Kept {
    Nothing,
    PreActivation,
    Output,
}

/// What an activation's backward pass needs of its forward pass. Its memory is kept from step to step.
#[derive(Debug, Clone)]
pub(crate) struct ActivationState<T> {
    kept: Buffer<T>,
}

impl<T: Scalar> ActivationState<T> {
    pub(crate) fn new() -> Self {
        Self { kept: Buffer::new() }
    }

    /// Replaces `z` by its activation and keeps what [`ActivationState::backward_into`] needs.
    pub(crate) fn forward(&mut self, activation: Activation, z: &mut ArrayRef2<T>) {
        match activation.keeps() {
            Kept::Nothing => activation.apply(z),
            Kept::PreActivation => {
                self.kept.store(z);
                activation.apply(z);
            }
            Kept::Output => {
                activation.apply(z);
                self.kept.store(z);
            }
        }
    }

    /// Writes over `dz` the gradient of the pre-activation, given the gradient `dy` of the output. Both have the shape
    /// of the last `forward`, and the activation is the same: the caller has checked that.
    pub(crate) fn backward_into(&self, activation: Activation, dy: &ArrayRef2<T>, dz: &mut ArrayRef2<T>) {
        let (zero, one) = (T::zero(), T::one());
        match activation {
            Activation::Identity => dz.assign(dy),
            Activation::Relu => self.chain(dy, dz, |y| if y > zero { one } else { zero }),
            Activation::LeakyRelu { slope } => {
                let slope = T::from_f64_lossy(slope);
                self.chain(dy, dz, |z| if z > zero { one } else { slope });
            }
            Activation::Gelu => self.chain(dy, dz, |z| normal_cdf(z) + z * normal_density(z)),
            Activation::Silu => self.chain(dy, dz, |z| {
                let s = sigmoid(z);
                s * (one + z * (one - s))
            }),
            Activation::Tanh => self.chain(dy, dz, |y| one - y * y),
            Activation::Sigmoid => self.chain(dy, dz, |y| y * (one - y)),
            Activation::Softmax => {
                // J = diag(y) − y·yᵀ, so J·dy = y∘(dy − ⟨y, dy⟩).
                let y = self.kept.view();
                for ((mut dz, dy), y) in dz.rows_mut().into_iter().zip(dy.rows()).zip(y.rows()) {
                    let mean = y.iter().zip(&dy).map(|(&y, &dy)| y * dy).sum::<T>();
                    Zip::from(&mut dz).and(&dy).and(&y).for_each(|dz, &dy, &y| *dz = y * (dy - mean));
                }
            }
        }
    }

    /// Gives the memory back.
    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }

    /// `dz ← dy∘slope(kept)`.
    fn chain(&self, dy: &ArrayRef2<T>, dz: &mut ArrayRef2<T>, slope: impl Fn(T) -> T + Send + Sync) {
        let parallel = dy.len() >= PARALLEL_LENGTH;
        let zip = Zip::from(dz).and(dy).and(self.kept.view());
        let each = |dz: &mut T, dy: &T, kept: &T| *dz = *dy * slope(*kept);
        if parallel { zip.par_for_each(each) } else { zip.for_each(each) }
    }
}

fn map<T: Scalar>(z: &mut ArrayRef2<T>, f: impl Fn(T) -> T + Send + Sync) {
    if z.len() >= PARALLEL_LENGTH { z.par_mapv_inplace(f) } else { z.mapv_inplace(f) }
}

fn sigmoid<T: Scalar>(z: T) -> T {
    T::one() / (T::one() + (-z).exp())
}

/// `Φ(z)`. By the complementary error function, which stays accurate where `1 + erf` would cancel.
fn normal_cdf<T: Scalar>(z: T) -> T {
    T::from_f64_lossy(0.5 * libm::erfc(-z.to_f64_exact() * std::f64::consts::FRAC_1_SQRT_2))
}

fn normal_density<T: Scalar>(z: T) -> T {
    let z = z.to_f64_exact();
    T::from_f64_lossy((-0.5 * z * z).exp() * (0.5 * std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2))
}

#[cfg(test)]
mod tests;
