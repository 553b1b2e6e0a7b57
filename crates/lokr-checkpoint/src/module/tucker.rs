//! Tucker's core, contracted with the factor of the inputs.

use lokr_core::Scalar;
use ndarray::{Array2, ArrayD};

use crate::file::{product, reshaped};

/// `C[i, y·K + k] = Σ_j core[i, j, k]·b[j, y]` for a core `(r₁, r₂, kernel…)` and `b (r₂, q)`: the right half
/// `(r₁, q·K)` of a low-rank factor.
///
/// It is the rule of LyCORIS's `rebuild_tucker` (`functional/general.py`), which ComfyUI follows.
pub(super) fn contracted<T: Scalar>(core: ArrayD<T>, b: &Array2<T>) -> Array2<T> {
    let (first, (second, q), kernel) = (core.shape()[0], b.dim(), product(&core.shape()[2..]));
    let core = reshaped(core, (first * second, kernel));
    let mut right = Array2::zeros((first, q * kernel));
    for (i, mut row) in right.rows_mut().into_iter().enumerate() {
        for (j, b_row) in b.rows().into_iter().enumerate() {
            let core_row = core.row(i * second + j);
            for (mut piece, &y) in row.exact_chunks_mut(kernel).into_iter().zip(b_row) {
                piece.scaled_add(y, &core_row);
            }
        }
    }
    right
}
