//! What a search for the nearest sum of products gives.

use ndarray::{Array2, CowArray};

use crate::error::{KronError, Result};
use crate::operator::{Factor, Kron};
use crate::scalar::Scalar;

/// The best approximation of a matrix by a sum of Kronecker products, `W ≈ Σ Aᵢ ⊗ Bᵢ`.
#[derive(Debug, Clone, PartialEq)]
pub struct NearestKron<T: Scalar> {
    /// The terms, the largest first, with full factors.
    ///
    /// They are orthogonal to each other, `⟨Aᵢ, Aⱼ⟩ = ⟨Bᵢ, Bⱼ⟩ = 0`. The scale is shared evenly,
    /// `‖Aᵢ‖_F = ‖Bᵢ‖_F = √σᵢ`, and the sign is fixed by a positive largest element of `Aᵢ` (the first of equals, row
    /// by row).
    pub terms: Vec<Kron<'static, T>>,
    /// `σᵢ = ‖Aᵢ ⊗ Bᵢ‖_F`, the leading singular values of `R(W)`, descending.
    pub singular_values: Vec<f64>,
    /// Share of `‖W‖_F²` that each term captures, `σᵢ²/‖W‖_F²`; 0 for a zero matrix.
    pub energies: Vec<f64>,
    /// Share of `‖W‖_F²` that all terms capture; 1 for a zero matrix, of which nothing is missing. The relative error
    /// `‖W − Σ Aᵢ ⊗ Bᵢ‖_F / ‖W‖_F` is `√(1 − energy)`.
    pub energy: f64,
    /// Passes over the matrix that the search took.
    pub iterations: usize,
    /// Whether every term met the tolerance.
    pub converged: bool,
}

/// [`KronError::TermCount`] unless `asked` is 1 to `possible`.
pub(super) fn check_terms(operation: &'static str, asked: usize, possible: usize) -> Result<()> {
    if (1..=possible).contains(&asked) { Ok(()) } else { Err(KronError::TermCount { operation, asked, possible }) }
}

/// The result from singular triples `(σ, A, B)` with unit `A` and `B`; `σ` and `norm` are to be multiplied by `unit`.
pub(super) fn assemble<T: Scalar>(
    triples: impl Iterator<Item = (f64, Array2<f64>, Array2<f64>)>,
    norm: f64,
    unit: f64,
) -> Result<NearestKron<T>> {
    let (mut terms, mut singular_values, mut energies) = (Vec::new(), Vec::new(), Vec::new());
    for (sigma, a, b) in triples {
        let largest = a.iter().fold(0.0f64, |largest, &x| if x.abs() > largest.abs() { x } else { largest });
        let root = sigma.sqrt() * unit.sqrt() * largest.signum();
        let scaled = |matrix: Array2<f64>| CowArray::from(matrix.mapv(|x| T::from_f64_lossy(root * x)));
        terms.push(Kron::new(Factor::Full(scaled(a)), Factor::Full(scaled(b)))?);
        singular_values.push(sigma * unit);
        energies.push(if norm > 0.0 { (sigma / norm).powi(2).min(1.0) } else { 0.0 });
    }
    let energy = if norm > 0.0 { energies.iter().sum::<f64>().min(1.0) } else { 1.0 };
    Ok(NearestKron { terms, singular_values, energies, energy, iterations: 0, converged: true })
}
