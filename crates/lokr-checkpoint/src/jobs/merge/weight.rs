//! One weight, from the base to the output: computed in chunks on all threads, each of which writes what it has
//! computed.

use lokr_core::Scalar;
use rayon::prelude::*;
use safetensors::Dtype;

use super::guard::Expected;
use super::limits::CHUNK;
use super::report::Measured;
use super::rows::{MergeRows, Sums, overflows};
use super::steps::{Applied, Steps};
use crate::error::{FileError, Result};
use crate::file::{FloatType, TensorWriter, product, rows_mut};
use crate::quantized::{Codec, Encoding, Maxima, Weight};

/// Where rows of a weight go, and how they are stored there.
pub(super) struct Target<'a> {
    pub(super) writer: &'a mut TensorWriter,
    /// The tensor.
    pub(super) name: &'a str,
    /// Its type, for messages.
    pub(super) dtype: Dtype,
    pub(super) encoding: &'a Encoding,
}

/// Computes a weight and writes it: the next bytes of the tensor, all of them or a part.
pub(super) fn merge_weight(target: Target<'_>, base: &Weight, applied: &[Applied<'_>]) -> Result<Measured> {
    let to = target.encoding;
    match (base.encoding.unquantized(), to.unquantized()) {
        (Some(from @ FloatType::F64), Some(to @ FloatType::F64)) => {
            merge_as::<f64, _>(target, base, &from, &to, applied)
        }
        (Some(from), Some(to)) if from == to => merge_as::<f32, _>(target, base, &from, &to, applied),
        _ => merge_as::<f32, _>(target, base, &base.encoding, to, applied),
    }
}

fn merge_as<T: Scalar, C: Codec>(
    target: Target<'_>,
    base: &Weight,
    from: &C,
    to: &C,
    applied: &[Applied<'_>],
) -> Result<Measured> {
    let steps = Steps::<T>::new(applied, base)?;
    let expected = Expected::new(&steps)?;
    let rows = (CHUNK / steps.columns).clamp(1, steps.rows);
    let (row_bytes, out_bytes) = (steps.columns * from.size(), steps.columns * to.size());
    let chunks: Vec<_> = target.writer.write_pieces(target.name, steps.rows * out_bytes, |pieces| {
        let chunks = base.tensor.bytes().par_chunks(rows * row_bytes).enumerate();
        let merge = |buffer: &mut Vec<u8>, (index, base): (usize, &[u8])| {
            let count = base.len() / row_bytes;
            let out = &mut buffer[..count * out_bytes];
            let range = index * rows..index * rows + count;
            let sums =
                MergeRows { steps: &steps, expected: &expected, from, to, rows: range, base, out: &mut *out }.run();
            pieces.write(index * rows * out_bytes, out)?;
            Ok(sums)
        };
        chunks.map_init(|| vec![0; rows * out_bytes], merge).collect::<Result<_>>()
    })?;
    // In the order of rows, whichever thread computed them.
    let mut sums = Sums::default();
    chunks.into_iter().for_each(|chunk| sums.append(chunk));
    sums.finish::<T, C>(target.name, target.dtype, &expected)
}

/// Writes a weight that nothing changes, stored in another way.
pub(super) fn recode(target: Target<'_>, weight: &Weight) -> Result<()> {
    let (from, to) = (&weight.encoding, target.encoding);
    let elements = weight.tensor.element_count();
    let columns = product(&weight.tensor.shape()[1..]).max(1);
    // Whole rows, so that blocks and rotated groups are whole.
    let chunk = (CHUNK / columns).max(1) * columns;
    let count: Vec<usize> = target.writer.write_pieces(target.name, elements * to.size(), |pieces| {
        let chunks = weight.tensor.bytes().par_chunks(chunk * from.size()).enumerate();
        let recode = |(index, stored): (usize, &[u8])| {
            let (first, length) = (index * chunk, stored.len() / from.size());
            let (mut values, mut out) = (vec![0f32; length], vec![0; length * to.size()]);
            from.decode(first, stored, &mut values);
            to.encode(first, &values, &mut out);
            pieces.write(first * to.size(), &out)?;
            let mut rounded = vec![0f32; length];
            to.decode(first, &out, &mut rounded);
            Ok(overflows(&rounded, &values))
        };
        chunks.map(recode).collect::<Result<_>>()
    })?;
    match count.into_iter().sum() {
        0 => Ok(()),
        count => {
            let (key, dtype) = (target.name.to_owned(), target.dtype);
            Err(FileError::OutOfRange { key, dtype, count, too_large: true }.into())
        }
    }
}

/// The largest values that rows of a weight will have, for each scale of `scaled`, which begins where they do.
pub(super) fn look_at_rows(
    maxima: &mut Maxima,
    scaled: &Encoding,
    base: &Weight,
    applied: &[Applied<'_>],
) -> Result<()> {
    let steps = Steps::<f32>::new(applied, base)?;
    let rows = (CHUNK / steps.columns.max(1)).clamp(1, steps.rows.max(1));
    let row_bytes = (steps.columns * base.encoding.size()).max(1);
    let look = |(index, stored): (usize, &[u8])| {
        let range = index * rows..index * rows + stored.len() / row_bytes;
        let first = range.start * steps.columns;
        let mut values = vec![0f32; stored.len() / base.encoding.size()];
        base.encoding.decode(first, stored, &mut values);
        steps.apply(&mut rows_mut(&mut values, steps.columns), range.clone());
        let mut largest = Maxima::of_rows(scaled, range);
        largest.look_at(scaled, first, &values);
        largest
    };
    let chunks: Vec<_> = base.tensor.bytes().par_chunks(rows * row_bytes).enumerate().map(look).collect();
    chunks.iter().for_each(|chunk| maxima.join(chunk));
    Ok(())
}
