//! Elimination with row swaps, and systems solved by it.

use faer::dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::linalg::lu::partial_pivoting as lu;
use faer::perm::PermRef;
use faer::{Mat, MatMut, Par};
use ndarray::{Array2, ArrayView2};

use crate::convert::{to_faer, to_ndarray};
use crate::element::Element;

/// `P·M = L·U` of a square matrix, by partial pivoting.
#[derive(Debug, Clone)]
pub struct LuFactors<T> {
    packed: Mat<T>,
    forward: Vec<usize>,
    backward: Vec<usize>,
    /// The diagonal of `U`.
    pub pivots: Vec<T>,
    /// Whether the rows were swapped an odd number of times.
    pub odd: bool,
}

/// How a matrix lies in a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Row after row.
    RowMajor,
    /// Column after column.
    ColumnMajor,
}

/// Which of the two systems that one decomposition solves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// `M·x = y`.
    Plain,
    /// `Mᵀ·x = y`.
    Transposed,
}

/// Memory for [`Decompositions::lu_solve`](crate::Decompositions), to be used again and again.
pub type Memory = MemBuffer;

/// Those of `M = L·Lᵀ`, or of its negative: `(L·D⁻¹)·(D·Lᵀ)` with the diagonal `D` of `L`, as elimination without row
/// swaps would make them.
pub(crate) fn lu_of_cholesky<T: Element>(lower: ArrayView2<'_, T>, negative: bool) -> LuFactors<T> {
    let sign = if negative { -T::one() } else { T::one() };
    let diagonal = lower.diag();
    let packed = Mat::from_fn(lower.nrows(), lower.nrows(), |i, j| {
        if i > j { lower[[i, j]] / diagonal[j] } else { sign * diagonal[i] * lower[[j, i]] }
    });
    let order: Vec<usize> = (0..lower.nrows()).collect();
    let pivots = diagonal.iter().map(|&d| sign * d * d).collect();
    LuFactors { packed, forward: order.clone(), backward: order, pivots, odd: false }
}

/// Factorises; `2/3·n³` flops. The shape must have been checked.
pub(crate) fn lu<T: Element>(matrix: ArrayView2<'_, T>) -> LuFactors<T> {
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
pub(crate) fn lu_memory<T: Element>(sizes: &[(usize, usize)]) -> Memory {
    // As much for the transposed system.
    let scratch = |&(rows, columns)| lu::solve::solve_in_place_scratch::<usize, T>(rows, columns, Par::Seq);
    MemBuffer::new(sizes.iter().map(scratch).fold(StackReq::EMPTY, StackReq::or))
}

/// Overwrites the columns of `rhs (n, …)` with the solutions of a system; `2·n²` flops per column.
pub(crate) fn lu_solve<T: Element>(
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
pub(crate) fn lu_inverse<T: Element>(lu: &LuFactors<T>) -> Array2<T> {
    let size = lu.packed.nrows();
    let mut identity = Mat::<T>::identity(size, size);
    solve_in_place(lu, System::Plain, identity.as_mut(), &mut lu_memory::<T>(&[(size, size)]));
    to_ndarray(identity.as_ref())
}

fn solve_in_place<T: Element>(lu: &LuFactors<T>, system: System, rhs: MatMut<'_, T>, memory: &mut Memory) {
    let permutation = PermRef::new_checked(&lu.forward, &lu.backward, lu.forward.len());
    let (packed, stack) = (lu.packed.as_ref(), MemStack::new(memory));
    match system {
        System::Plain => lu::solve::solve_in_place(packed, packed, permutation, rhs, Par::Seq, stack),
        System::Transposed => lu::solve::solve_transpose_in_place(packed, packed, permutation, rhs, Par::Seq, stack),
    }
}
