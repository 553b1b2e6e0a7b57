//! The element types that adapters and their arithmetic know.

use std::cmp::Ordering;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use lokr_core::Scalar;
use safetensors::Dtype;

use super::fp8::{E4M3, E5M2, Fp8, e4m3_value, e5m2_value};

/// A floating-point element type of a stored tensor.
///
/// # Examples
/// ```
/// use lokr_checkpoint::{Dtype, FloatType};
///
/// assert_eq!(FloatType::from_dtype(Dtype::BF16), Some(FloatType::Bf16));
/// assert_eq!(FloatType::from_dtype(Dtype::I8), None);
/// assert_eq!(FloatType::Bf16.epsilon(), 0.0078125);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FloatType {
    /// Eight bits, four of them an exponent: `float8_e4m3fn`, without infinities.
    E4m3,
    /// Eight bits, five of them an exponent: the upper half of an f16.
    E5m2,
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    Bf16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
}

/// Elements converted at a time.
const BLOCK: usize = 256;

impl FloatType {
    /// The type of that name, or `None` for integers, booleans, complex numbers and other floats.
    #[must_use]
    pub fn from_dtype(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F8_E4M3 => Some(Self::E4m3),
            Dtype::F8_E5M2 => Some(Self::E5m2),
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::Bf16),
            Dtype::F32 => Some(Self::F32),
            Dtype::F64 => Some(Self::F64),
            _ => None,
        }
    }

    /// The type that holds every bit of a `T`.
    pub(crate) fn of<T: Scalar>() -> Self {
        if size_of::<T>() == size_of::<f32>() { Self::F32 } else { Self::F64 }
    }

    /// Its name in the format.
    #[must_use]
    pub fn dtype(self) -> Dtype {
        match self {
            Self::E4m3 => Dtype::F8_E4M3,
            Self::E5m2 => Dtype::F8_E5M2,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
            Self::F32 => Dtype::F32,
            Self::F64 => Dtype::F64,
        }
    }

    /// Bytes of one element.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::E4m3 | Self::E5m2 => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The machine epsilon: the gap between 1 and the next larger value.
    #[must_use]
    pub fn epsilon(self) -> f64 {
        match self {
            Self::E4m3 => E4M3.epsilon().into(),
            Self::E5m2 => E5M2.epsilon().into(),
            Self::F16 => f16::EPSILON.to_f64(),
            Self::Bf16 => bf16::EPSILON.to_f64(),
            Self::F32 => f64::from(f32::EPSILON),
            Self::F64 => f64::EPSILON,
        }
    }

    /// The gap between its values nearest to zero.
    pub(crate) fn smallest_step(self) -> f64 {
        match self {
            Self::E4m3 => E4M3.smallest_step().into(),
            Self::E5m2 => E5M2.smallest_step().into(),
            Self::F16 => f16::from_bits(1).to_f64(),
            Self::Bf16 => bf16::from_bits(1).to_f64(),
            Self::F32 => f32::from_bits(1).into(),
            Self::F64 => f64::from_bits(1),
        }
    }

    /// How it is made of its bits, if it has eight of them.
    pub(crate) fn fp8(self) -> Option<Fp8> {
        match self {
            Self::E4m3 => Some(E4M3),
            Self::E5m2 => Some(E5M2),
            _ => None,
        }
    }

    /// The type that holds the values of both: where neither holds the other, f16 of the two kinds of eight bits, and
    /// f32 of f16 and bf16.
    pub(crate) fn wider(self, other: Self) -> Self {
        match self.size().cmp(&other.size()) {
            _ if self == other => self,
            Ordering::Equal if self.size() == 1 => Self::F16,
            Ordering::Equal => Self::F32,
            Ordering::Less => other,
            Ordering::Greater => self,
        }
    }

    /// Little-endian bytes into numbers, exactly, except f64 into `f32`, which rounds. As many elements as both hold.
    #[inline(always)] // Into the caller's instruction set.
    pub(crate) fn decode<T: Scalar>(self, bytes: &[u8], out: &mut [T]) {
        match self {
            Self::E4m3 => fill(bytes, out, |[x]: [u8; 1]| T::from_f64_lossy(e4m3_value(x).into())),
            Self::E5m2 => fill(bytes, out, |[x]: [u8; 1]| T::from_f64_lossy(e5m2_value(x).into())),
            Self::F16 => {
                // In blocks, so that the processor's own conversion is chosen once per block, not per element.
                let (mut halves, mut floats) = ([f16::ZERO; BLOCK], [0f32; BLOCK]);
                for (bytes, out) in bytes.chunks(2 * BLOCK).zip(out.chunks_mut(BLOCK)) {
                    fill(bytes, &mut halves, f16::from_le_bytes);
                    halves.convert_to_f32_slice(&mut floats);
                    out.iter_mut().zip(&floats).for_each(|(out, &x)| *out = T::from_f64_lossy(x.into()));
                }
            }
            Self::Bf16 => fill(bytes, out, |x| T::from_f64_lossy(bf16_value(u16::from_le_bytes(x)).into())),
            Self::F32 => fill(bytes, out, |x| T::from_f64_lossy(f32::from_le_bytes(x).into())),
            Self::F64 => fill(bytes, out, |x| T::from_f64_lossy(f64::from_le_bytes(x))),
        }
    }

    /// Numbers into little-endian bytes; each is rounded once, to nearest, ties to even. As many elements as both hold.
    #[inline(always)] // Into the caller's instruction set.
    pub(crate) fn encode<T: Scalar>(self, values: &[T], out: &mut [u8]) {
        match self {
            Self::E4m3 => spread(values, out, |x| [E4M3.nearest(round_to_odd(x.to_f64_exact()))]),
            Self::E5m2 => spread(values, out, |x| [E5M2.nearest(round_to_odd(x.to_f64_exact()))]),
            Self::F16 => {
                let (mut floats, mut halves) = ([0f32; BLOCK], [f16::ZERO; BLOCK]);
                for (values, out) in values.chunks(BLOCK).zip(out.chunks_mut(2 * BLOCK)) {
                    floats.iter_mut().zip(values).for_each(|(float, x)| *float = round_to_odd(x.to_f64_exact()));
                    halves.convert_from_f32_slice(&floats);
                    spread(&halves[..values.len()], out, f16::to_le_bytes);
                }
            }
            Self::Bf16 => spread(values, out, |x| bf16_bits(round_to_odd(x.to_f64_exact())).to_le_bytes()),
            Self::F32 => spread(values, out, |x| (x.to_f64_exact() as f32).to_le_bytes()),
            Self::F64 => spread(values, out, |x| x.to_f64_exact().to_le_bytes()),
        }
    }
}

/// The value as f32, exactly, or else the one of its two neighbours whose last bit is 1. Rounding that to a smaller
/// type gives what rounding `x` itself would (Boldo & Melquiond 2008, "Emulation of FMA and correctly rounded sums");
/// the `half` crate's own conversion from f64 to bf16 ignores the lower 32 bits.
#[inline(always)]
fn round_to_odd(x: f64) -> f32 {
    let near = x as f32;
    if f64::from(near) == x || x.is_nan() {
        return near;
    }
    let away = f64::from(near).abs() > x.abs();
    f32::from_bits((near.to_bits() - u32::from(away)) | 1)
}

/// `bf16::from_bits(bits).to_f32()`, without a branch for NaN.
#[inline(always)]
fn bf16_value(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// `bf16::from_f32(x).to_bits()`, without its branches, so that the compiler works on several values at a time.
#[inline(always)]
fn bf16_bits(x: f32) -> u16 {
    let bits = x.to_bits();
    // Below the half nothing is carried, above it always, and at it where the last bit kept is 1.
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    // A NaN keeps its bits and becomes a quiet one: carrying could make it an infinity or a zero.
    ((if x.is_nan() { bits | 1 << 22 } else { rounded }) >> 16) as u16
}

/// One output per `N` bytes.
#[inline(always)]
fn fill<const N: usize, T>(bytes: &[u8], out: &mut [T], convert: impl Fn([u8; N]) -> T) {
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *out = convert(*bytes);
    }
}

/// `N` bytes per input.
#[inline(always)]
fn spread<const N: usize, T: Copy>(values: &[T], out: &mut [u8], convert: impl Fn(T) -> [u8; N]) {
    for (bytes, &value) in out.as_chunks_mut::<N>().0.iter_mut().zip(values) {
        *bytes = convert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(dtype: FloatType, values: &[f64]) -> Vec<f64> {
        let mut bytes = vec![0; values.len() * dtype.size()];
        dtype.encode(values, &mut bytes);
        let mut back = vec![f64::NAN; values.len()];
        dtype.decode(&bytes, &mut back);
        back
    }

    #[test]
    fn every_half_survives_the_way_to_f32_and_back() {
        for dtype in [FloatType::F16, FloatType::Bf16] {
            let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
            let mut floats = vec![0f32; 1 << 16];
            dtype.decode(&bytes, &mut floats);
            let mut back = vec![0; bytes.len()];
            dtype.encode(&floats, &mut back);
            for (i, (&a, &b)) in bytes.as_chunks::<2>().0.iter().zip(back.as_chunks::<2>().0).enumerate() {
                assert!(a == b || floats[i].is_nan(), "{dtype:?} {a:?} became {b:?}");
            }
        }
    }

    #[test]
    fn rounding_is_to_nearest_with_ties_to_even() {
        // bf16 has 8 significant bits: 1 + 2⁻⁸ lies between 1 and 1 + 2⁻⁷, 1 + 3·2⁻⁸ between 1 + 2⁻⁷ and 1 + 2⁻⁶.
        let e = 2f64.powi(-8);
        assert_eq!(round_trip(FloatType::Bf16, &[1.0 + e, 1.0 + 3.0 * e]), [1.0, 1.0 + 4.0 * e]);
        // A hair above the tie goes up, even where the hair is below f32's resolution.
        assert_eq!(round_trip(FloatType::Bf16, &[1.0 + e + 2f64.powi(-40)]), [1.0 + 2.0 * e]);
        assert_eq!(round_trip(FloatType::Bf16, &[1.0 + e - 2f64.powi(-40), -1.0 - e + 2f64.powi(-40)]), [1.0, -1.0]);
        let e = 2f64.powi(-11);
        assert_eq!(round_trip(FloatType::F16, &[1.0 + e, 1.0 + 3.0 * e]), [1.0, 1.0 + 4.0 * e]);
        assert_eq!(round_trip(FloatType::F16, &[1.0 + e + 2f64.powi(-40)]), [1.0 + 2.0 * e]);
    }

    #[test]
    fn rounding_to_bf16_is_that_of_the_half_crate() {
        // Every upper half with lower halves on both sides of the tie, infinities and NaN of all kinds among them.
        for upper in 0..=u32::from(u16::MAX) {
            for lower in [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff] {
                let x = f32::from_bits(upper << 16 | lower);
                assert_eq!(bf16_bits(x), bf16::from_f32(x).to_bits(), "{upper:x} {lower:x}");
            }
        }
    }

    #[test]
    fn what_overflows_a_half_becomes_infinite() {
        assert_eq!(round_trip(FloatType::F16, &[1e10, -1e10]), [f64::INFINITY, f64::NEG_INFINITY]);
        assert_eq!(round_trip(FloatType::Bf16, &[9_999_999_999.0]), [9_999_220_736.0]);
    }

    #[test]
    fn blocks_do_not_show() {
        let values: Vec<f64> = (0..2 * BLOCK + 3).map(|i| i as f64).collect();
        for dtype in [FloatType::F16, FloatType::F32, FloatType::F64] {
            assert_eq!(round_trip(dtype, &values), values, "{dtype:?}");
        }
    }
}
