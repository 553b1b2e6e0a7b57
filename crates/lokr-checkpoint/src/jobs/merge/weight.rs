//! One weight, from the base to the output: computed in chunks on all threads, each of which writes what it has
//! computed.

use lokr_core::Scalar;
use rayon::prelude::*;

use super::guard::Expected;
use super::limits::CHUNK;
use super::report::Measured;
use super::rows::{MergeRows, Sums};
use super::steps::{Applied, Steps};
use crate::error::Result;
use crate::file::{FloatType, Tensor, TensorWriter};

/// Computes a weight and writes it: the next bytes of the tensor `name`, all of them or a part.
pub(super) fn merge_weight<T: Scalar>(
    writer: &mut TensorWriter,
    name: &str,
    base: &Tensor,
    dtype: FloatType,
    applied: &[Applied<'_>],
) -> Result<Measured> {
    let steps = Steps::<T>::new(applied, base, dtype)?;
    let expected = Expected::new(&steps)?;
    let rows = (CHUNK / steps.columns).clamp(1, steps.rows);
    let row_bytes = steps.columns * dtype.size();
    let chunk_bytes = rows * row_bytes;
    let chunks: Vec<_> = writer.write_pieces(name, base.bytes().len(), |pieces| {
        let chunks = base.bytes().par_chunks(chunk_bytes).enumerate();
        let merge = |buffer: &mut Vec<u8>, (index, base): (usize, &[u8])| {
            let (first, out) = (index * rows, &mut buffer[..base.len()]);
            let rows = first..first + base.len() / row_bytes;
            let sums = MergeRows { steps: &steps, expected: &expected, dtype, rows, base, out: &mut *out }.run();
            pieces.write(index * chunk_bytes, out)?;
            Ok(sums)
        };
        chunks.map_init(|| vec![0; chunk_bytes], merge).collect::<Result<_>>()
    })?;
    // In the order of rows, whichever thread computed them.
    let mut sums = Sums::default();
    chunks.into_iter().for_each(|chunk| sums.append(chunk));
    sums.finish(name, dtype, &expected)
}
