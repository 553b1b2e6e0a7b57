//! What an adapter needs of a base.

use lokr_core::Scalar;

use crate::error::{LayerError, Result};
use crate::layer::Layer;
use crate::update::{DeltaPlacement, LoKrUpdate};

/// The shape `(out, in)` of the weight that the update is added to.
pub(crate) fn weight_shape<T: Scalar>(base: &dyn Layer<T>) -> Result<(usize, usize)> {
    let (layer, input_size, output_size) = (base.type_name(), base.input_size(), base.output_size());
    if input_size == 0 || output_size == 0 {
        return Err(LayerError::ZeroSize { layer, input_size, output_size });
    }
    // Over patches, a row of the output has a value for each place and row of the weight.
    let expected = match base.patches() {
        Some(patches) => (output_size / patches.places(), patches.width()),
        None => (output_size, input_size),
    };
    if let Some(linear) = base.as_linear() {
        LayerError::check_shape(layer, "weight", expected, linear.weight().dim())?;
    }
    Ok(expected)
}

/// Whether a base lets `update` enter there: one that decomposes the weight needs a weight.
pub(super) fn check_decomposition<T: Scalar>(
    base: &dyn Layer<T>,
    placement: DeltaPlacement,
    update: &LoKrUpdate<T>,
) -> Result<()> {
    if update.dora().is_none() {
        return Ok(());
    }
    let linear = base.as_linear().ok_or(LayerError::NotMergeable { layer: base.type_name() })?;
    if placement == DeltaPlacement::AfterActivation && !linear.activation().is_identity() {
        let expected = "BeforeActivation for an update that decomposes the weight";
        return Err(LayerError::invalid("placement", "AfterActivation", expected));
    }
    Ok(())
}
