//! Orthonormal columns and a triangle.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::{householder, qr::no_pivoting as qr};
use faer::{Conj, Mat, Par};
use ndarray::{Array2, ArrayView2};

use crate::convert::{to_faer, to_ndarray};
use crate::element::Element;

/// `matrix = Q·R` with `Q (rows, cols)` of orthonormal columns and `R` upper triangular; needs `rows ≥ cols`.
pub(crate) fn thin_qr<T: Element>(matrix: ArrayView2<'_, T>) -> (Array2<T>, Array2<T>) {
    let (rows, cols) = matrix.dim();
    debug_assert!(rows >= cols);
    if cols == 0 {
        return (Array2::zeros((rows, 0)), Array2::zeros((0, 0)));
    }
    let mut packed = to_faer(matrix);
    let block = qr::factor::recommended_block_size::<T>(rows, cols);
    let mut coefficients = Mat::zeros(block, cols);
    let scratch = qr::factor::qr_in_place_scratch::<T>(rows, cols, block, Par::Seq, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    qr::factor::qr_in_place(packed.as_mut(), coefficients.as_mut(), Par::Seq, stack, Default::default());

    let mut q = Mat::<T>::identity(rows, cols);
    let scratch = householder::apply_block_householder_sequence_on_the_left_in_place_scratch::<T>(rows, block, cols);
    let mut memory = MemBuffer::new(scratch);
    householder::apply_block_householder_sequence_on_the_left_in_place_with_conj(
        packed.as_ref(),
        coefficients.as_ref(),
        Conj::No,
        q.as_mut(),
        Par::Seq,
        MemStack::new(&mut memory),
    );
    let r = Array2::from_shape_fn((cols, cols), |(i, j)| if i <= j { packed[(i, j)] } else { T::zero() });
    (to_ndarray(q.as_ref()), r)
}
