//! The Hessenberg form.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::{evd, householder, qr::no_pivoting as qr};
use faer::{Conj, Mat, Par};
use ndarray::{Array2, ArrayView2};

use crate::convert::{to_faer, to_ndarray};
use crate::element::Element;

/// `matrix = Q·H·Qᵀ` with `H` zero below the first subdiagonal and `Q` orthogonal; `(H, Q)`. About `14/3·n³` flops.
pub(crate) fn hessenberg<T: Element>(matrix: ArrayView2<'_, T>) -> (Array2<T>, Array2<T>) {
    let size = matrix.nrows();
    debug_assert_eq!(size, matrix.ncols());
    if size <= 2 {
        return (matrix.to_owned(), Array2::eye(size));
    }
    let rest = size - 1;
    let mut h = to_faer(matrix);
    let block = qr::factor::recommended_block_size::<T>(rest, rest);
    let mut coefficients = Mat::zeros(block, rest);
    let settings = Default::default();
    let mut memory = MemBuffer::new(evd::hessenberg::hessenberg_in_place_scratch::<T>(size, block, Par::Seq, settings));
    let stack = MemStack::new(&mut memory);
    evd::hessenberg::hessenberg_in_place(h.as_mut(), coefficients.as_mut(), Par::Seq, stack, settings);

    let mut q = Mat::<T>::identity(size, size);
    let scratch = householder::apply_block_householder_sequence_on_the_right_in_place_scratch::<T>(rest, block, rest);
    let mut memory = MemBuffer::new(scratch);
    householder::apply_block_householder_sequence_on_the_right_in_place_with_conj(
        h.as_ref().submatrix(1, 0, rest, rest),
        coefficients.as_ref(),
        Conj::No,
        q.as_mut().submatrix_mut(1, 1, rest, rest),
        Par::Seq,
        MemStack::new(&mut memory),
    );
    let h = Array2::from_shape_fn((size, size), |(i, j)| if i <= j + 1 { h[(i, j)] } else { T::zero() });
    (h, to_ndarray(q.as_ref()))
}
