//! What a step costs, in multiplications of one register.
//!
//! Flops alone do not say whether two small steps or one larger one is faster: a step of few flops for each value is
//! paid for by moving the values, and short rows leave lanes empty.

use crate::gemm::kernel::is_narrow;
use crate::gemm::limits::{MOVE_COST, PIECE_COST, REGISTER_BYTES, STEP_COST};

/// Cost of multiplying the middle axis of `count` pieces `(d_in, after)` by a matrix of these sizes, for values of so
/// many bytes.
pub(crate) fn matrix_cost(bytes: usize, count: f64, (d_out, d_in): (usize, usize), after: f64) -> f64 {
    let lanes = (REGISTER_BYTES / bytes) as f64;
    let (rows, cols) = (d_out as f64, d_in as f64);
    // The lanes lie along the axes after it; along the results where there are none.
    let (sums, pieces) = if is_narrow(d_out, after as usize, d_in) {
        (rows * after / lanes, 0.0)
    } else if after > 1.0 {
        (rows * (after / lanes).ceil(), 1.0)
    } else {
        ((rows / lanes).ceil(), 1.0 / lanes)
    };
    let moved = (cols + rows) * after / lanes;
    STEP_COST + count * (cols * sums + PIECE_COST * pieces + MOVE_COST * moved)
}

/// Cost of multiplying `count` values by a diagonal.
pub(crate) fn diagonal_cost(bytes: usize, count: f64) -> f64 {
    STEP_COST + MOVE_COST * 2.0 * count / (REGISTER_BYTES / bytes) as f64
}
