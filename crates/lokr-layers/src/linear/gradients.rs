//! The gradients of a linear layer's weight and bias, added up over backward passes.

use lokr_core::{Scalar, matmul_into, memory};
use ndarray::{Array1, Array2, ArrayRef2};

use super::orientation::Storage;
use crate::error::Result;

/// Gradients in the shapes of the parameters as stored. Made by the first backward, then kept.
#[derive(Debug, Clone)]
pub(super) struct Gradients<T> {
    pub(super) weights: Array2<T>,
    pub(super) bias: Array1<T>,
    /// Whether they hold a sum; if not, the next one overwrites them.
    pub(super) present: bool,
}

/// Adds `dzᵀ·x` and the column sums of `dz`; the shapes must have been checked. Without a bias there are
/// no sums.
pub(super) fn accumulate<T: Scalar>(
    storage: Storage,
    biased: bool,
    gradients: &mut Option<Gradients<T>>,
    x: &ArrayRef2<T>,
    dz: &ArrayRef2<T>,
) -> Result<()> {
    let gradients = match gradients {
        Some(gradients) => gradients,
        None => gradients.insert(Gradients {
            weights: memory::zeros("gradients", storage.swap_dim((dz.ncols(), x.ncols())))?,
            bias: Array1::zeros(dz.ncols()),
            present: false,
        }),
    };
    let beta = if gradients.present { T::one() } else { T::zero() };
    matmul_into(T::one(), &dz.t(), x, beta, &mut storage.out_by_in_mut(gradients.weights.view_mut()))?;
    if !gradients.present {
        gradients.bias.fill(T::zero());
    }
    if biased {
        for row in dz.rows() {
            gradients.bias += &row;
        }
    }
    gradients.present = true;
    Ok(())
}
