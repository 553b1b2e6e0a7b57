//! Inputs of any number of axes, the last of which holds a sample's values.

use lokr_core::Scalar;
use ndarray::{Array, ArrayRef, CowArray, Dimension, Ix2};

use super::traits::Layer;
use crate::error::{LayerError, Result};

/// `x` as rows of samples, `(samples, values)`: the last axis holds values, all others count samples, in the order of
/// the array. A vector is one sample. Copies where the memory does not lie so.
///
/// # Errors
/// [`LayerError::InvalidSetting`] for an array without axes.
/// # Examples
/// ```
/// use lokr_layers::as_rows;
/// use ndarray::{Array3, array};
///
/// let x = Array3::<f32>::zeros((2, 5, 7)); // a batch of two sequences of five
/// assert_eq!(as_rows(&x)?.dim(), (10, 7));
/// assert_eq!(as_rows(&array![1.0, 2.0])?, array![[1.0, 2.0]]);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub fn as_rows<T: Scalar, D: Dimension>(x: &ArrayRef<T, D>) -> Result<CowArray<'_, T, Ix2>> {
    let invalid = || LayerError::invalid("number of axes", x.ndim(), "at least 1, the last of which holds values");
    let (&values, samples) = x.shape().split_last().ok_or_else(invalid)?;
    // As many elements as there are, so the shape fits.
    x.to_shape((samples.iter().product(), values)).map_err(|_| invalid())
}

/// Inference on an array of any number of axes, the last of which holds a sample's values; the output has the same axes
/// but for the last.
///
/// # Errors
/// As [`as_rows`] and [`Layer::predict`].
/// # Examples
/// ```
/// use lokr_layers::{Activation, Dense, predict_axes};
/// use ndarray::{Array1, Array2, Array3};
///
/// let layer = Dense::<f64>::from_arrays(Array2::ones((7, 3)), Array1::zeros(3), Activation::Relu)?;
/// let y = predict_axes(&layer, &Array3::ones((2, 5, 7)))?;
/// assert_eq!(y, Array3::from_elem((2, 5, 3), 7.0));
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub fn predict_axes<T: Scalar, D: Dimension>(layer: &dyn Layer<T>, x: &ArrayRef<T, D>) -> Result<Array<T, D>> {
    let y = layer.predict(&as_rows(x)?)?;
    let mut shape = x.raw_dim();
    let last = shape.ndim() - 1; // `as_rows` has found an axis.
    shape[last] = layer.output_size();
    let found = y.dim();
    let misfit = LayerError::Shape { layer: layer.type_name(), argument: "y", expected: found, found };
    y.into_shape_with_order(shape).map_err(|_| misfit)
}
