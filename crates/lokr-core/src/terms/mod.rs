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
//!
//! The room uses [`operator`](crate::operator), [`nearest`](crate::nearest), [`algebra`](crate::algebra),
//! [`gemm`](crate::gemm) and `sums`.

mod apply;
mod arithmetic;
mod compress;
mod elements;
mod gradient;
mod inner_product;
mod kron_terms;
mod norm;
mod printed;
mod split;
#[cfg(test)]
pub(crate) mod test_sums;

pub use gradient::TermsGradients;
pub use kron_terms::KronTerms;
