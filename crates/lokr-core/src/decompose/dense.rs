//! Decompositions of small dense matrices by `faer`, from and to `ndarray`.
//!
//! Everything runs on the calling thread. The matrices are factors and therefore small, and the bits depend neither on
//! the number of threads nor on faer's global setting. Where an iteration does not converge, the answer is `None`.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::linalg::{cholesky::llt, evd, householder, lu::partial_pivoting as lu, qr::no_pivoting as qr, svd};
use faer::perm::PermRef;
use faer::traits::RealField;
use faer::{Conj, Mat, MatMut, MatRef, Par};
use ndarray::{Array1, Array2, ArrayView2};
use num_complex::Complex;

use crate::scalar::Scalar;

fn to_faer<T: RealField + Scalar>(matrix: ArrayView2<'_, T>) -> Mat<T> {
    Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| matrix[[i, j]])
}

fn to_ndarray<T: RealField + Scalar>(matrix: MatRef<'_, T>) -> Array2<T> {
    Array2::from_shape_fn((matrix.nrows(), matrix.ncols()), |(i, j)| matrix[(i, j)])
}

/// `matrix = u · diag(s) · vᵀ` with `s` descending and orthonormal columns in `u (rows, k)` and `v (cols, k)`.
#[derive(Debug, Clone)]
pub(crate) struct ThinSvd<T> {
    pub(crate) u: Array2<T>,
    pub(crate) s: Array1<T>,
    pub(crate) v: Array2<T>,
}

/// The thin singular value decomposition; `k` is the smaller side.
pub(super) fn thin_svd<T: RealField + Scalar>(matrix: ArrayView2<'_, T>) -> Option<ThinSvd<T>> {
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
pub(super) fn singular_values<T: RealField + Scalar>(matrix: ArrayView2<'_, T>) -> Option<Array1<T>> {
    let (rows, cols) = matrix.dim();
    let mut s = Diag::zeros(rows.min(cols));
    let no = svd::ComputeSvdVectors::No;
    let scratch = svd::svd_scratch::<T>(rows, cols, no, no, Par::Seq, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    svd::svd(to_faer(matrix).as_ref(), s.as_mut(), None, None, Par::Seq, stack, Default::default()).ok()?;
    Some(s.column_vector().iter().copied().collect())
}

/// `matrix = Q·R` with `Q (rows, cols)` of orthonormal columns and `R` upper triangular; needs `rows ≥ cols`.
pub(super) fn thin_qr<T: RealField + Scalar>(matrix: ArrayView2<'_, T>) -> (Array2<T>, Array2<T>) {
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

/// Eigenvalues, and eigenvectors as the columns of a matrix.
pub(super) type Eigen<T, V> = (Array1<T>, Array2<V>);

/// Ascending eigenvalues and orthonormal eigenvectors (columns) of a symmetric matrix.
pub(super) fn symmetric_eigen<T: RealField + Scalar>(matrix: ArrayView2<'_, T>) -> Option<Eigen<T, T>> {
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
pub(super) fn skew_eigen<T: RealField + Scalar>(matrix: ArrayView2<'_, T>) -> Option<Eigen<T, Complex<T>>> {
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

/// `matrix = Q·H·Qᵀ` with `H` zero below the first subdiagonal and `Q` orthogonal; `(H, Q)`. About `14/3·n³` flops.
pub(super) fn hessenberg<T: RealField + Scalar>(matrix: ArrayView2<'_, T>) -> (Array2<T>, Array2<T>) {
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

/// The lower Cholesky factor of a symmetric matrix, or `None` when it is not positive definite.
pub(super) fn cholesky_lower<T: RealField + Scalar>(matrix: ArrayView2<'_, T>) -> Option<Array2<T>> {
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
#[derive(Debug, Clone)]
pub(super) struct LuFactors<T> {
    packed: Mat<T>,
    forward: Vec<usize>,
    backward: Vec<usize>,
    /// The diagonal of `U`.
    pub(super) pivots: Vec<T>,
    /// Whether the rows were swapped an odd number of times.
    pub(super) odd: bool,
}

/// How a matrix lies in a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Storage {
    /// Row after row.
    RowMajor,
    /// Column after column.
    ColumnMajor,
}

/// Which of the two systems that one decomposition solves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    /// `M·x = y`.
    Plain,
    /// `Mᵀ·x = y`.
    Transposed,
}

/// Memory for [`lu_solve`], to be used again and again.
pub(crate) type Memory = MemBuffer;

impl<T: Scalar> LuFactors<T> {
    /// Those of `M = L·Lᵀ`, or of its negative: `(L·D⁻¹)·(D·Lᵀ)` with the diagonal `D` of `L`, as elimination without
    /// row swaps would make them.
    pub(super) fn of_cholesky(lower: ArrayView2<'_, T>, negative: bool) -> Self {
        let sign = if negative { -T::one() } else { T::one() };
        let diagonal = lower.diag();
        let packed = Mat::from_fn(lower.nrows(), lower.nrows(), |i, j| {
            if i > j { lower[[i, j]] / diagonal[j] } else { sign * diagonal[i] * lower[[j, i]] }
        });
        let order: Vec<usize> = (0..lower.nrows()).collect();
        let pivots = diagonal.iter().map(|&d| sign * d * d).collect();
        Self { packed, forward: order.clone(), backward: order, pivots, odd: false }
    }
}

/// Factorises; `2/3·n³` flops. The shape must have been checked.
pub(super) fn lu<T: RealField + Scalar>(matrix: ArrayView2<'_, T>) -> LuFactors<T> {
    let size = matrix.nrows();
    debug_assert_eq!(size, matrix.ncols());
    let mut packed = to_faer(matrix);
    let (mut forward, mut backward) = (vec![0; size], vec![0; size]);
    let scratch = lu::factor::lu_in_place_scratch::<usize, T>(size, size, Par::Seq, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    let (matrix, settings) = (packed.as_mut(), Default::default());
    let (info, _) = lu::factor::lu_in_place(matrix, &mut forward, &mut backward, Par::Seq, stack, settings);
    let pivots = packed.diagonal().column_vector().iter().copied().collect();
    LuFactors { packed, forward, backward, pivots, odd: info.transposition_count % 2 == 1 }
}

/// Memory for [`lu_solve`] with any of these numbers of rows and columns.
pub(super) fn lu_memory<T: RealField + Scalar>(sizes: &[(usize, usize)]) -> Memory {
    // As much for the transposed system.
    let scratch = |&(rows, columns)| lu::solve::solve_in_place_scratch::<usize, T>(rows, columns, Par::Seq);
    MemBuffer::new(sizes.iter().map(scratch).fold(StackReq::EMPTY, StackReq::or))
}

/// Overwrites the columns of `rhs (n, …)` with the solutions of a system; `2·n²` flops per column.
pub(super) fn lu_solve<T: RealField + Scalar>(
    lu: &LuFactors<T>,
    system: System,
    rhs: &mut [T],
    storage: Storage,
    memory: &mut Memory,
) {
    let rows = lu.packed.nrows();
    let columns = rhs.len() / rows;
    let rhs = match storage {
        Storage::RowMajor => MatMut::from_row_major_slice_mut(rhs, rows, columns),
        Storage::ColumnMajor => MatMut::from_column_major_slice_mut(rhs, rows, columns),
    };
    solve_in_place(lu, system, rhs, memory);
}

/// `M⁻¹`; `2·n³` flops.
pub(super) fn lu_inverse<T: RealField + Scalar>(lu: &LuFactors<T>) -> Array2<T> {
    let size = lu.packed.nrows();
    let mut identity = Mat::<T>::identity(size, size);
    solve_in_place(lu, System::Plain, identity.as_mut(), &mut lu_memory::<T>(&[(size, size)]));
    to_ndarray(identity.as_ref())
}

fn solve_in_place<T: RealField + Scalar>(lu: &LuFactors<T>, system: System, rhs: MatMut<'_, T>, memory: &mut Memory) {
    let permutation = PermRef::new_checked(&lu.forward, &lu.backward, lu.forward.len());
    let (packed, stack) = (lu.packed.as_ref(), MemStack::new(memory));
    match system {
        System::Plain => lu::solve::solve_in_place(packed, packed, permutation, rhs, Par::Seq, stack),
        System::Transposed => lu::solve::solve_transpose_in_place(packed, packed, permutation, rhs, Par::Seq, stack),
    }
}
