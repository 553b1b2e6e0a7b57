//! The nearest Kronecker product of a matrix, and the nearest sum of several.
//!
//! `‖W − A ⊗ B‖_F = ‖R(W) − vec(A)·vec(B)ᵀ‖_F`, where `R(W) (m·n, p·q)` has block `(i, j)` of `W`, read row by row, as
//! its row `i·n + j`. The best sum of `k` Kronecker products is therefore the leading `k` singular triples of `R(W)`
//! (Van Loan & Pitsianis 1993, *Approximation with Kronecker products*).

mod rearranged;
mod subspace;

use ndarray::{Array2, ArrayRef2, ArrayView1, CowArray};

use crate::decompose::dense::{ThinSvd, thin_svd};
use crate::error::{KronError, Result};
use crate::operator::{Factor, Kron};
use crate::scalar::Scalar;
use crate::shape::KronShape;
use rearranged::Rearranged;

/// Settings of [`nearest_kron`].
///
/// # Examples
/// ```
/// let options = lokr_core::NearestOptions { seed: 7, ..Default::default() };
/// assert_eq!(options.max_iterations, 100);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NearestOptions {
    /// A term is accepted when the residual `‖RᵀR v − σ² v‖` is at most this times the largest `σ²`; not less than 32
    /// machine epsilons of the element type, whatever is set. Default 1e−5: the error of the captured energy is of the
    /// order of its square. Vectors whose singular values differ by less than this share may still be mixed.
    pub tolerance: f64,
    /// Passes over the matrix, after which the best found so far is returned as not converged; at least one is made.
    /// Default 100.
    pub max_iterations: usize,
    /// Vectors iterated beyond the number of terms. Default 4. More make passes dearer and fewer.
    pub oversampling: usize,
    /// Seed of the start vectors. Default 0.
    pub seed: u64,
}

impl Default for NearestOptions {
    fn default() -> Self {
        Self { tolerance: 1e-5, max_iterations: 100, oversampling: 4, seed: 0 }
    }
}

/// The best approximation of a matrix by a sum of Kronecker products, `W ≈ Σ Aᵢ ⊗ Bᵢ`.
#[derive(Debug, Clone, PartialEq)]
pub struct NearestKron<T: 'static> {
    /// The terms, the largest first, with full factors.
    ///
    /// They are orthogonal to each other, `⟨Aᵢ, Aⱼ⟩ = ⟨Bᵢ, Bⱼ⟩ = 0`. The scale is shared evenly,
    /// `‖Aᵢ‖_F = ‖Bᵢ‖_F = √σᵢ`, and the sign is fixed by a positive largest element of `Aᵢ` (the first of equals, row by
    /// row).
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

/// The sum of `terms` Kronecker products with factors of `shape` that is nearest to `w` in the Frobenius norm.
///
/// # Shapes
/// `w`: `(m·p, n·q)`, any strides; it is only read. Result: `A (m, n)`, `B (p, q)` per term.
/// # Method
/// The rearranged matrix is never copied as a whole: tiles of it are gathered from `w`, multiplied and forgotten.
/// Where its shorter side `min(m·n, p·q)` is at most 64, or less than about twice the terms, its small Gram matrix is
/// formed and decomposed; else a block Lanczos iteration runs, one pass over `w` per block. Both work with squared
/// singular values: terms below `√ε·σ₁` (3e−4 for `f32`, 1e−8 for `f64`) are not resolved from each other, nor from
/// noise. The energy that this can miss is of the order of `ε`.
/// # Cost
/// `4·(terms + oversampling)·out·in` flops per pass, at most `max_iterations` passes and one more. Memory: a few
/// hundred vectors of `√(out·in)` values, and the result.
/// # Reproducibility
/// The bits depend on the values, the sizes, the memory order and the options, not on the number of threads.
/// # Errors
/// [`KronError::Shape`] unless `w` is `(m·p, n·q)`, [`KronError::TermCount`] unless `terms` is 1 to
/// `min(m·n, p·q)`, [`KronError::NonFinite`]. Not converging is not an error; see [`NearestKron::converged`].
/// # Examples
/// ```
/// use lokr_core::{Kron, KronShape, NearestOptions, nearest_kron};
/// use ndarray::array;
///
/// let w = Kron::new(array![[1.0, 2.0]], array![[2.0], [-1.0]])?.to_dense(); // (2, 2)
/// let nearest = nearest_kron(&w, KronShape::new(1, 2, 2, 1)?, 1, &NearestOptions::default())?;
/// assert!((nearest.energy - 1.0).abs() < 1e-14);
/// assert!((nearest.singular_values[0] - 5.0).abs() < 1e-14); // √5·√5
/// assert!((nearest.terms[0].to_dense() - w).iter().all(|&d: &f64| d.abs() < 1e-14));
/// # Ok::<(), lokr_core::KronError>(())
/// ```
pub fn nearest_kron<T: Scalar>(
    w: &ArrayRef2<T>,
    shape: KronShape,
    terms: usize,
    options: &NearestOptions,
) -> Result<NearestKron<T>> {
    const OPERATION: &str = "nearest_kron";
    KronError::check_shape(OPERATION, "w", shape.dim(), w.dim())?;
    let KronShape { m, n, p, q } = shape;
    check_terms(OPERATION, terms, (m * n).min(p * q))?;
    let matrix = Rearranged::new(OPERATION, w, shape)?;

    let subspace = subspace::leading(OPERATION, &matrix, terms, options)?;
    // One more pass gives `R·V`; its decomposition yields singular values that were never squared.
    let image = Factor::from(matrix.image(&subspace.vectors));
    let ThinSvd { u, s, v } = thin_svd(OPERATION, "R(W)·V", &image)?;
    let v = subspace.vectors.t().dot(&v);
    let triples = s.iter().zip(u.columns()).zip(v.columns()).map(|((&sigma, tall), wide)| {
        let (a, b) = matrix.factors(tall, wide);
        (sigma, a, b)
    });
    let (iterations, converged) = (subspace.iterations, subspace.converged);
    let sum = NearestKron { iterations, converged, ..assemble(triples, matrix.norm(), matrix.unit())? };
    Ok(sum)
}

/// The sum of `terms` Kronecker products that is nearest to a weighted sum of given ones, `Σ wₜ·(Aₜ ⊗ Bₜ)`, all of one
/// shape. No dense matrix is formed.
///
/// A sum of Kronecker products is in general not one; averaging the factors entry by entry is not the best single one.
/// # Method
/// `R(Σ wₜ·Aₜ ⊗ Bₜ) = X·Yᵀ` with the columns `wₜ·vec(Aₜ)` and `vec(Bₜ)`: two thin QR decompositions and the SVD of a
/// matrix with as many rows as there are summands, in `f64`.
/// # Cost
/// `O((m·n + p·q)·count²)` flops for `count` summands. Low-rank factors are formed.
/// # Errors
/// [`KronError::TermCount`] unless `terms` is 1 to `min(count, m·n, p·q)`, [`KronError::Shape`] when the shapes differ,
/// [`KronError::NonFinite`].
/// # Examples
/// ```
/// use lokr_core::{Kron, nearest_to_sum};
/// use ndarray::array;
///
/// let (a, b) = (array![[1.0, 0.0]], array![[2.0], [1.0]]);
/// let (first, second) = (Kron::new(&a, &b)?, Kron::new(-&a, &b * 2.0)?);
/// let merged = nearest_to_sum(&[(1.0, &first), (0.25, &second)], 1)?; // the second is −2 times the first
/// assert!((merged.energy - 1.0).abs() < 1e-14);
/// assert!((merged.terms[0].to_dense() - first.to_dense() * 0.5).iter().all(|&d: &f64| d.abs() < 1e-14));
/// # Ok::<(), lokr_core::KronError>(())
/// ```
pub fn nearest_to_sum<T: Scalar>(sum: &[(T, &Kron<'_, T>)], terms: usize) -> Result<NearestKron<T>> {
    const OPERATION: &str = "nearest_to_sum";
    let Some((_, first)) = sum.first() else {
        return Err(KronError::TermCount { operation: OPERATION, asked: terms, possible: 0 });
    };
    let KronShape { m, n, p, q } = first.shape();
    for (_, kron) in sum {
        KronError::check_shape(OPERATION, "A", (m, n), kron.a().dim())?;
        KronError::check_shape(OPERATION, "B", (p, q), kron.b().dim())?;
    }
    check_terms(OPERATION, terms, sum.len().min(m * n).min(p * q))?;
    let bad = |(weight, kron): &(T, &Kron<'_, T>)| {
        usize::from(!weight.is_finite())
            + kron.parts().flat_map(|part| part.into_iter()).filter(|x| !x.is_finite()).count()
    };
    let count = sum.iter().map(bad).sum();
    if count > 0 {
        return Err(KronError::NonFinite { operation: OPERATION, argument: "sum", count });
    }

    let (mut x, mut y) = (Array2::zeros((m * n, sum.len())), Array2::zeros((sum.len(), p * q)));
    for (t, (weight, kron)) in sum.iter().enumerate() {
        let weight = weight.to_f64_exact();
        x.column_mut(t).iter_mut().zip(&kron.a().dense()).for_each(|(x, a)| *x = weight * a.to_f64_exact());
        y.row_mut(t).iter_mut().zip(&kron.b().dense()).for_each(|(y, b)| *y = b.to_f64_exact());
    }
    let ThinSvd { u, s, v } = thin_svd(OPERATION, "the sum", &Factor::low_rank(x, y)?)?;
    let matrix =
        |vector: ArrayView1<'_, f64>, rows, cols| Array2::from_shape_fn((rows, cols), |(i, j)| vector[i * cols + j]);
    let triples = s.iter().zip(u.columns()).zip(v.columns()).take(terms);
    let triples = triples.map(|((&sigma, a), b)| (sigma, matrix(a, m, n), matrix(b, p, q)));
    assemble(triples, s.dot(&s).sqrt(), 1.0)
}

fn check_terms(operation: &'static str, asked: usize, possible: usize) -> Result<()> {
    if (1..=possible).contains(&asked) { Ok(()) } else { Err(KronError::TermCount { operation, asked, possible }) }
}

/// The result from singular triples `(σ, A, B)` with unit `A` and `B`; `σ` and `norm` are to be multiplied by `unit`.
fn assemble<T: Scalar>(
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

#[cfg(test)]
mod tests;
