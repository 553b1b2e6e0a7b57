//! The linear layer that stores its weight output-major.

use super::orientation::sealed::Stored;
use super::orientation::{Key, Orientation, Storage};
use super::parameters::Linear;

/// Weights stored as `(out, in)`: one row per output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OutputMajor;

/// A linear layer with its weights stored as `W (out, in)`: `y = activation(x·weightsᵀ + bias)`.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, FullyConnected, Layer};
/// use ndarray::array;
///
/// let weights = array![[1.0, 0.0], [0.0, 1.0], [2.0, -3.0]];
/// let layer = FullyConnected::from_arrays(weights, array![0.5, 0.5, 0.5], Activation::Relu)?;
/// assert_eq!((layer.input_size(), layer.output_size()), (2, 3));
/// assert_eq!(layer.predict(&array![[1.0, 2.0]])?, array![[1.5, 2.5, 0.0]]); // 2 − 6 + 0.5 < 0
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub type FullyConnected<T> = Linear<T, OutputMajor>;

impl Orientation for OutputMajor {}

impl Stored for OutputMajor {
    fn storage(_: Key) -> Storage {
        Storage::OutputMajor
    }
}
