//! Initial values of weights.

use lokr_core::Scalar;
use ndarray::ArrayRef2;
use ndarray_rand::rand::Rng;
use ndarray_rand::rand_distr::{Distribution, StandardNormal, StandardUniform};

use crate::error::{LayerError, Result};

/// How a weight `W (out, in)` starts. `fan_in = in`, `fan_out = out`.
///
/// Values are drawn in `f64`, row by row of `W (out, in)`, and then rounded: one seed gives the same numbers in `f32`
/// and `f64` (but for the rounding) and the same layer for every orientation of the stored weight.
///
/// # Examples
/// ```
/// use lokr_layers::{Init, rand::{SeedableRng, rngs::SmallRng}};
/// use ndarray::Array2;
///
/// let mut w = Array2::<f32>::zeros((2, 3));
/// Init::XavierUniform.fill(&mut w, &mut SmallRng::seed_from_u64(1))?;
/// let bound = (6.0_f32 / (3.0 + 2.0)).sqrt();
/// assert!(w.iter().all(|v| v.abs() <= bound));
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Init {
    /// All zero.
    Zeros,
    /// All the same.
    Constant {
        /// The value; finite.
        value: f64,
    },
    /// Normal around zero.
    Normal {
        /// Standard deviation; finite and not negative.
        deviation: f64,
    },
    /// Uniform in `±√(6/(fan_in + fan_out))` (Glorot & Bengio 2010): for tanh, sigmoid and softmax.
    XavierUniform,
    /// Normal of variance `2/(fan_in + fan_out)`.
    XavierNormal,
    /// Uniform in `±√(6/fan_in)` (He et al. 2015): for relu and its kin.
    HeUniform,
    /// Normal of variance `2/fan_in`.
    HeNormal,
    /// Uniform in `±√(3/fan_in)` (LeCun et al. 1998).
    LecunUniform,
    /// Normal of variance `1/fan_in`.
    LecunNormal,
}

impl Init {
    /// Overwrites `weight (out, in)`.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] for a value or deviation out of its range, also where it is so only in `T`;
    /// nothing is drawn then.
    pub fn fill<T: Scalar>(self, weight: &mut ArrayRef2<T>, rng: &mut (impl Rng + ?Sized)) -> Result<()> {
        self.check::<T>()?;
        let (fan_out, fan_in) = (weight.nrows() as f64, weight.ncols() as f64);
        match self {
            Self::Zeros => weight.fill(T::zero()),
            Self::Constant { value } => weight.fill(T::from_f64_lossy(value)),
            Self::Normal { deviation } => normal(weight, deviation, rng),
            Self::XavierUniform => uniform(weight, (6.0 / (fan_in + fan_out)).sqrt(), rng),
            Self::XavierNormal => normal(weight, (2.0 / (fan_in + fan_out)).sqrt(), rng),
            Self::HeUniform => uniform(weight, (6.0 / fan_in).sqrt(), rng),
            Self::HeNormal => normal(weight, (2.0 / fan_in).sqrt(), rng),
            Self::LecunUniform => uniform(weight, (3.0 / fan_in).sqrt(), rng),
            Self::LecunNormal => normal(weight, (1.0 / fan_in).sqrt(), rng),
        }
        Ok(())
    }

    /// # Errors
    /// [`LayerError::InvalidSetting`].
    pub(super) fn check<T: Scalar>(self) -> Result<()> {
        match self {
            Self::Constant { value } if !T::from_f64_lossy(value).is_finite() => {
                Err(LayerError::invalid("initial value", value, "a finite number"))
            }
            // A normal value is never as far out as 100 deviations.
            Self::Normal { deviation } if deviation < 0.0 || !T::from_f64_lossy(100.0 * deviation).is_finite() => {
                Err(LayerError::invalid("initial deviation", deviation, "a finite number that is not negative"))
            }
            _ => Ok(()),
        }
    }
}

fn uniform<T: Scalar>(weight: &mut ArrayRef2<T>, bound: f64, rng: &mut (impl Rng + ?Sized)) {
    // Not `mapv_inplace`, whose order is that of memory.
    for w in weight.iter_mut() {
        let unit: f64 = StandardUniform.sample(rng);
        *w = T::from_f64_lossy(bound * (2.0 * unit - 1.0));
    }
}

fn normal<T: Scalar>(weight: &mut ArrayRef2<T>, deviation: f64, rng: &mut (impl Rng + ?Sized)) {
    for w in weight.iter_mut() {
        let unit: f64 = StandardNormal.sample(rng);
        *w = T::from_f64_lossy(deviation * unit);
    }
}
