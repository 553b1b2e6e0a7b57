//! How many elements and bytes a shape has.

use safetensors::Dtype;

/// The product of sizes, at most `usize::MAX`.
pub(crate) fn product(sizes: &[usize]) -> usize {
    sizes.iter().fold(1, |n, &size| n.saturating_mul(size))
}

/// Bytes of a tensor, or `None` where their number overflows or is no whole number.
pub(super) fn byte_size(shape: &[usize], dtype: Dtype) -> Option<usize> {
    // Axes of length 0 are left out: no array can have the others if their product alone is too large.
    let elements = shape.iter().filter(|&&axis| axis > 0).try_fold(1usize, |n, &axis| n.checked_mul(axis))?;
    let bits = elements.checked_mul(dtype.bitsize())?;
    match shape.contains(&0) {
        true => Some(0),
        false => bits.is_multiple_of(8).then_some(bits / 8),
    }
}
