//! Activations as nodes. In `f64` only operators that tract and onnxruntime have for it, but for that of gelu.

use std::f64::consts::FRAC_1_SQRT_2;

use lokr_core::Scalar;
use lokr_layers::Activation;

use crate::check::joined;
use crate::error::{ExportError, Result};
use crate::graph::{Attribute, Graph, Value, is_wide};

/// The activation of `z`.
///
/// # Errors
/// [`ExportError::Unsupported`] for one that this crate does not know.
pub(crate) fn activation<T: Scalar>(graph: &mut Graph, name: &str, of: Activation, z: Value) -> Result<Value> {
    let simple = |graph: &mut Graph, operator| graph.node(&joined(name, "activation"), operator, &[&z], Vec::new());
    Ok(match of {
        Activation::Relu => simple(graph, "Relu"),
        Activation::LeakyRelu { slope } => leaky_relu::<T>(graph, name, slope, &z),
        Activation::Gelu => gelu::<T>(graph, name, &z),
        Activation::Silu => {
            let gate = sigmoid::<T>(graph, name, &z);
            graph.node(&joined(name, "activation"), "Mul", &[&z, &gate], Vec::new())
        }
        Activation::Tanh => simple(graph, "Tanh"),
        Activation::Sigmoid => sigmoid::<T>(graph, name, &z),
        Activation::Softmax => {
            graph.node(&joined(name, "activation"), "Softmax", &[&z], vec![Attribute::Int("axis", -1)])
        }
        Activation::Identity => z,
        _ => return Err(unknown(name, of)),
    })
}

/// # Errors
/// As [`activation`].
pub(crate) fn check(name: &str, of: Activation) -> Result<()> {
    match of {
        Activation::Identity | Activation::Relu | Activation::LeakyRelu { .. } | Activation::Gelu => Ok(()),
        Activation::Silu | Activation::Tanh | Activation::Sigmoid | Activation::Softmax => Ok(()),
        _ => Err(unknown(name, of)),
    }
}

fn unknown(name: &str, of: Activation) -> ExportError {
    let reason = "this activation has no counterpart in ONNX that is known here";
    ExportError::Unsupported { name: name.to_owned(), layer: of.name(), reason }
}

/// `1/(1 + e⁻ᶻ)`.
fn sigmoid<T: Scalar>(graph: &mut Graph, name: &str, z: &str) -> Value {
    if !is_wide::<T>() {
        return graph.node(&joined(name, "sigmoid"), "Sigmoid", &[z], Vec::new());
    }
    let one = graph.number(&joined(name, "one"), T::one());
    let negative = graph.node(&joined(name, "negative"), "Neg", &[z], Vec::new());
    let power = graph.node(&joined(name, "exponential"), "Exp", &[&negative], Vec::new());
    let sum = graph.node(&joined(name, "denominator"), "Add", &[&power, &one], Vec::new());
    graph.node(&joined(name, "sigmoid"), "Reciprocal", &[&sum], Vec::new())
}

/// `max(z, 0) + slope·min(z, 0)`.
fn leaky_relu<T: Scalar>(graph: &mut Graph, name: &str, slope: f64, z: &str) -> Value {
    let slope = T::from_f64_lossy(slope);
    if !is_wide::<T>() {
        let alpha = Attribute::Float("alpha", slope.to_f64_exact() as f32); // It has been one.
        return graph.node(&joined(name, "activation"), "LeakyRelu", &[z], vec![alpha]);
    }
    let (zero, slope) = (graph.number(&joined(name, "zero"), T::zero()), graph.number(&joined(name, "slope"), slope));
    let positive = graph.node(&joined(name, "positive"), "Max", &[z, &zero], Vec::new());
    let negative = graph.node(&joined(name, "negative"), "Min", &[z, &zero], Vec::new());
    let scaled = graph.node(&joined(name, "scaled"), "Mul", &[&negative, &slope], Vec::new());
    graph.node(&joined(name, "activation"), "Add", &[&positive, &scaled], Vec::new())
}

/// `z·Φ(z)` with `Φ(z) = (1 + erf(z/√2))/2`.
fn gelu<T: Scalar>(graph: &mut Graph, name: &str, z: &str) -> Value {
    let number = |graph: &mut Graph, part: &str, value| graph.number(&joined(name, part), T::from_f64_lossy(value));
    let (half, one) = (number(graph, "half", 0.5), number(graph, "one", 1.0));
    let root = number(graph, "root_of_half", FRAC_1_SQRT_2);
    let scaled = graph.node(&joined(name, "scaled"), "Mul", &[z, &root], Vec::new());
    let erf = graph.node(&joined(name, "erf"), "Erf", &[&scaled], Vec::new());
    let twice = graph.node(&joined(name, "erf_plus_one"), "Add", &[&erf, &one], Vec::new());
    let product = graph.node(&joined(name, "twice"), "Mul", &[z, &twice], Vec::new());
    graph.node(&joined(name, "activation"), "Mul", &[&product, &half], Vec::new())
}
