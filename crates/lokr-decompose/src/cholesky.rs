//! The Cholesky factor.

use faer::Par;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt;
use ndarray::{Array2, ArrayView2};

use crate::convert::to_faer;
use crate::element::Element;

/// The lower Cholesky factor of a symmetric matrix, or `None` when it is not positive definite.
pub(crate) fn cholesky_lower<T: Element>(matrix: ArrayView2<'_, T>) -> Option<Array2<T>> {
    let mut lower = to_faer(matrix);
    let scratch = llt::factor::cholesky_in_place_scratch::<T>(matrix.nrows(), Par::Seq, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    let (none, settings) = (Default::default(), Default::default());
    llt::factor::cholesky_in_place(lower.as_mut(), none, Par::Seq, stack, settings).ok()?;
    let lower = Array2::from_shape_fn(matrix.dim(), |(i, j)| if i >= j { lower[(i, j)] } else { T::zero() });
    lower.diag().iter().all(|&pivot| pivot > T::zero()).then_some(lower)
}
