//! Eigenvalues, and eigenvectors of symmetric and skew matrices.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd;
use faer::{Mat, Par};
use ndarray::{Array1, Array2, ArrayView2};
use num_complex::Complex;

use crate::convert::{to_faer, to_ndarray};
use crate::element::Element;

/// Eigenvalues, and eigenvectors as the columns of a matrix.
pub type Eigen<T, V> = (Array1<T>, Array2<V>);

/// Ascending eigenvalues and orthonormal eigenvectors (columns) of a symmetric matrix.
pub(crate) fn symmetric_eigen<T: Element>(matrix: ArrayView2<'_, T>) -> Option<Eigen<T, T>> {
    let size = matrix.nrows();
    let (mut values, mut vectors) = (Diag::zeros(size), Mat::zeros(size, size));
    let yes = evd::ComputeEigenvectors::Yes;
    let mut memory = MemBuffer::new(evd::self_adjoint_evd_scratch::<T>(size, yes, Par::Seq, Default::default()));
    let stack = MemStack::new(&mut memory);
    let (matrix, output) = (to_faer(matrix), Some(vectors.as_mut()));
    evd::self_adjoint_evd(matrix.as_ref(), values.as_mut(), output, Par::Seq, stack, Default::default()).ok()?;
    Some((values.column_vector().iter().copied().collect(), to_ndarray(vectors.as_ref())))
}

/// `matrix = U·diag(i·h)·Uᴴ` of a skew matrix, with `h` ascending and `U` unitary, from the Hermitian `−i·matrix`.
pub(crate) fn skew_eigen<T: Element>(matrix: ArrayView2<'_, T>) -> Option<Eigen<T, Complex<T>>> {
    let size = matrix.nrows();
    let hermitian = Mat::from_fn(size, size, |i, j| Complex::new(T::zero(), -matrix[[i, j]]));
    let (mut values, mut vectors) = (Diag::zeros(size), Mat::zeros(size, size));
    let yes = evd::ComputeEigenvectors::Yes;
    let scratch = evd::self_adjoint_evd_scratch::<Complex<T>>(size, yes, Par::Seq, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let (stack, output) = (MemStack::new(&mut memory), Some(vectors.as_mut()));
    evd::self_adjoint_evd(hermitian.as_ref(), values.as_mut(), output, Par::Seq, stack, Default::default()).ok()?;
    let values = values.column_vector().iter().map(|value: &Complex<T>| value.re).collect();
    Some((values, Array2::from_shape_fn((size, size), |(i, j)| vectors[(i, j)])))
}

/// The eigenvalues of a square matrix.
pub(crate) fn eigenvalues<T: Element>(matrix: ArrayView2<'_, T>) -> Option<Array1<Complex<T>>> {
    let size = matrix.nrows();
    let (mut re, mut im) = (Diag::zeros(size), Diag::zeros(size));
    let no = evd::ComputeEigenvectors::No;
    let mut memory = MemBuffer::new(evd::evd_scratch::<T>(size, no, no, Par::Seq, Default::default()));
    let (matrix, stack) = (to_faer(matrix), MemStack::new(&mut memory));
    evd::evd_real(matrix.as_ref(), re.as_mut(), im.as_mut(), None, None, Par::Seq, stack, Default::default()).ok()?;
    let parts = re.column_vector().iter().zip(im.column_vector().iter());
    Some(parts.map(|(&re, &im)| Complex::new(re, im)).collect())
}
