//! What can a Kronecker product be asked that a matrix can? Everything here is answered from the factors.
//!
//! Most of it are methods of [`Kron`](crate::Kron):
//!
//! - `is_symmetric`: [`Kron::is_symmetric`](crate::Kron::is_symmetric), exactly or within a tolerance.
//! - `matmul`: [`Kron::matmul`](crate::Kron::matmul), the product of two products.
//! - `inner_product`: [`Kron::inner`](crate::Kron::inner), [`Kron::cosine`](crate::Kron::cosine).
//! - `trace`: [`Kron::trace`](crate::Kron::trace).
//! - `determinant`: [`Kron::determinant`](crate::Kron::determinant), [`LogDeterminant`].
//! - `norm`: [`Kron::frobenius_norm`](crate::Kron::frobenius_norm) and five more.
//! - `rank`: [`Kron::rank`](crate::Kron::rank), [`Kron::condition_number`](crate::Kron::condition_number).
//! - `inverse`: [`Kron::inverse`](crate::Kron::inverse), [`Kron::pseudo_inverse`](crate::Kron::pseudo_inverse).
//! - `solve`: [`Kron::solve`](crate::Kron::solve).
//! - `shifted`: [`Kron::solve_shifted`](crate::Kron::solve_shifted); `solve_path`: [`SolvePath`], which way.
//! - `triangular`: the equations behind it and behind the systems of a sum, for factors that are not symmetric.
//! - `cholesky`: [`Kron::cholesky`](crate::Kron::cholesky).
//! - `svd`: [`Kron::svd`](crate::Kron::svd), [`KronSvd`].
//! - `eigen`: [`Kron::symmetric_eigen`](crate::Kron::symmetric_eigen), [`KronEigen`].
//! - `eigen_functions`: what it is kept for: many shifts, functions, determinants.
//! - `pseudo_solve`: [`KronEigen::pseudo_solve`], [`PseudoSolution`]: singular systems.
//! - `eigenvalues`: [`Kron::eigenvalues`](crate::Kron::eigenvalues) of any square factors.
//! - `spectrum`: the eigenvalues of a product or sum from those of its factors, and how far they may be wrong.
//! - `kron_sum`: [`KronSum`], `A ⊗ I + I ⊗ B` and of any number of summands; a part of the room with its own page.
//! - `sorted`: what `svd` and `eigen` share.
//! - `halves`: low-rank factors whose halves are brought to a common scale.
//!
//! Which factors count as symmetric is said by a [`Symmetry`]. Decompositions scale a factor by a power of two where
//! its squares would leave the range of the type, so that factors may be as large and small as the type has numbers.
//!
//! What is decomposed or inverted must be finite, else the answer is
//! [`KronError::NonFinite`](crate::KronError::NonFinite). Sums, products and norms of elements let values that are not
//! finite flow through, and so do right-hand sides and shifts.
//!
//! The room uses [`operator`](crate::operator), `decompose`, `contraction`, `sums` and [`gemm`](crate::gemm).

mod cholesky;
mod determinant;
mod eigen;
mod eigen_functions;
mod eigenvalues;
mod halves;
mod inner_product;
mod inverse;
mod is_symmetric;
mod kron_sum;
mod matmul;
mod norm;
mod pseudo_solve;
mod rank;
mod shifted;
mod solve;
mod solve_path;
mod sorted;
mod spectrum;
mod svd;
mod trace;
mod triangular;

pub use determinant::LogDeterminant;
pub use eigen::KronEigen;
pub use kron_sum::{IntoSummands, KronSum};
pub use pseudo_solve::PseudoSolution;
pub use solve_path::SolvePath;
pub use svd::KronSvd;

pub use crate::decompose::Symmetry;

#[cfg(test)]
mod eigen_tests;
#[cfg(test)]
mod finite_tests;
#[cfg(test)]
mod scale_tests;
