//! Systems with one matrix for each axis of a sample, solved in place.

use ndarray::Array2;
use rayon::prelude::*;

use crate::decompose::{Keep, Lu, Memory, PowerOfTwo, System};
use crate::gemm::views::{flat_mut, view};
use crate::scalar::Scalar;

/// Replaces every row of `rows`, whose axes have the sides of these matrices, by the solution of
/// `(M₁ ⊗ … ⊗ M_k)·x = row`, or of the transposed system. The rows are solved in parallel, each by one thread.
///
/// The last axis comes first. Each axis is one system with many right-hand sides: the last and the first where they
/// lie, those between by way of a copy in which they are the first.
pub(super) fn solve_rows<T: Scalar>(lus: &[Lu<T>], system: System, rows: &mut Array2<T>) {
    let width = rows.ncols();
    let sizes: Vec<_> = lus.iter().map(|lu| (lu.side(), width / lu.side())).collect();
    // One in the normal range; elsewhere the rows, too, are solved in the middle of it.
    let factors = lus.iter().fold(PowerOfTwo::ONE, |power, lu| power.and(lu.power()));
    let normal = lus.iter().all(|lu| lu.power() == PowerOfTwo::ONE);
    let copied = if lus.len() > 2 { width } else { 0 };
    flat_mut(rows).par_chunks_exact_mut(width).for_each_init(
        || (Lu::<T>::memory(&sizes), vec![T::zero(); copied]),
        |(memory, copy), row| {
            let power =
                if normal { PowerOfTwo::ONE } else { PowerOfTwo::out_of_range(view(row, width), Keep::Squares) };
            power.inverse().scale(&mut *row);
            let mut inner = 1;
            for (axis, lu) in lus.iter().enumerate().rev() {
                if axis == lus.len() - 1 {
                    // The sides in row-major order are the transpose in column-major order.
                    lu.solve_scaled_column_major(system, row, memory);
                } else if axis == 0 {
                    lu.solve_scaled_row_major(system, row, memory);
                } else {
                    solve_middle(lu, system, inner, row, memory, copy);
                }
                inner *= lu.side();
            }
            power.and(factors.inverse()).scale(row);
        },
    );
}

/// One axis of a row, with axes outside of it and `inner` values inside for each of its own.
fn solve_middle<T: Scalar>(
    lu: &Lu<T>,
    system: System,
    inner: usize,
    row: &mut [T],
    memory: &mut Memory,
    copy: &mut [T],
) {
    let side = lu.side();
    let outer = row.len() / (side * inner);
    let place = |piece: usize| ((piece % side) * outer + piece / side) * inner;
    for (piece, values) in row.chunks_exact(inner).enumerate() {
        copy[place(piece)..][..inner].copy_from_slice(values);
    }
    lu.solve_scaled_row_major(system, copy, memory);
    for (piece, values) in row.chunks_exact_mut(inner).enumerate() {
        values.copy_from_slice(&copy[place(piece)..][..inner]);
    }
}
