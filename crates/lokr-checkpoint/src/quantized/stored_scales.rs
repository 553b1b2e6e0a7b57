//! Scales as they are stored, and new ones for other values.

use std::ops::Range;

use safetensors::Dtype;

use super::beside::Beside;
use super::encoding::{Encoding, Maxima};
use super::scales::Scales;
use crate::error::{FileError, Result};
use crate::file::{FloatType, Tensor};

/// The tensor that holds the scales of a weight.
#[derive(Debug, Clone)]
pub(crate) struct StoredScales {
    /// Its name.
    pub(crate) name: String,
    kind: Kind,
    /// What is stored for a scale of 1.
    unit: f64,
    /// Whether new ones should be powers of two.
    powers_of_two: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Float(FloatType),
    /// An exponent of two with f32's bias.
    Exponent,
}

impl StoredScales {
    /// Reads the scales beside a weight of a shape.
    pub(super) fn read(
        name: String,
        tensor: &Tensor,
        unit: f64,
        weight: &[usize],
        beside: &Beside<'_>,
    ) -> Result<(Self, Scales)> {
        let kind = match (FloatType::from_dtype(tensor.dtype()), tensor.dtype()) {
            (Some(dtype), _) if dtype.fp8().is_none() => Kind::Float(dtype),
            (_, Dtype::F8_E8M0) => Kind::Exponent,
            (_, dtype) => return Err(FileError::ScaleDtype { key: name, dtype }.into()),
        };
        let values: Vec<f64> = match kind {
            Kind::Float(_) => tensor.to_array::<f64>(&name)?.into_iter().map(|x| x / unit).collect(),
            Kind::Exponent => tensor.bytes().iter().map(|&x| exponent(x)).collect(),
        };
        // So small that values times it are nothing, or so large that they are infinite, is as bad as none.
        let good = |x: f64| (x as f32).is_normal() && x > 0.0;
        if let Some((number, &found)) = values.iter().enumerate().find(|&(_, &x)| !good(x)) {
            return Err(FileError::ScaleValue { key: name, number, found: found * unit }.into());
        }
        let powers_of_two = kind == Kind::Exponent || beside.has_exponents();
        let (values, block) = (values.into_iter().map(|x| x as f32).collect(), beside.block());
        let Some(scales) = Scales::new(values, tensor.shape(), weight, block) else {
            let (key, shape, weight) = (name, tensor.shape().to_vec(), weight.to_vec());
            return Err(FileError::ScaleShape { key, shape, weight, block }.into());
        };
        Ok((Self { name, kind, unit, powers_of_two }, scales))
    }

    /// Scales with which the largest values fill the codes, for those numbers of which `changed` holds some; the others
    /// stay, and so do those of nothing but zeros.
    pub(crate) fn renewed(&self, encoding: &Encoding, maxima: &Maxima, changed: &[Range<usize>]) -> Option<Scales> {
        let (scales, largest) = (encoding.scales()?, encoding.code().largest());
        let mut values = scales.values.clone();
        for number in changed.iter().cloned().flatten() {
            let scale = self.storable(maxima.values()[number] / largest);
            if scale.is_normal() {
                values[number] = scale;
            }
        }
        Some(scales.with_values(values))
    }

    /// The nearest scale that can be stored.
    fn storable(&self, scale: f64) -> f32 {
        if self.powers_of_two {
            // The next larger power, so that the largest value fits.
            let down = f32::from_bits((scale as f32).to_bits() & 0x7f80_0000);
            return if f64::from(down) < scale { 2.0 * down } else { down };
        }
        match self.kind {
            Kind::Float(dtype) => {
                let mut bytes = [0; 8];
                let bytes = &mut bytes[..dtype.size()];
                dtype.encode(&[scale * self.unit], bytes);
                let mut back = [0f64];
                dtype.decode(bytes, &mut back);
                (back[0] / self.unit) as f32
            }
            Kind::Exponent => f32::NAN,
        }
    }

    /// The bytes to store in place of those before; of scales that stay, the same.
    pub(crate) fn bytes(&self, stored: &Tensor, before: &Scales, after: &Scales) -> Vec<u8> {
        let mut bytes = stored.bytes().to_vec();
        let size = bytes.len() / after.values.len().max(1);
        let changed = before.values.iter().zip(&after.values).map(|(before, after)| (before != after).then_some(after));
        for (bytes, scale) in bytes.chunks_exact_mut(size.max(1)).zip(changed) {
            match (scale, self.kind) {
                (None, _) => {}
                (Some(&scale), Kind::Float(dtype)) => dtype.encode(&[f64::from(scale) * self.unit], bytes),
                (Some(scale), Kind::Exponent) => bytes[0] = (scale.to_bits() >> 23) as u8,
            }
        }
        bytes
    }
}

fn exponent(code: u8) -> f64 {
    match code {
        255 => f64::NAN,
        code => 2f64.powi(i32::from(code) - 127),
    }
}
