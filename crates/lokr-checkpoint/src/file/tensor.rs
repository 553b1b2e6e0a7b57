//! One stored tensor.

use std::iter::Sum;
use std::ops::Range;
use std::sync::Arc;

use lokr_core::Scalar;
use ndarray::{ArrayBase, ArrayD, Data, Dimension, IxDyn};
use safetensors::Dtype;

use super::dtype::FloatType;
use super::mmap::Source;
use super::shape::{byte_size, product};
use crate::error::{FileError, Result};

/// A tensor as it is stored: element type, shape and little-endian bytes in row-major order, mapped or owned.
///
/// Cloning shares the bytes. Nothing is converted before [`Tensor::to_array`], so a tensor that is only passed on keeps
/// its bits.
///
/// # Examples
/// ```
/// use lokr_checkpoint::{Dtype, FloatType, Tensor};
/// use ndarray::array;
///
/// let tensor = Tensor::from_array(&array![[1.0f32, 2.5]], FloatType::Bf16);
/// assert_eq!((tensor.dtype(), tensor.shape()), (Dtype::BF16, &[1, 2][..]));
/// assert_eq!(tensor.to_array::<f32>("x")?, array![[1.0, 2.5]].into_dyn());
/// # Ok::<(), lokr_checkpoint::CheckpointError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    source: Arc<Source>,
    range: Range<usize>,
}

impl Tensor {
    /// A tensor of bytes; `name` is for the error.
    ///
    /// # Errors
    /// [`FileError::TensorSize`] or [`FileError::ShapeOverflow`] unless the bytes are as many as shape and type
    /// need.
    pub fn new(name: &str, dtype: Dtype, shape: Vec<usize>, bytes: Vec<u8>) -> Result<Self> {
        let (key, found) = (name.to_owned(), bytes.len());
        match byte_size(&shape, dtype) {
            None => Err(FileError::ShapeOverflow { key, shape }.into()),
            Some(expected) if expected != found => {
                Err(FileError::TensorSize { key, shape, dtype, expected, found }.into())
            }
            Some(_) => Ok(Self::at(Arc::new(Source::Owned(bytes)), dtype, shape, 0..found)),
        }
    }

    /// The values of an array of any layout, each rounded once to `dtype`.
    #[must_use]
    pub fn from_array<T: Scalar, S: Data<Elem = T>, D: Dimension>(array: &ArrayBase<S, D>, dtype: FloatType) -> Self {
        let mut bytes = vec![0; array.len() * dtype.size()];
        match array.as_slice() {
            Some(values) => dtype.encode(values, &mut bytes),
            None => dtype.encode(&array.iter().copied().collect::<Vec<_>>(), &mut bytes),
        }
        let range = 0..bytes.len();
        Self::at(Arc::new(Source::Owned(bytes)), dtype.dtype(), array.shape().to_vec(), range)
    }

    /// As [`Tensor::from_array`]; `name` is for the error.
    ///
    /// # Errors
    /// [`FileError::OutOfRange`] where finite values would become infinite, or all that are not zero zero.
    pub(crate) fn rounded<T: Scalar, S: Data<Elem = T>, D: Dimension>(
        name: &str,
        array: &ArrayBase<S, D>,
        dtype: FloatType,
    ) -> Result<Self> {
        let tensor = Self::from_array(array, dtype);
        let out_of_range = |count, too_large| {
            Err(FileError::OutOfRange { key: name.to_owned(), dtype: dtype.dtype(), count, too_large }.into())
        };
        let finite = array.iter().filter(|x| x.is_finite()).count();
        let overflows = (tensor.count_non_finite(name)? + finite).saturating_sub(array.len());
        if overflows > 0 {
            return out_of_range(overflows, true);
        }
        let nonzero = array.iter().filter(|x| !x.is_zero()).count();
        let left = || tensor.sum_of_blocks(name, |values| values.iter().filter(|&&x| x != 0.0).count());
        if nonzero > 0 && left()? == 0 {
            return out_of_range(nonzero, false);
        }
        Ok(tensor)
    }

    /// The tensor that lies there in a file whose header has been checked.
    pub(super) fn at(source: Arc<Source>, dtype: Dtype, shape: Vec<usize>, range: Range<usize>) -> Self {
        Self { dtype, shape, source, range }
    }

    /// The element type.
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The shape, empty for a single number.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements.
    #[must_use]
    pub fn element_count(&self) -> usize {
        self.shape.iter().product()
    }

    /// The stored bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.source[self.range.clone()]
    }

    /// The element type, where it is one to compute with; `name` is for the error.
    ///
    /// # Errors
    /// [`FileError::TensorDtype`].
    pub fn float_type(&self, name: &str) -> Result<FloatType> {
        FloatType::from_dtype(self.dtype)
            .ok_or_else(|| FileError::TensorDtype { key: name.to_owned(), dtype: self.dtype }.into())
    }

    /// The values, row-major. Exact, except that f64 is rounded where `T` is `f32`. `name` is for the error.
    ///
    /// # Errors
    /// [`FileError::TensorDtype`] unless the type is f16, bf16, f32 or f64.
    pub fn to_array<T: Scalar>(&self, name: &str) -> Result<ArrayD<T>> {
        let dtype = self.float_type(name)?;
        let mut array = ArrayD::zeros(IxDyn(&self.shape));
        if let Some(values) = array.as_slice_mut() {
            dtype.decode(self.bytes(), values);
        }
        Ok(array)
    }

    /// Some rows: a part of the first axis. They must be in the tensor.
    pub(crate) fn rows(&self, rows: Range<usize>) -> Self {
        let row = self.range.len() / self.shape[0].max(1);
        let start = self.range.start + rows.start * row;
        let shape = [&[rows.len()], &self.shape[1..]].concat();
        Self::at(self.source.clone(), self.dtype, shape, start..start + rows.len() * row)
    }

    /// Several tensors one below the other, of one type and the same shape but for the rows; `name` is for the error.
    pub(crate) fn stacked(name: &str, parts: &[Self]) -> Result<Self> {
        let first = &parts[0];
        if let Some(other) = parts.iter().find(|part| part.dtype != first.dtype) {
            return Err(FileError::TensorDtype { key: name.to_owned(), dtype: other.dtype }.into());
        }
        let rows = parts.iter().map(|part| part.shape[0]).sum();
        let bytes = parts.iter().flat_map(Self::bytes).copied().collect();
        Self::new(name, first.dtype, [&[rows], &first.shape[1..]].concat(), bytes)
    }

    /// The same bytes under another shape of as many elements.
    pub(crate) fn reshaped(&self, shape: Vec<usize>) -> Self {
        debug_assert_eq!(product(&shape), self.element_count());
        Self { shape, ..self.clone() }
    }

    /// The values times `s`, each rounded once to `dtype`; `name` is for the error, as in [`Tensor::rounded`].
    pub(crate) fn scaled(&self, name: &str, s: f64, dtype: FloatType) -> Result<Self> {
        let mut values = self.to_array::<f64>(name)?;
        if s != 1.0 {
            values *= s;
        }
        Self::rounded(name, &values, dtype)
    }

    /// How many values are NaN or infinite; `name` is for the error.
    ///
    /// # Errors
    /// [`FileError::TensorDtype`].
    pub fn count_non_finite(&self, name: &str) -> Result<usize> {
        self.sum_of_blocks(name, |values| values.iter().filter(|x| !x.is_finite()).count())
    }

    /// The Frobenius norm, summed in f64, in memory for a few values only; `name` is for the error.
    ///
    /// # Errors
    /// [`FileError::TensorDtype`].
    pub fn frobenius_norm(&self, name: &str) -> Result<f64> {
        Ok(self.sum_of_blocks(name, |values| values.iter().map(|x| x * x).sum::<f64>())?.sqrt())
    }

    /// The sum of what `of_block` gives for each block of values.
    fn sum_of_blocks<S: Sum>(&self, name: &str, of_block: impl Fn(&[f64]) -> S) -> Result<S> {
        let dtype = self.float_type(name)?;
        let mut block = [0f64; 1024];
        let blocks = self.bytes().chunks(block.len() * dtype.size());
        Ok(blocks
            .map(|bytes| {
                let values = &mut block[..bytes.len() / dtype.size()];
                dtype.decode(bytes, values);
                of_block(values)
            })
            .sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::CheckpointError;
    use ndarray::{Array2, array};

    #[test]
    fn bytes_must_fit_the_shape() {
        let error = Tensor::new("x", Dtype::F32, vec![2, 3], vec![0; 23]).unwrap_err();
        assert!(
            matches!(error, CheckpointError::File(FileError::TensorSize { expected: 24, found: 23, .. })),
            "{error}"
        );
        let error = Tensor::new("x", Dtype::F32, vec![usize::MAX, 2], vec![]).unwrap_err();
        assert!(matches!(error, CheckpointError::File(FileError::ShapeOverflow { .. })), "{error}");
        assert_eq!(Tensor::new("x", Dtype::I8, vec![2, 3], vec![0; 6]).unwrap().element_count(), 6);
    }

    #[test]
    fn any_layout_is_stored_row_major() {
        let a = array![[1.0f64, 2.0, 3.0], [4.0, 5.0, 6.0]];
        let t = Tensor::from_array(&a.t(), FloatType::F64);
        assert_eq!(t.shape(), [3, 2]);
        assert_eq!(t.to_array::<f64>("t").unwrap(), array![[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]].into_dyn());
    }

    #[test]
    fn integers_are_no_numbers_to_compute_with() {
        let t = Tensor::new("x", Dtype::I8, vec![2], vec![1, 2]).unwrap();
        let error = t.to_array::<f32>("x").unwrap_err();
        assert!(
            matches!(&error, CheckpointError::File(FileError::TensorDtype { key, dtype: Dtype::I8 }) if key == "x"),
            "{error}"
        );
        assert!(t.count_non_finite("x").is_err());
    }

    #[test]
    fn values_that_are_not_finite_are_counted_in_every_type() {
        let mut a = Array2::<f64>::ones((40, 60));
        (a[[0, 0]], a[[20, 20]], a[[39, 59]]) = (f64::NAN, f64::INFINITY, f64::NEG_INFINITY);
        for dtype in [FloatType::F16, FloatType::Bf16, FloatType::F32, FloatType::F64] {
            assert_eq!(Tensor::from_array(&a, dtype).count_non_finite("a").unwrap(), 3, "{dtype:?}");
        }
    }

    #[test]
    fn norms_are_those_of_all_blocks() {
        let mut a = Array2::<f64>::zeros((40, 60));
        (a[[0, 0]], a[[39, 59]]) = (3.0, -4.0);
        for dtype in [FloatType::F16, FloatType::Bf16, FloatType::F32, FloatType::F64] {
            assert_eq!(Tensor::from_array(&a, dtype).frobenius_norm("a").unwrap(), 5.0, "{dtype:?}");
        }
    }
}
