//! Layers as nodes.

use lokr_core::Scalar;
use lokr_layers::{Form, Layer, LinearLayer};
use ndarray::ArrayView2;

use crate::check::{joined, unknown};
use crate::error::Result;
use crate::graph::{Attribute, Graph, Value, is_wide};
use crate::{activation, adapter, conv, plain};

/// The output of `layer`, whose values have `name` in front of theirs, for the input `x`.
pub(crate) fn layer<T: Scalar>(graph: &mut Graph, name: &str, layer: &dyn Layer<T>, x: Value) -> Result<Value> {
    match layer.form() {
        Form::Dense(linear) | Form::FullyConnected(linear) | Form::Linear(linear) => {
            let z = pre_activation(graph, name, linear, x, true)?;
            activation::activation::<T>(graph, name, linear.activation(), z)
        }
        Form::Conv { linear, patches, .. } => conv::layer(graph, name, linear, patches, &x),
        Form::Adapter(adapter) => match (adapter.patches(), adapter.as_linear()) {
            (Some(patches), Some(linear)) => conv::layer(graph, name, linear, patches, &x),
            _ => adapter::adapter(graph, name, adapter, x),
        },
        Form::Shared(inner) => self::layer(graph, name, inner, x),
        Form::Sequence(layers) => {
            layers.into_iter().try_fold(x, |x, (own, inner)| self::layer(graph, &joined(name, own), inner, x))
        }
        Form::Embedding { table, columns, passed } => Ok(plain::embedding(graph, name, table, (columns, passed), &x)),
        Form::LayerNorm { weight, bias, pieces, epsilon } => {
            Ok(plain::layer_norm(graph, name, (weight, bias), (pieces, T::from_f64_lossy(epsilon)), &x))
        }
        _ => Err(unknown(name, layer)),
    }
}

/// `x·Wᵀ + bias` of a linear layer, adapters included, or without the bias.
pub(crate) fn pre_activation<T: Scalar>(
    graph: &mut Graph,
    name: &str,
    linear: &dyn LinearLayer<T>,
    x: Value,
    with_bias: bool,
) -> Result<Value> {
    match linear.form() {
        Form::Adapter(inner) => adapter::pre_activation(graph, name, inner, x, with_bias),
        Form::Shared(inner) => match inner.as_linear() {
            Some(linear) => pre_activation(graph, name, linear, x, with_bias),
            None => Err(unknown(name, inner)),
        },
        // The weight as it is stored, as in the network's own files.
        Form::Dense(_) => Ok(gemm(graph, name, linear, (linear.weight().reversed_axes(), 0), x, with_bias)),
        _ => Ok(gemm(graph, name, linear, (linear.weight(), 1), x, with_bias)),
    }
}

/// `x·Wᵀ + bias`. In `f64` not by `Gemm`, whose bias tract takes for `f32`.
fn gemm<T: Scalar>(
    graph: &mut Graph,
    name: &str,
    linear: &dyn LinearLayer<T>,
    (weight, transposed): (ArrayView2<'_, T>, i64),
    x: Value,
    with_bias: bool,
) -> Value {
    let weight = graph.constant(&joined(name, "weight"), weight);
    let bias = (with_bias && linear.has_bias()).then(|| graph.constant(&joined(name, "bias"), linear.bias()));
    if is_wide::<T>() {
        let factor = match transposed {
            0 => weight,
            _ => graph.node(&joined(name, "weight.transposed"), "Transpose", &[&weight], Vec::new()),
        };
        let product = graph.node(&joined(name, "product"), "MatMul", &[&x, &factor], Vec::new());
        return match bias {
            Some(bias) => graph.node(&joined(name, "linear"), "Add", &[&product, &bias], Vec::new()),
            None => product,
        };
    }
    let mut inputs = vec![x.as_str(), &weight];
    inputs.extend(bias.as_deref());
    graph.node(&joined(name, "linear"), "Gemm", &inputs, vec![Attribute::Int("transB", transposed)])
}
