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
