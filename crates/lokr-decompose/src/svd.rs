//! Singular values and vectors.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::svd;
use faer::{Mat, Par};
use ndarray::{Array1, Array2, ArrayView2};

use crate::convert::{to_faer, to_ndarray};
use crate::element::Element;

/// `matrix = u · diag(s) · vᵀ` with `s` descending and orthonormal columns in `u (rows, k)` and `v (cols, k)`.
#[derive(Debug, Clone)]
pub struct ThinSvd<T> {
    /// Left vectors, `(rows, k)`.
    pub u: Array2<T>,
    /// Singular values, `k`.
    pub s: Array1<T>,
    /// Right vectors, `(cols, k)`.
    pub v: Array2<T>,
}

/// The thin singular value decomposition; `k` is the smaller side.
pub(crate) fn thin_svd<T: Element>(matrix: ArrayView2<'_, T>) -> Option<ThinSvd<T>> {
    let (rows, cols) = matrix.dim();
    let size = rows.min(cols);
    let (mut u, mut s, mut v) = (Mat::zeros(rows, size), Diag::zeros(size), Mat::zeros(cols, size));
    let thin = svd::ComputeSvdVectors::Thin;
    let mut memory = MemBuffer::new(svd::svd_scratch::<T>(rows, cols, thin, thin, Par::Seq, Default::default()));
    let stack = MemStack::new(&mut memory);
    let (matrix, outputs) = (to_faer(matrix), (Some(u.as_mut()), Some(v.as_mut())));
    svd::svd(matrix.as_ref(), s.as_mut(), outputs.0, outputs.1, Par::Seq, stack, Default::default()).ok()?;
    let s = s.column_vector().iter().copied().collect();
    Some(ThinSvd { u: to_ndarray(u.as_ref()), s, v: to_ndarray(v.as_ref()) })
}

/// The singular values, descending, as many as the smaller side.
pub(crate) fn singular_values<T: Element>(matrix: ArrayView2<'_, T>) -> Option<Array1<T>> {
    let (rows, cols) = matrix.dim();
    let mut s = Diag::zeros(rows.min(cols));
    let no = svd::ComputeSvdVectors::No;
    let scratch = svd::svd_scratch::<T>(rows, cols, no, no, Par::Seq, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    svd::svd(to_faer(matrix).as_ref(), s.as_mut(), None, None, Par::Seq, stack, Default::default()).ok()?;
    Some(s.column_vector().iter().copied().collect())
}
