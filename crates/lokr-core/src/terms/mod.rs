//! What is a weighted sum of Kronecker products, `Σ wₜ·(Aₜ ⊗ Bₜ)`, and how are systems with it solved?
//!
//! - `kron_terms`: [`KronTerms`], the sum: what it is made of.
//! - `arithmetic`: `+` and `-` of products and sums, multiplication by a number.
//! - `printed`: printed, compared.
//! - `apply`: [`KronTerms::apply`] and its transpose.
//! - `gradient`: [`KronTerms::gradients`], of factors, weights and input.
//! - `elements`: written out, in whole and in part.
//! - `norm`: [`KronTerms::frobenius_norm`]; `inner_product`: [`KronTerms::inner`], [`KronTerms::cosine`].
//! - `split`: the inner product of two products that split a matrix in different ways.
//! - `compress`: [`KronTerms::compress`], to fewer terms.
//! - `approximate`, `serialize`: the traits of `approx` and `serde`, with these features.
//!
//! Systems with such a sum, and with one plus a diagonal matrix:
//!
//! - `conjugate_gradients`: [`KronTerms::conjugate_gradients`].
//! - `cg_options`: [`CgOptions`] and [`Preconditioner`], how; [`CgSolution`], what comes of it.
//! - `diagonal`: [`Diagonal`], the diagonal matrix.
//! - `system`: the whole matrix at a scale of one.
//! - `preconditioner`: a preconditioner made ready for it.
//! - `cg_steps`: the iteration.
//!
//! The room uses [`operator`](crate::operator), [`nearest`](crate::nearest), [`algebra`](crate::algebra),
//! `decompose`, [`gemm`](crate::gemm) and `sums`.

mod apply;
#[cfg(feature = "approx")]
mod approximate;
mod arithmetic;
mod cg_options;
mod cg_steps;
#[cfg(test)]
mod cg_tests;
mod compress;
mod conjugate_gradients;
mod diagonal;
mod elements;
mod gradient;
mod inner_product;
mod kron_terms;
mod norm;
mod preconditioner;
mod printed;
#[cfg(feature = "serde")]
mod serialize;
mod split;
mod system;
#[cfg(test)]
pub(crate) mod test_sums;

pub use cg_options::{CgOptions, CgSolution, Preconditioner};
pub use diagonal::Diagonal;
pub use gradient::TermsGradients;
pub use kron_terms::KronTerms;
