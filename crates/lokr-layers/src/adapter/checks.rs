//! What an adapter refuses of a base.

use lokr_core::Scalar;

use crate::error::{LayerError, Result};
use crate::layer::Layer;

/// The shape `(out, in)` of the weight that the update is added to.
pub(super) fn weight_shape<T: Scalar>(base: &dyn Layer<T>) -> Result<(usize, usize)> {
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
