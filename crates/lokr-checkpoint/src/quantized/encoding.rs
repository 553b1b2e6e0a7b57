//! The elements of a weight, decoded and encoded.

use std::ops::Range;
use std::sync::Arc;

use lokr_core::Scalar;

use super::code::{Code, Rounding};
use super::rotation::rotate;
use super::scales::Scales;
use crate::file::FloatType;

/// How the values of a weight lie in bytes. Elements are numbered in row-major order, and `first` is the number of the
/// first one given.
pub(crate) trait Codec: Sync {
    /// Whether so much is rounded that it must be looked at what is left of a change.
    const COARSE: bool;

    /// Bytes of an element.
    fn size(&self) -> usize;

    /// Bytes into numbers. As many elements as both hold.
    fn decode<T: Scalar>(&self, first: usize, bytes: &[u8], out: &mut [T]);

    /// Numbers into bytes, each rounded once. As many elements as both hold.
    fn encode<T: Scalar>(&self, first: usize, values: &[T], out: &mut [u8]);

    /// The same of numbers that nothing has changed: to the nearest, whatever the rounding of others.
    #[inline(always)]
    fn encode_unchanged<T: Scalar>(&self, first: usize, values: &[T], out: &mut [u8]) {
        self.encode(first, values, out);
    }
}

impl Codec for FloatType {
    const COARSE: bool = false;

    #[inline(always)]
    fn size(&self) -> usize {
        FloatType::size(*self)
    }

    #[inline(always)]
    fn decode<T: Scalar>(&self, _: usize, bytes: &[u8], out: &mut [T]) {
        FloatType::decode(*self, bytes, out);
    }

    #[inline(always)]
    fn encode<T: Scalar>(&self, _: usize, values: &[T], out: &mut [u8]) {
        FloatType::encode(*self, values, out);
    }
}

/// The encoding of a weight, or of some rows of one: codes, times scales where there are any, times a rotation where
/// there is one.
#[derive(Debug, Clone)]
pub(crate) struct Encoding {
    code: Code,
    scales: Option<Arc<Scales>>,
    /// The size of the groups of columns that are stored in another basis.
    rotation: Option<usize>,
    rounding: Rounding,
    /// The number of the first element in the whole weight, whose scales these are.
    offset: usize,
}

/// Elements rotated at a time: whole groups of every size.
const PIECE: usize = 256;

impl Encoding {
    /// Floats as they are.
    pub(crate) fn plain(dtype: FloatType) -> Self {
        Self::new(Code::Float(dtype), None, None)
    }

    pub(super) fn new(code: Code, scales: Option<Scales>, rotation: Option<usize>) -> Self {
        Self { code, scales: scales.map(Arc::new), rotation, rounding: Rounding::Nearest, offset: 0 }
    }

    /// The type, where values are floats of 16 bits or more as they are.
    pub(crate) fn unquantized(&self) -> Option<FloatType> {
        match self.code {
            Code::Float(dtype) if dtype.fp8().is_none() => Some(dtype),
            _ => None,
        }
    }

    /// What is stored for a value.
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    pub(crate) fn scales(&self) -> Option<&Scales> {
        self.scales.as_deref()
    }

    /// The encoding of the elements from one on.
    pub(crate) fn starting_at(&self, element: usize) -> Self {
        Self { offset: self.offset + element, ..self.clone() }
    }

    /// The same with other scales.
    pub(crate) fn with_scales(&self, scales: Scales) -> Self {
        Self { scales: Some(Arc::new(scales)), ..self.clone() }
    }

    /// The same, rounding in a certain way.
    pub(crate) fn with_rounding(&self, rounding: Rounding) -> Self {
        Self { rounding, ..self.clone() }
    }

    /// The gap to the next value that can be stored, for an element of that size.
    pub(crate) fn step(&self, element: usize, size: f64) -> f64 {
        let scale =
            self.scales.as_ref().map_or(1.0, |scales| scales.values[scales.run(self.offset + element).0].into());
        // In another basis, every value of a group is rounded by a part of each.
        scale * self.code.step(size / scale)
    }

    /// Whether a value's rounding depends on others.
    pub(crate) fn is_rotated(&self) -> bool {
        self.rotation.is_some()
    }

    /// Works on pieces of `length` elements, each with one scale: its number, the scale, and which elements.
    #[inline(always)]
    fn runs(&self, first: usize, length: usize, mut work: impl FnMut(usize, Option<f32>, Range<usize>)) {
        let Some(scales) = &self.scales else { return work(0, None, 0..length) };
        let mut start = 0;
        while start < length {
            let (number, run) = scales.run(self.offset + first + start);
            let end = length.min(start.saturating_add(run));
            work(number, Some(scales.values[number]), start..end);
            start = end;
        }
    }

    /// Works on the values as codes stand for them: as they are, or rotated, some at a time, with the first number.
    #[inline(always)]
    fn in_basis<T: Scalar>(&self, values: &[T], mut work: impl FnMut(usize, &[T])) {
        let Some(group) = self.rotation else { return work(0, values) };
        let mut rotated = [T::zero(); PIECE];
        for (number, values) in values.chunks(PIECE).enumerate() {
            let rotated = &mut rotated[..values.len()];
            rotated.copy_from_slice(values);
            rotate(rotated, group);
            work(number * PIECE, rotated);
        }
    }
}

impl Codec for Encoding {
    const COARSE: bool = true;

    #[inline(always)]
    fn size(&self) -> usize {
        self.code.size()
    }

    #[inline(always)]
    fn decode<T: Scalar>(&self, first: usize, bytes: &[u8], out: &mut [T]) {
        let size = self.size();
        self.runs(first, out.len().min(bytes.len() / size), |_, scale, range| {
            let out = &mut out[range.clone()];
            self.code.decode(&bytes[range.start * size..range.end * size], out);
            if let Some(scale) = scale {
                let scale = T::from_f64_lossy(scale.into());
                out.iter_mut().for_each(|x| *x *= scale);
            }
        });
        if let Some(group) = self.rotation {
            rotate(out, group);
        }
    }

    #[inline(always)]
    fn encode<T: Scalar>(&self, first: usize, values: &[T], out: &mut [u8]) {
        self.encode_by(self.rounding, first, values, out);
    }

    #[inline(always)]
    fn encode_unchanged<T: Scalar>(&self, first: usize, values: &[T], out: &mut [u8]) {
        self.encode_by(Rounding::Nearest, first, values, out);
    }
}

impl Encoding {
    #[inline(always)]
    fn encode_by<T: Scalar>(&self, rounding: Rounding, first: usize, values: &[T], out: &mut [u8]) {
        let size = self.size();
        self.in_basis(values, |start, values| {
            let out = &mut out[start * size..];
            self.runs(first + start, values.len(), |_, scale, range| {
                let out = &mut out[range.start * size..range.end * size];
                let number = self.offset + first + start + range.start;
                self.code.encode(&values[range], scale, rounding, number, out);
            });
        });
    }
}

/// The largest absolute values for each scale of some rows, from which new scales are made.
#[derive(Debug)]
pub(crate) struct Maxima {
    /// The number of the first scale.
    first: usize,
    values: Vec<f64>,
}

impl Maxima {
    /// Of rows of a weight, none looked at yet; one for a weight without scales.
    pub(crate) fn of_rows(encoding: &Encoding, rows: Range<usize>) -> Self {
        let scales = encoding.scales().map_or(0..1, |scales| {
            let before = encoding.offset / scales.columns();
            scales.of_rows(before + rows.start..before + rows.end)
        });
        Self { first: scales.start, values: vec![0.0; scales.len()] }
    }

    /// Of a whole weight.
    pub(crate) fn whole(scales: &Scales) -> Self {
        Self { first: 0, values: vec![0.0; scales.values.len()] }
    }

    /// Looks at values from element `first` on. Those that are not finite have no size.
    #[inline(always)]
    pub(crate) fn look_at<T: Scalar>(&mut self, encoding: &Encoding, first: usize, values: &[T]) {
        encoding.in_basis(values, |start, values| {
            encoding.runs(first + start, values.len(), |number, _, range| {
                let finite = |largest: T, x: &T| if x.is_finite() { largest.max(x.abs()) } else { largest };
                let largest = values[range].iter().fold(T::zero(), finite).to_f64_exact();
                let of_scale = &mut self.values[number - self.first];
                *of_scale = of_scale.max(largest);
            });
        });
    }

    /// Joins those of other rows of the same weight.
    pub(crate) fn join(&mut self, other: &Self) {
        for (i, &largest) in other.values.iter().enumerate() {
            let of_scale = &mut self.values[other.first + i - self.first];
            *of_scale = of_scale.max(largest);
        }
    }

    pub(super) fn values(&self) -> &[f64] {
        &self.values
    }
}
