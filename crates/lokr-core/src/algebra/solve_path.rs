//! Which way a shifted system, or that of a sum, is solved.

use crate::decompose::{Kind, Symmetry, kind};
use crate::error::Result;
use crate::operator::Factor;
use crate::scalar::Scalar;

/// Which way a system `(A₁ ⊗ … ⊗ A_k + c·I)·x = y` or `(A₁ ⊕ … ⊕ A_k + c·I)·x = y` is solved; see
/// [`KronBase::shifted_path`](crate::operator::KronBase::shifted_path) and
/// [`KronSum::solve_path`](crate::KronSum::solve_path).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SolvePath {
    /// LU decompositions of the factors: no shift.
    Lu,
    /// The eigenvectors of symmetric factors.
    Symmetric,
    /// The complex eigenvectors of skew factors (`Mᵀ = −M`): all of them are skew, or an even number beside symmetric
    /// ones.
    Skew,
    /// The complex Schur decompositions of any factors, several times slower.
    Schur,
}

/// The path of square factors, [`SolvePath::Lu`] apart.
pub(super) fn path<'f, T: Scalar>(
    operation: &'static str,
    factors: impl Iterator<Item = (&'static str, &'f Factor<'f, T>)>,
    symmetry: Symmetry<T>,
) -> Result<SolvePath> {
    let kinds = factors.map(|(name, factor)| kind(operation, name, factor, symmetry)).collect::<Result<Vec<_>>>()?;
    let skew = kinds.iter().filter(|kind| **kind == Kind::Skew).count();
    Ok(if kinds.iter().all(|kind| *kind == Kind::Symmetric) {
        SolvePath::Symmetric
    } else if !kinds.contains(&Kind::General) && (skew % 2 == 0 || skew == kinds.len()) {
        SolvePath::Skew
    } else if symmetry == Symmetry::Average {
        SolvePath::Symmetric
    } else {
        SolvePath::Schur
    })
}
