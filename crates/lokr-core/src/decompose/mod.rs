//! How is a small dense matrix, or a factor, decomposed? The one door to the crate `faer`, and what it does not hand
//! out.
//!
//! - `dense`: decompositions of dense matrices by `faer`, from and to `ndarray`.
//! - `door`: the same for every element type; nothing else calls `dense`.
//! - `singular`: singular values and vectors of a [`Factor`](crate::operator::Factor), of a low-rank one by its halves.
//! - `symmetric`: what a symmetric factor can be decomposed into.
//! - `lu`: [`Lu`], to solve systems and for determinants.
//! - `schur`: [`Schur`], the complex Schur decomposition.
//! - `finite`: the check that a factor's values are finite, else [`KronError::NonFinite`](crate::KronError::NonFinite).
//! - `magnitude`: the largest element and the Frobenius norm, safe from overflow.
//!
//! The room uses [`operator`](crate::operator) for the factors, and no other.

mod dense;
mod door;
mod finite;
mod lu;
mod magnitude;
#[cfg(test)]
pub(crate) mod reference;
mod schur;
mod singular;
mod symmetric;

pub(crate) use dense::ThinSvd;
pub(crate) use finite::check_finite;
pub(crate) use lu::Lu;
pub(crate) use magnitude::{largest_magnitude, max_or_nan};
pub(crate) use schur::Schur;
pub(crate) use singular::{core, singular_values, thin_svd};
pub(crate) use symmetric::{cholesky_lower, symmetric_dense, symmetric_eigen};
