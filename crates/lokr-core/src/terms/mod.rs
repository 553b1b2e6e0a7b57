//! What is a weighted sum of Kronecker products, `Σ wₜ·(Aₜ ⊗ Bₜ)`, and how are systems with it solved?
//!
//! - `kron_terms`: [`KronTerms`], the sum: what it is made of.
//! - `arithmetic`: `+` and `-` of products and sums, multiplication by a number.
//! - `printed`: printed, compared.
//! - `apply`: [`KronTerms::apply`] and its transpose.
//! - `gradient`: [`KronTerms::gradients`], of factors, weights and input.
//! - `elements`: written out, in whole and in part.
//!
//! The room uses [`operator`](crate::operator), [`gemm`](crate::gemm) and `sums`.

mod apply;
mod arithmetic;
mod elements;
mod gradient;
mod kron_terms;
mod printed;
#[cfg(test)]
pub(crate) mod test_sums;

pub use gradient::TermsGradients;
pub use kron_terms::KronTerms;
