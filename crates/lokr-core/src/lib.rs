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
#![warn(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod algebra;
mod apply;
mod backend;
mod chain;
mod choice;
mod cholesky;
mod counts;
mod decompose;
mod determinant;
mod eigen;
mod engine;
mod error;
mod factor;
mod factorization;
mod gemm;
mod gradient;
mod inner;
mod inverse;
mod kernel;
mod kron;
mod kron_sum;
mod matrix;
mod naive;
mod nearest;
mod norm;
mod order;
mod packed;
mod plan;
mod planner;
mod rank;
mod scalar;
mod schur;
mod scratch;
mod shape;
mod shifted;
mod solve;
mod step;
mod strips;
mod svd;
#[cfg(test)]
mod test_support;
mod trace;

pub use backend::{Backend, backend};
pub use chain::KronChain;
pub use choice::{Choice, Note};
pub use counts::ParameterCounts;
pub use determinant::LogDeterminant;
pub use eigen::KronEigen;
pub use error::{KronError, Result};
pub use factor::{Factor, LowRank};
pub use factorization::{FactorizationRule, factorization};
pub use gemm::matmul_into;
pub use gradient::KronGradients;
pub use kron::Kron;
pub use kron_sum::KronSum;
pub use naive::kron_dense;
pub use nearest::{NearestKron, NearestOptions, nearest_kron, nearest_to_sum};
pub use order::Order;
pub use packed::PackedMatrix;
pub use planner::Planner;
pub use scalar::Scalar;
pub use shape::KronShape;
pub use svd::KronSvd;
