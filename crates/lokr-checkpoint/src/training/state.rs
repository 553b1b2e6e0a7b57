//! The state of a run as tensors, and back.

use std::collections::BTreeMap;

use lokr_core::Scalar;
use lokr_layers::TrainingState;
use ndarray::{ArrayD, arr0};
use safetensors::Dtype;

use crate::error::{FileError, Result};
use crate::file::{FloatType, Tensor, TensorFile};

/// What stands in front of the names of arrays, of numbers and of counts.
const ARRAY: &str = "array.";
const NUMBER: &str = "number.";
const COUNT: &str = "count.";

/// The tensors of a state, their names behind `prefix`.
pub(super) fn to_tensors<T: Scalar>(state: &TrainingState<T>, prefix: &str) -> Result<BTreeMap<String, Tensor>> {
    let mut tensors = BTreeMap::new();
    for (name, array) in &state.arrays {
        tensors.insert(format!("{prefix}{ARRAY}{name}"), Tensor::from_array(array, FloatType::of::<T>()));
    }
    for (name, number) in &state.numbers {
        tensors.insert(format!("{prefix}{NUMBER}{name}"), Tensor::from_array(&arr0(*number), FloatType::F64));
    }
    for (name, count) in &state.counts {
        let key = format!("{prefix}{COUNT}{name}");
        let tensor = Tensor::new(&key, Dtype::U64, Vec::new(), count.to_le_bytes().to_vec())?;
        tensors.insert(key, tensor);
    }
    Ok(tensors)
}

/// The state whose tensors have `prefix` in front of their names.
pub(super) fn from_tensors<T: Scalar>(file: &TensorFile, prefix: &str) -> Result<TrainingState<T>> {
    let mut state = TrainingState::default();
    for key in file.names() {
        let Some(name) = key.strip_prefix(prefix) else { continue };
        let tensor = file.tensor(key)?;
        if let Some(name) = name.strip_prefix(ARRAY) {
            state.arrays.insert(name.to_owned(), array(key, &tensor)?);
        } else if let Some(name) = name.strip_prefix(NUMBER) {
            let bytes = of_type(key, &tensor, Dtype::F64)?.bytes().try_into();
            state.numbers.insert(name.to_owned(), f64::from_le_bytes(bytes.map_err(|_| size(key, &tensor))?));
        } else if let Some(name) = name.strip_prefix(COUNT) {
            let bytes = of_type(key, &tensor, Dtype::U64)?.bytes().try_into();
            let bytes = bytes.map_err(|_| size(key, &tensor))?;
            state.counts.insert(name.to_owned(), u64::from_le_bytes(bytes));
        }
    }
    Ok(state)
}

/// The values of a tensor in the type that holds every bit of them.
pub(super) fn array<T: Scalar>(key: &str, tensor: &Tensor) -> Result<ArrayD<T>> {
    of_type(key, tensor, FloatType::of::<T>().dtype())?.to_array(key)
}

fn of_type<'t>(key: &str, tensor: &'t Tensor, expected: Dtype) -> Result<&'t Tensor, FileError> {
    if tensor.dtype() == expected {
        return Ok(tensor);
    }
    Err(FileError::OtherType { key: key.to_owned(), expected, found: tensor.dtype() })
}

fn size(key: &str, tensor: &Tensor) -> FileError {
    let (shape, dtype, found) = (tensor.shape().to_vec(), tensor.dtype(), tensor.bytes().len());
    FileError::TensorSize { key: key.to_owned(), shape, dtype, expected: size_of::<u64>(), found }
}
