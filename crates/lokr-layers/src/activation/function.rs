//! What is applied to a pre-activation.

use std::fmt;

use lokr_core::Scalar;
use ndarray::ArrayRef2;

use super::special::{normal_cdf, sigmoid};
use crate::error::{LayerError, Result};
use crate::limits::PARALLEL_VALUES;

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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Activation {
    /// `z`.
    #[default]
    Identity,
    /// `max(z, 0)`. Its derivative at 0 is taken as 0.
    Relu,
    /// `z` where positive, else `slope·z`. Its derivative at 0 is taken as the slope.
    LeakyRelu {
        /// Slope on the negative side; any value that is finite in the type of the layer.
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
                    let inverse = one / row.sum();
                    row.mapv_inplace(|e| e * inverse);
                }
            }
        }
    }

    /// Whether it gives what it is given.
    pub(crate) fn is_identity(self) -> bool {
        self == Self::Identity
    }

    /// # Errors
    /// [`LayerError::InvalidSetting`] for a slope that is not finite as a `T`.
    pub(crate) fn check<T: Scalar>(self) -> Result<()> {
        match self {
            Self::LeakyRelu { slope } if !T::from_f64_lossy(slope).is_finite() => {
                Err(LayerError::invalid("slope of leaky relu", slope, "a number that is finite in the layer's type"))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn map<T: Scalar>(z: &mut ArrayRef2<T>, f: impl Fn(T) -> T + Send + Sync) {
    if z.len() >= PARALLEL_VALUES { z.par_mapv_inplace(f) } else { z.mapv_inplace(f) }
}
