//! Kronecker products of `ndarray` matrices, applied, differentiated and decomposed without being formed.
//!
//! # Conventions
//! `A` is `(m, n)`, `B` is `(p, q)`, `A ⊗ B` is `(m·p, n·q)` with
//! `(A ⊗ B)[i·p + k, j·q + l] = A[i, j]·B[k, l]`: the outer index belongs to `A`. Data come as batches of rows: `x` has
//! one sample per row, and `apply` computes `Y = X·(A ⊗ B)ᵀ`, what a linear layer with weight `A ⊗ B` does.
//!
//! # The identity everything rests on
//! Read a row `x` in row-major order as a matrix `X (n, q)`. Then `(A ⊗ B)·x`, read the same way, is `A·X·Bᵀ (m, p)`
//! (Horn & Johnson, *Topics in Matrix Analysis*, Lemma 4.3.1, restated for rows). Two small products replace one with
//! the whole matrix.

pub mod algebra;
mod check;
mod contraction;
mod decompose;
mod error;
pub mod gemm;
pub mod nearest;
pub mod operator;
mod scalar;
mod shape;
pub mod sizes;
#[cfg(test)]
mod test_support;

pub use algebra::{KronEigen, KronSum, KronSvd, LogDeterminant};
pub use contraction::Order;
pub use error::{KronError, Result};
pub use gemm::{Backend, PackedMatrix, backend, matmul_into};
pub use nearest::{NearestKron, NearestOptions, nearest_kron, nearest_to_sum};
pub use operator::{Factor, Kron, KronChain, KronGradients, LowRank, kron_dense};
pub use scalar::Scalar;
pub use shape::KronShape;
pub use sizes::{ChoiceNote, FactorChoice, FactorizationRule, ParameterCounts, Planner, factorization};

/// The former name of [`FactorChoice`].
#[deprecated(note = "renamed to `FactorChoice`")]
pub type Choice = FactorChoice;

/// The former name of [`ChoiceNote`].
#[deprecated(note = "renamed to `ChoiceNote`")]
pub type Note = ChoiceNote;
