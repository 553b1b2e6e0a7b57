//! Which Kronecker product is nearest to a matrix, and which sum of several?
//!
//! `‖W − A ⊗ B‖_F = ‖R(W) − vec(A)·vec(B)ᵀ‖_F`, where `R(W) (m·n, p·q)` has block `(i, j)` of `W`, read row by row, as
//! its row `i·n + j`. The best sum of `k` Kronecker products is therefore the leading `k` singular triples of `R(W)`
//! (Van Loan & Pitsianis 1993, *Approximation with Kronecker products*).
//!
//! - `to_matrix`: [`nearest_kron`], for a dense matrix.
//! - `to_sum`: [`nearest_to_sum`], for a weighted sum of products, never formed.
//! - `options`: [`NearestOptions`], how the former is searched.
//! - `found`: [`NearestKron`], what both give.
//! - `rearranged`: `R(W)`, multiplied tile by tile and never copied as a whole.
//! - `stacked`: `R(W)` of a sum of products in two halves, right at every scale.
//! - `subspace`: the leading singular vectors of a matrix that can only be multiplied with.
//!
//! The room uses [`operator`](crate::operator), `decompose`, `sums` and [`gemm`](crate::gemm).

mod found;
mod options;
mod rearranged;
mod stacked;
mod subspace;
mod to_matrix;
mod to_sum;

pub use found::NearestKron;
pub use options::NearestOptions;
pub(crate) use stacked::{UnitTerm, stacked};
pub use to_matrix::nearest_kron;
pub use to_sum::nearest_to_sum;

#[cfg(test)]
mod tests;
