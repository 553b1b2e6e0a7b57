//! The linear layer that stores its weight input-major.

use super::orientation::sealed::Stored;
use super::orientation::{Key, Orientation, Storage};
use super::parameters::Linear;

/// Weights stored as `(in, out)`: one row per input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InputMajor;

/// A linear layer with its weights stored as `(in, out)`, the transpose of `W`: `y = activation(x·weights + bias)`.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, Dense, Layer};
/// use ndarray::array;
///
/// let layer = Dense::from_arrays(array![[1.0, 0.0, 2.0], [0.0, 1.0, -3.0]], array![0.5, 0.5, 0.5], Activation::Relu)?;
/// assert_eq!((layer.input_size(), layer.output_size()), (2, 3));
/// assert_eq!(layer.predict(&array![[1.0, 2.0]])?, array![[1.5, 2.5, 0.0]]); // 2 − 6 + 0.5 < 0
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub type Dense<T> = Linear<T, InputMajor>;

impl Orientation for InputMajor {}

impl Stored for InputMajor {
    fn storage(_: Key) -> Storage {
        Storage::InputMajor
    }
}
