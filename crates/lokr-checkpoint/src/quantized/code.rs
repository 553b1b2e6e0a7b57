//! One value and its code.

use lokr_core::Scalar;

use super::chance::Chance;
use crate::file::{FloatType, settled};

/// What a stored code is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// A float.
    Float(FloatType),
    /// A whole number from −127 to 127.
    Int8,
}

/// Which of its two neighbours a value becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// The nearer one.
    Nearest,
    /// Either, with chances that keep the mean.
    Stochastic(Chance),
}

const INT8_LARGEST: f32 = 127.0;

impl Code {
    /// Bytes of a code.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Float(dtype) => dtype.size(),
            Self::Int8 => 1,
        }
    }

    /// The largest value that a scale is made for; infinite for floats that need none.
    pub(crate) fn largest(self) -> f64 {
        match self {
            Self::Float(dtype) => dtype.fp8().map_or(f64::INFINITY, |fp8| fp8.largest.into()),
            Self::Int8 => INT8_LARGEST.into(),
        }
    }

    /// The gap to the next value, for values of that size.
    pub(crate) fn step(self, size: f64) -> f64 {
        match self {
            Self::Float(dtype) => (dtype.epsilon() * size).max(dtype.smallest_step()),
            Self::Int8 => 1.0,
        }
    }

    #[inline(always)]
    pub(super) fn decode<T: Scalar>(self, bytes: &[u8], out: &mut [T]) {
        match self {
            Self::Float(dtype) => dtype.decode(bytes, out),
            Self::Int8 => {
                out.iter_mut().zip(bytes).for_each(|(x, &code)| *x = T::from_f64_lossy(f64::from(code as i8)))
            }
        }
    }

    /// Codes of values divided by `scale`. With one, what is too large for a code becomes the largest; without, see
    /// [`FloatType::encode`]. `first` is the number of the first element.
    #[inline(always)]
    pub(super) fn encode<T: Scalar>(
        self,
        values: &[T],
        scale: Option<f32>,
        rounding: Rounding,
        first: usize,
        out: &mut [u8],
    ) {
        let divisor = T::from_f64_lossy(scale.unwrap_or(1.0).into());
        let quotient = |&x: &T| (x / divisor).to_f64_exact() as f32;
        let limit = if scale.is_some() { self.largest() as f32 } else { f32::INFINITY };
        let quotients = values.iter().map(|x| quotient(x).clamp(-limit, limit));
        let pairs = out.iter_mut().zip(quotients);
        let fp8 = match self {
            Self::Float(dtype) => dtype.fp8(),
            Self::Int8 => None,
        };
        match (self, fp8, rounding) {
            (_, Some(fp8), Rounding::Nearest) => pairs.for_each(|(code, x)| *code = fp8.nearest(x)),
            (_, Some(fp8), Rounding::Stochastic(chance)) => {
                pairs.enumerate().for_each(|(i, (code, x))| *code = fp8.stochastic(x, chance.number(first + i)));
            }
            (Self::Int8, _, Rounding::Nearest) => pairs.for_each(|(code, x)| *code = int8(x.round_ties_even())),
            (Self::Int8, _, Rounding::Stochastic(chance)) => {
                pairs
                    .enumerate()
                    .for_each(|(i, (code, x))| *code = int8((settled(x) + chance.number(first + i)).floor()));
            }
            // Larger floats have no scales, and are rounded to nearest.
            (Self::Float(dtype), None, _) => dtype.encode(values, out),
        }
    }
}

#[inline(always)]
fn int8(x: f32) -> u8 {
    x.clamp(-INT8_LARGEST, INT8_LARGEST) as i8 as u8
}
