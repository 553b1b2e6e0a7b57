//! What can a Kronecker product be asked that a matrix can? Everything here is answered from the factors.
//!
//! Most of it are methods of [`KronBase`](crate::operator::KronBase), for two factors and for many:
//!
//! - `is_symmetric`: [`Kron::is_symmetric`](crate::Kron::is_symmetric), exactly or within a tolerance.
//! - `matmul`: [`Kron::matmul`](crate::Kron::matmul) and `&k * &l`, the product of two products.
//! - `power`: [`Kron::pow`](crate::Kron::pow), the product with itself; `hadamard`:
//!   [`Kron::hadamard`](crate::Kron::hadamard), the elementwise product.
//! - `inner_product`: [`Kron::inner`](crate::Kron::inner), [`Kron::cosine`](crate::Kron::cosine).
//! - `trace`: [`Kron::trace`](crate::Kron::trace).
//! - `determinant`: [`Kron::determinant`](crate::Kron::determinant), [`LogDeterminant`].
//! - `norm`: [`Kron::frobenius_norm`](crate::Kron::frobenius_norm) and five more.
//! - `rank`: [`Kron::rank`](crate::Kron::rank), [`Kron::condition_number`](crate::Kron::condition_number).
//! - `inverse`: [`Kron::inverse`](crate::Kron::inverse); `pseudo_inverse`:
//!   [`Kron::pseudo_inverse`](crate::Kron::pseudo_inverse), also with a tolerance.
//! - `solve`: [`Kron::solve`](crate::Kron::solve) and its transpose; `axes`: axis by axis, in place.
//! - `solver`, `cholesky_solver`: [`KronSolver`], decompositions kept to solve again and again.
//! - `solver_gradients`: gradients of solutions and of log-determinants; `shifted_gradients`: of `K + c·I`;
//!   `scaled_gradients`: at every scale.
//! - `least_squares`: [`Kron::least_squares`](crate::Kron::least_squares), [`KronQr`].
//! - `ridge`: [`Kron::ridge`](crate::Kron::ridge).
//! - `shifted`: [`Kron::solve_shifted`](crate::Kron::solve_shifted); `solve_path`: [`SolvePath`], which way.
//! - `triangular`: the equations behind it and behind the systems of a sum, for factors that are not symmetric.
//! - `cholesky`: [`Kron::cholesky`](crate::Kron::cholesky).
//! - `svd`: [`Kron::svd`](crate::Kron::svd), [`KronSvd`]; `low_rank`: its best approximations; `filter`: functions of
//!   the singular values, applied.
//! - `eigen`: [`Kron::symmetric_eigen`](crate::Kron::symmetric_eigen), [`KronEigen`].
//! - `eigen_functions`: what it is kept for: many shifts, functions, determinants.
//! - `pseudo_solve`: [`KronEigen::pseudo_solve`], [`PseudoSolution`]: singular systems.
//! - `eigenvalues`: [`Kron::eigenvalues`](crate::Kron::eigenvalues) of any square factors.
//! - `spectrum`: the eigenvalues of a product or sum from those of its factors, and how far they may be wrong.
//! - `kron_sum`: [`KronSum`], `A ⊗ I + I ⊗ B` and of any number of summands; a part of the room with its own page.
//! - `sorted`: the singular values of a product from those of its factors, and their order.
//! - `halves`: low-rank factors whose halves are brought to a common scale.
//! - `scaled_factor`: factors with exponents of their own, for products that leave the range of the type; `scaled_lu`:
//!   LU decompositions of matrices of every size, for determinants.
//!
//! Which factors count as symmetric is said by a [`Symmetry`]. Decompositions scale a factor by a power of two where
//! its squares would leave the range of the type, so that factors may be as large and small as the type has numbers.
//!
//! What is decomposed or inverted must be finite, else the answer is
//! [`KronError::NonFinite`](crate::KronError::NonFinite). Sums, products and norms of elements let values that are not
//! finite flow through, and so do right-hand sides and shifts.
//!
//! The room uses [`operator`](crate::operator), `decompose`, `contraction`, `sums` and [`gemm`](crate::gemm).

mod axes;
mod cholesky;
mod cholesky_solver;
mod determinant;
mod eigen;
mod eigen_functions;
mod eigenvalues;
mod filter;
mod hadamard;
mod halves;
mod inner_product;
mod inverse;
mod is_symmetric;
mod kron_sum;
mod least_squares;
mod low_rank;
mod matmul;
mod norm;
mod power;
mod pseudo_inverse;
mod pseudo_solve;
mod rank;
mod ridge;
mod scaled_factor;
mod scaled_gradients;
mod scaled_lu;
mod shifted;
mod shifted_gradients;
mod solve;
mod solve_path;
mod solver;
mod solver_gradients;
mod sorted;
mod spectrum;
mod svd;
mod trace;
mod triangular;

pub use determinant::LogDeterminant;
pub use eigen::KronEigen;
pub use kron_sum::{IntoSummands, KronSum};
pub use least_squares::KronQr;
pub use pseudo_solve::PseudoSolution;
pub use solve_path::SolvePath;
pub use solver::KronSolver;
pub use svd::KronSvd;

pub use crate::decompose::Symmetry;

#[cfg(test)]
mod eigen_tests;
#[cfg(test)]
mod finite_tests;
#[cfg(test)]
mod scale_tests;
