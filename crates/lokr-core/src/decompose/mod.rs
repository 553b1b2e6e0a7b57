//! How is a small dense matrix, or a factor, decomposed? The one door to the crate `lokr-decompose`, and what it does
//! not hand out.
//!
//! - `door`: the decompositions of dense matrices for every element type; nothing else reaches for them.
//! - `scaled`: what goes through the door, for matrices of every size; no decomposition is made otherwise.
//! - `power_of_two`: [`PowerOfTwo`], by which a matrix is brought into range and its results are scaled back.
//! - `singular`: singular values and vectors of a [`Factor`](crate::operator::Factor), of a low-rank one by its halves.
//! - `symmetry`: [`Symmetry`], when a matrix counts as symmetric.
//! - `symmetric`: what a symmetric or a skew factor can be decomposed into.
//! - `lu`: [`Lu`], to solve systems and for determinants; `condition`: how near to singular its matrix is.
//! - `qr`: [`Qr`], of factors of full rank.
//! - `schur`: [`Schur`], the complex Schur decomposition.
//! - `eigenvalues`: those of a square factor, real or complex.
//! - `exponential`: that of a square matrix.
//! - `finite`: the check that a factor's values are finite, else [`KronError::NonFinite`](crate::KronError::NonFinite).
//! - `magnitude`: the largest element and the Frobenius norm, safe from overflow.
//!
//! The room uses [`operator`](crate::operator) for the factors and `sums` for powers of two, and no other.

mod condition;
mod door;
mod eigenvalues;
mod exponential;
mod finite;
mod lu;
mod magnitude;
mod power_of_two;
mod qr;
#[cfg(test)]
pub(crate) mod reference;
mod scaled;
mod schur;
mod singular;
mod symmetric;
mod symmetry;

pub(crate) use eigenvalues::eigenvalues;
pub(crate) use exponential::exponential;
pub(crate) use finite::check_finite;
pub(crate) use lokr_decompose::{Memory, System, ThinSvd};
pub(crate) use lu::Lu;
pub(crate) use magnitude::{largest_magnitude, max_or_nan};
pub(crate) use power_of_two::{Keep, PowerOfTwo, Scaled};
pub(crate) use qr::{Qr, full_rank_qr};
pub(crate) use schur::{Schur, divide};
pub(crate) use singular::{Core, core, scaled_singular_values, scaled_thin_svd, thin_svd};
pub(crate) use symmetric::{
    Kind, SymmetricEigen, cholesky_lower, kind, normal_schur, scaled_symmetric_eigen, skew_schur, symmetric_dense,
    symmetric_eigen,
};
pub use symmetry::Symmetry;
