//! Decompositions of small dense matrices.

pub(crate) mod dense;
pub(crate) mod schur;
