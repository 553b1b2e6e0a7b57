//! Modules and tensors of computed matrices.

use lokr_core::Factor;
use ndarray::{Array2, ArrayBase, Data, Ix2};

use super::factor::{W1, W2};
use super::module::Module;
use super::suffix::DORA_SCALE;
use crate::error::Result;
use crate::file::{FloatType, Tensor, product};

/// What a module of computed factors is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewModule<'a> {
    pub(crate) name: &'a str,
    /// The kernel's sizes, empty for a linear layer.
    pub(crate) kernel: &'a [usize],
    /// The type to store.
    pub(crate) dtype: FloatType,
    pub(crate) scale: f64,
}

impl NewModule<'_> {
    /// The module of two factors, `b` flattened to `(p, q·K)`, each value rounded once to the type, which must hold
    /// them.
    pub(crate) fn of(&self, a: &Array2<f64>, b: &Factor<'_, f64>) -> Result<Module> {
        let Self { name, kernel, dtype, scale } = *self;
        let key = |factor| format!("{name}.{factor}");
        let w2 = match b {
            Factor::Full(b) => W2::Full(tensor_with_kernel(&key("lokr_w2"), b, kernel, dtype)?),
            Factor::LowRank(low) => W2::LowRank {
                a: Tensor::rounded(&key("lokr_w2_a"), &low.left(), dtype)?,
                b: Tensor::rounded(&key("lokr_w2_b"), &low.right(), dtype)?,
            },
        };
        Module::new(name, W1::Full(Tensor::rounded(&key("lokr_w1"), a, dtype)?), w2, scale)
    }
}

/// A matrix `(rows, columns·K)` as a tensor `(rows, columns, kernel…)`.
pub(crate) fn tensor_with_kernel(
    name: &str,
    matrix: &ArrayBase<impl Data<Elem = f64>, Ix2>,
    kernel: &[usize],
    dtype: FloatType,
) -> Result<Tensor> {
    let (rows, columns) = matrix.dim();
    let mut shape = vec![rows, columns / product(kernel).max(1)];
    shape.extend(kernel);
    Ok(Tensor::rounded(name, matrix, dtype)?.reshaped(shape))
}

/// The wider of the types in which a module's factors are stored.
pub(crate) fn stored_dtype(module: &Module) -> FloatType {
    let types = module.tensors().into_iter().filter(|(key, _)| *key != DORA_SCALE);
    let types = types.filter_map(|(_, tensor)| FloatType::from_dtype(tensor.dtype()));
    types.reduce(FloatType::wider).unwrap_or(FloatType::F32)
}
