//! The activations that tests go through.

use super::Activation;

/// Every activation there is, the one with a setting at one value of it.
pub(crate) const ACTIVATIONS: [Activation; 8] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.1 },
    Activation::Gelu,
    Activation::Silu,
    Activation::Tanh,
    Activation::Sigmoid,
    Activation::Softmax,
];
