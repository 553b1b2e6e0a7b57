//! Small dense decompositions by `faer`, from and to `ndarray`.
//!
//! Everything runs on the calling thread. The matrices are factors and therefore small, and the bits depend neither on
//! the number of threads nor on faer's global setting.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::{cholesky::llt, evd, householder, lu::partial_pivoting as lu, qr::no_pivoting as qr, svd};
use faer::perm::PermRef;
use faer::{Conj, Mat, MatMut, MatRef, Par};
use ndarray::{Array1, Array2, ArrayView2};

use crate::error::{KronError, Result};
use crate::operator::Factor;
use crate::scalar::Scalar;

fn to_faer<T: Scalar>(matrix: ArrayView2<'_, T>) -> Mat<T> {
    Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| matrix[[i, j]])
}

fn to_ndarray<T: Scalar>(matrix: MatRef<'_, T>) -> Array2<T> {
    Array2::from_shape_fn((matrix.nrows(), matrix.ncols()), |(i, j)| matrix[(i, j)])
}

/// [`KronError::NoConvergence`] when a value is infinite or not a number: the iterations could not end well.
fn check_finite<T: Scalar>(operation: &'static str, name: &'static str, factor: &Factor<'_, T>) -> Result<()> {
    let finite = factor.parts().all(|part| part.iter().all(|value| value.is_finite()));
    if finite { Ok(()) } else { Err(KronError::NoConvergence { operation, name }) }
}

/// `matrix = u · diag(s) · vᵀ` with `s` descending and orthonormal columns in `u (rows, k)` and `v (cols, k)`.
#[derive(Debug, Clone)]
pub(crate) struct ThinSvd<T> {
    pub(crate) u: Array2<T>,
    pub(crate) s: Array1<T>,
    pub(crate) v: Array2<T>,
}

/// The thin singular value decomposition of a factor; `k` is its rank bound, [`Factor::rank_bound`].
///
/// A low-rank factor is never formed: with `left = Q_l·R_l` and `rightᵀ = Q_r·R_r` the singular values are those of the
/// small `R_l·R_rᵀ`.
pub(crate) fn thin_svd<T: Scalar>(
    operation: &'static str,
    name: &'static str,
    factor: &Factor<'_, T>,
) -> Result<ThinSvd<T>> {
    check_finite(operation, name, factor)?;
    match core(factor) {
        None => dense_svd(operation, name, factor.dense().view()),
        Some(Core { q_left, core, q_right }) => {
            let ThinSvd { u, s, v } = dense_svd(operation, name, core.view())?;
            Ok(ThinSvd { u: q_left.dot(&u), s, v: q_right.dot(&v) })
        }
    }
}

/// The singular values of a factor, descending, as many as its rank bound.
pub(crate) fn singular_values<T: Scalar>(
    operation: &'static str,
    name: &'static str,
    factor: &Factor<'_, T>,
) -> Result<Array1<T>> {
    check_finite(operation, name, factor)?;
    let matrix = core(factor).map_or_else(|| factor.to_dense(), |core| core.core);
    let (rows, cols) = matrix.dim();
    let mut s = Diag::zeros(rows.min(cols));
    let no = svd::ComputeSvdVectors::No;
    let scratch = svd::svd_scratch::<T>(rows, cols, no, no, Par::Seq, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    svd::svd(to_faer(matrix.view()).as_ref(), s.as_mut(), None, None, Par::Seq, stack, Default::default())
        .map_err(|_| KronError::NoConvergence { operation, name })?;
    Ok(s.column_vector().iter().copied().collect())
}

fn dense_svd<T: Scalar>(operation: &'static str, name: &'static str, matrix: ArrayView2<'_, T>) -> Result<ThinSvd<T>> {
    let (rows, cols) = matrix.dim();
    let size = rows.min(cols);
    let (mut u, mut s, mut v) = (Mat::zeros(rows, size), Diag::zeros(size), Mat::zeros(cols, size));
    let thin = svd::ComputeSvdVectors::Thin;
    let mut memory = MemBuffer::new(svd::svd_scratch::<T>(rows, cols, thin, thin, Par::Seq, Default::default()));
    let stack = MemStack::new(&mut memory);
    let (matrix, outputs) = (to_faer(matrix), (Some(u.as_mut()), Some(v.as_mut())));
    svd::svd(matrix.as_ref(), s.as_mut(), outputs.0, outputs.1, Par::Seq, stack, Default::default())
        .map_err(|_| KronError::NoConvergence { operation, name })?;
    let s = s.column_vector().iter().copied().collect();
    Ok(ThinSvd { u: to_ndarray(u.as_ref()), s, v: to_ndarray(v.as_ref()) })
}

/// A low-rank matrix as `q_left · core · q_rightᵀ` with orthonormal columns outside and a small `core (r, r)`.
pub(crate) struct Core<T> {
    q_left: Array2<T>,
    pub(crate) core: Array2<T>,
    q_right: Array2<T>,
}

/// The core of a low-rank factor whose halves are both longer than its inner size; `None` where it would save nothing.
/// Cost: `4·(rows + cols)·r²` flops, against `2·rows·cols·r` for forming the factor.
pub(crate) fn core<T: Scalar>(factor: &Factor<'_, T>) -> Option<Core<T>> {
    let Factor::LowRank(low) = factor else { return None };
    let (rows, cols) = factor.dim();
    if low.rank() >= rows.min(cols) {
        return None;
    }
    let (q_left, r_left) = thin_qr(low.left());
    let (q_right, r_right) = thin_qr(low.right().reversed_axes());
    Some(Core { q_left, core: r_left.dot(&r_right.t()), q_right })
}

/// `matrix = Q·R` with `Q (rows, cols)` of orthonormal columns and `R` upper triangular; needs `rows ≥ cols`.
fn thin_qr<T: Scalar>(matrix: ArrayView2<'_, T>) -> (Array2<T>, Array2<T>) {
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

/// Ascending eigenvalues and orthonormal eigenvectors (columns) of a symmetric factor, which must be square.
///
/// # Errors
/// [`KronError::NotSymmetric`] as [`symmetric_dense`] says; [`KronError::NoConvergence`].
pub(crate) fn symmetric_eigen<T: Scalar>(
    operation: &'static str,
    name: &'static str,
    factor: &Factor<'_, T>,
) -> Result<(Array1<T>, Array2<T>)> {
    let matrix = symmetric_dense(operation, name, factor)?;
    check_finite(operation, name, factor)?;
    let size = matrix.nrows();
    let (mut values, mut vectors) = (Diag::zeros(size), Mat::zeros(size, size));
    let yes = evd::ComputeEigenvectors::Yes;
    let mut memory = MemBuffer::new(evd::self_adjoint_evd_scratch::<T>(size, yes, Par::Seq, Default::default()));
    let stack = MemStack::new(&mut memory);
    let (matrix, output) = (to_faer(matrix.view()), Some(vectors.as_mut()));
    evd::self_adjoint_evd(matrix.as_ref(), values.as_mut(), output, Par::Seq, stack, Default::default())
        .map_err(|_| KronError::NoConvergence { operation, name })?;
    Ok((values.column_vector().iter().copied().collect(), to_ndarray(vectors.as_ref())))
}

/// `matrix = Q·H·Qᵀ` with `H` zero below the first subdiagonal and `Q` orthogonal; `(H, Q)`. About `14/3·n³` flops.
pub(crate) fn hessenberg<T: Scalar>(matrix: ArrayView2<'_, T>) -> (Array2<T>, Array2<T>) {
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

/// The factor, which must be square, as a matrix that is exactly symmetric.
///
/// A difference `|M[i, j] − M[j, i]|` up to `size · ε · max|M|`, what rounding leaves in a product like `XᵀX`, is
/// averaged away; a larger one is an error.
pub(crate) fn symmetric_dense<T: Scalar>(
    operation: &'static str,
    name: &'static str,
    factor: &Factor<'_, T>,
) -> Result<Array2<T>> {
    let size = factor.dim().0;
    debug_assert_eq!(size, factor.dim().1);
    let matrix = factor.dense();
    let largest = matrix.iter().fold(T::zero(), |largest, value| largest.max(value.abs()));
    let difference =
        matrix.indexed_iter().fold(T::zero(), |difference, ((i, j), &x)| difference.max((x - matrix[[j, i]]).abs()));
    if difference > T::from_usize_lossy(size) * T::epsilon() * largest {
        return Err(KronError::NotSymmetric { operation, name, difference: difference.to_f64_exact() });
    }
    let half = T::from_f64_lossy(0.5);
    Ok(Array2::from_shape_fn((size, size), |(i, j)| half * matrix[[i, j]] + half * matrix[[j, i]]))
}

/// The lower Cholesky factor of a symmetric matrix, or `None` when it is not positive definite.
pub(crate) fn cholesky_lower<T: Scalar>(matrix: ArrayView2<'_, T>) -> Option<Array2<T>> {
    let mut lower = to_faer(matrix);
    let scratch = llt::factor::cholesky_in_place_scratch::<T>(matrix.nrows(), Par::Seq, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    let (none, settings) = (Default::default(), Default::default());
    llt::factor::cholesky_in_place(lower.as_mut(), none, Par::Seq, stack, settings).ok()?;
    let lower = Array2::from_shape_fn(matrix.dim(), |(i, j)| if i >= j { lower[(i, j)] } else { T::zero() });
    lower.diag().iter().all(|&pivot| pivot > T::zero()).then_some(lower)
}

/// `P·M = L·U` of a square matrix, by partial pivoting.
pub(crate) struct Lu<T> {
    packed: Mat<T>,
    forward: Vec<usize>,
    backward: Vec<usize>,
    odd: bool,
}

impl<T: Scalar> Lu<T> {
    /// Factorises; `2/3·n³` flops. The shape must have been checked.
    pub(crate) fn new(matrix: ArrayView2<'_, T>) -> Self {
        let size = matrix.nrows();
        debug_assert_eq!(size, matrix.ncols());
        let mut packed = to_faer(matrix);
        let (mut forward, mut backward) = (vec![0; size], vec![0; size]);
        let scratch = lu::factor::lu_in_place_scratch::<usize, T>(size, size, Par::Seq, Default::default());
        let mut memory = MemBuffer::new(scratch);
        let stack = MemStack::new(&mut memory);
        let (matrix, settings) = (packed.as_mut(), Default::default());
        let (info, _) = lu::factor::lu_in_place(matrix, &mut forward, &mut backward, Par::Seq, stack, settings);
        Self { packed, forward, backward, odd: info.transposition_count % 2 == 1 }
    }

    /// The diagonal of `U`.
    pub(crate) fn pivots(&self) -> impl Iterator<Item = T> {
        self.packed.diagonal().column_vector().iter().copied()
    }

    /// Whether a pivot is exactly zero, so that nothing can be solved.
    pub(crate) fn is_singular(&self) -> bool {
        self.pivots().any(|pivot| pivot == T::zero())
    }

    /// Whether the rows were swapped an odd number of times, which turns the determinant's sign.
    pub(crate) fn is_odd(&self) -> bool {
        self.odd
    }

    /// Scratch for [`Lu::solve_in_place`] with `columns` right-hand sides.
    pub(crate) fn scratch(&self, columns: usize) -> MemBuffer {
        MemBuffer::new(lu::solve::solve_in_place_scratch::<usize, T>(self.packed.nrows(), columns, Par::Seq))
    }

    /// Overwrites the columns of `rhs` with `M⁻¹·rhs`; `2·n²` flops per column.
    pub(crate) fn solve_in_place(&self, rhs: MatMut<'_, T>, scratch: &mut MemBuffer) {
        let permutation = PermRef::new_checked(&self.forward, &self.backward, self.forward.len());
        let (packed, stack) = (self.packed.as_ref(), MemStack::new(scratch));
        lu::solve::solve_in_place(packed, packed, permutation, rhs, Par::Seq, stack);
    }
}
