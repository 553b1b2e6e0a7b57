//! Which way a shifted system, or that of a sum, is solved.

use crate::decompose::{Kind, Symmetry, kind};
use crate::error::Result;
use crate::operator::Factor;
use crate::scalar::Scalar;

/// Which way a system `(A ⊗ B + c·I)·x = y` or `(A ⊕ B)·x = y` is solved; see
/// [`Kron::shifted_path`](crate::Kron::shifted_path) and [`KronSum::solve_path`](crate::KronSum::solve_path).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SolvePath {
    /// LU decompositions of the factors: no shift.
    Lu,
    /// The eigenvectors of symmetric factors.
    Symmetric,
    /// The complex eigenvectors of skew factors (`Mᵀ = −M`).
    Skew,
    /// The complex Schur decompositions of any factors, several times slower.
    Schur,
}

/// The path of a pair of square factors, [`SolvePath::Lu`] apart.
pub(super) fn path<T: Scalar>(
    operation: &'static str,
    a: &Factor<'_, T>,
    b: &Factor<'_, T>,
    symmetry: Symmetry<T>,
) -> Result<SolvePath> {
    let kinds = (kind(operation, "A", a, symmetry)?, kind(operation, "B", b, symmetry)?);
    Ok(match kinds {
        (Kind::Symmetric, Kind::Symmetric) => SolvePath::Symmetric,
        (Kind::Skew, Kind::Skew) => SolvePath::Skew,
        _ if symmetry == Symmetry::Average => SolvePath::Symmetric,
        _ => SolvePath::Schur,
    })
}
