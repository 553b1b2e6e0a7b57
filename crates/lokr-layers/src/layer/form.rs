//! What a layer is made of, without its type.

use lokr_core::Scalar;
use ndarray::{ArrayView1, ArrayView2, ArrayViewD};

use super::traits::{Adapter, Layer, LinearLayer};
use crate::patches::Patches;

/// What a layer is made of, for whoever has to write it in another form: as a file of another program, as one that
/// only infers. [`Layer::form`] gives it for every layer of this crate, whatever boxes are around it.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, Dense, Form, Layer, LoKrAdapter};
/// use ndarray::{Array1, Array2};
///
/// let base = Dense::<f32>::from_arrays(Array2::zeros((6, 4)), Array1::zeros(4), Activation::Relu)?;
/// let layer: Box<dyn Layer<f32>> = Box::new(LoKrAdapter::new(base, 2, None, true)?);
/// let Form::Adapter(adapter) = layer.form() else { panic!("this is an adapter") };
/// assert!(matches!(adapter.base().form(), Form::Dense(linear) if linear.activation() == Activation::Relu));
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[non_exhaustive]
pub enum Form<'l, T: Scalar> {
    /// [`crate::Dense`].
    Dense(&'l dyn LinearLayer<T>),
    /// [`crate::FullyConnected`].
    FullyConnected(&'l dyn LinearLayer<T>),
    /// Another layer `activation(x·Wᵀ + bias)`.
    Linear(&'l dyn LinearLayer<T>),
    /// [`crate::Conv`].
    Conv {
        /// The weight `(out, channels/groups, kernel…)`.
        weight: ArrayViewD<'l, T>,
        /// The layer over patches, with the weight as a matrix, the bias, one number for each channel of output, and
        /// the activation, which is that of whole rows of the output.
        linear: &'l dyn LinearLayer<T>,
        /// The sizes: [`Patches::sizes`].
        patches: &'l Patches,
    },
    /// An adapter around another layer.
    Adapter(&'l dyn Adapter<T>),
    /// Layers with names, one after the other.
    Sequence(Vec<(&'l str, &'l dyn Layer<T>)>),
    /// A frozen layer whose values others may share.
    Shared(&'l dyn Layer<T>),
    /// [`crate::Embedding`].
    Embedding {
        /// A row for each token, `(tokens, values)`.
        table: ArrayView2<'l, T>,
        /// Columns of the input that are tokens.
        columns: usize,
        /// Columns behind them that are passed through.
        passed: usize,
    },
    /// [`crate::LayerNorm`].
    LayerNorm {
        /// What the values of a piece are multiplied by.
        weight: ArrayView1<'l, T>,
        /// What is added to them.
        bias: ArrayView1<'l, T>,
        /// Pieces of a row.
        pieces: usize,
        /// Added to the variance.
        epsilon: f64,
    },
    /// A layer that does not say.
    Unknown,
}
