//! One product as pointers.

use crate::gemm::blend::Blend;

/// `C ← α·A·B + β·C` with an inner dimension of `k`. Rows of `B` and `C` are contiguous.
#[derive(Clone, Copy)]
pub(super) struct Operands<T> {
    pub(super) k: usize,
    pub(super) blend: Blend<T>,
    pub(super) a: *const T,
    pub(super) a_row: usize,
    pub(super) a_col: usize,
    pub(super) b: *const T,
    pub(super) b_row: usize,
    pub(super) c: *mut T,
    pub(super) c_row: usize,
}

/// The rows below `R` in an order in which no two steps follow each other alike: 1, 0, 3, 2, ….
///
/// Read one after the other, each row's address is made by the compiler from the one before it, and the chain of `R`
/// additions takes as long as the multiplications, or longer.
#[inline(always)]
pub(super) fn rows<const R: usize>() -> [usize; R] {
    std::array::from_fn(|i| if i ^ 1 < R { i ^ 1 } else { i })
}
