//! Which layers have a counterpart in ONNX.

use lokr_core::Scalar;
use lokr_layers::{Form, Layer};

use crate::activation;
use crate::error::{ExportError, Result};

/// Whether [`OnnxModel::new`](crate::OnnxModel::new) can write a network, and else which layer is in the way and why.
/// Nothing is computed.
///
/// # Errors
/// [`ExportError::Unsupported`] with the first such layer.
/// # Examples
/// ```
/// use lokr_layers::{Activation, Dense, Sequential};
/// use lokr_onnx::supports_export;
/// use ndarray::{Array1, Array2};
///
/// let layer = Dense::<f64>::from_arrays(Array2::zeros((3, 2)), Array1::zeros(2), Activation::Silu)?;
/// supports_export(&layer)?;
/// let error = supports_export(&Sequential::<f64>::empty()).unwrap_err();
/// assert_eq!(error.to_string(), "\"\" (Sequential) cannot be exported: it has no layers");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn supports_export<T: Scalar>(network: &dyn Layer<T>) -> Result<()> {
    check("", network)
}

fn check<T: Scalar>(name: &str, layer: &dyn Layer<T>) -> Result<()> {
    match layer.form() {
        Form::Embedding { .. } | Form::LayerNorm { .. } => Ok(()),
        Form::Dense(linear) | Form::FullyConnected(linear) | Form::Linear(linear) => {
            if linear.weight().dim() != (linear.output_size(), linear.input_size()) {
                let reason = "its weight has another shape than (outputs, inputs), so it is more than x·Wᵀ + bias";
                return Err(unsupported(name, layer, reason));
            }
            activation::check(name, linear.activation())
        }
        Form::Conv { linear, .. } => activation::check(name, linear.activation()),
        Form::Adapter(adapter) => check(&base_name(name), adapter.base()),
        Form::Shared(inner) => check(name, inner),
        Form::Sequence(layers) if layers.is_empty() => Err(unsupported(name, layer, "it has no layers")),
        Form::Sequence(layers) => layers.into_iter().try_for_each(|(own, layer)| check(&joined(name, own), layer)),
        _ => Err(unknown(name, layer)),
    }
}

/// A layer of a kind that this crate does not know.
pub(crate) fn unknown<T: Scalar>(name: &str, layer: &dyn Layer<T>) -> ExportError {
    unsupported(name, layer, "it does not say what it is made of, in a form that has a counterpart in ONNX")
}

fn unsupported<T: Scalar>(name: &str, layer: &dyn Layer<T>, reason: &'static str) -> ExportError {
    ExportError::Unsupported { name: name.to_owned(), layer: layer.type_name(), reason }
}

/// The name of a layer inside another, or of a value inside a layer.
pub(crate) fn joined(outer: &str, inner: &str) -> String {
    if outer.is_empty() { inner.to_owned() } else { format!("{outer}.{inner}") }
}

/// The name of an adapter's base where it has to differ from the adapter's.
pub(crate) fn base_name(adapter: &str) -> String {
    joined(adapter, "base")
}
