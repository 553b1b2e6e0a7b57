//! What an adapter refuses, wherever it is given it.

use lokr_core::{Factor, Scalar};

use super::halves::inner_rank;
use crate::error::{LayerError, Result};
use crate::layer::Layer;

/// The adapter's type, for messages.
pub(super) const TYPE_NAME: &str = "LoKrAdapter";

/// The shape `(out, in)` of the weight that the update is added to.
pub(super) fn weight_shape<T: Scalar, L: Layer<T>>(base: &L) -> Result<(usize, usize)> {
    let (layer, input_size, output_size) = (base.type_name(), base.input_size(), base.output_size());
    if input_size == 0 || output_size == 0 {
        return Err(LayerError::ZeroSize { layer, input_size, output_size });
    }
    let expected = (output_size, input_size);
    if let Some(linear) = base.as_linear() {
        LayerError::check_shape(layer, "weight", expected, linear.weight().dim())?;
    }
    Ok(expected)
}

pub(super) fn check_factor<T: Scalar>(
    argument: &'static str,
    expected: (usize, usize),
    factor: &Factor<'_, T>,
) -> Result<()> {
    LayerError::check_shape(TYPE_NAME, argument, expected, factor.dim())?;
    if inner_rank(factor) == Some(0) {
        return Err(LayerError::InvalidRank { rank: 0 });
    }
    factor.parts().try_for_each(|matrix| LayerError::check_finite(TYPE_NAME, argument, matrix.iter()))
}

pub(super) fn check_scaling<T: Scalar>(scaling: T) -> Result<()> {
    if scaling.is_finite() { Ok(()) } else { Err(LayerError::invalid("scaling", scaling, "a finite number")) }
}
