//! The nearest sum of products to a dense matrix.

use ndarray::ArrayRef2;

use super::found::{NearestKron, assemble, check_terms};
use super::options::NearestOptions;
use super::rearranged::Rearranged;
use super::subspace;
use crate::decompose::{ThinSvd, thin_svd};
use crate::error::{KronError, Result};
use crate::operator::Factor;
use crate::scalar::Scalar;
use crate::shape::KronShape;

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
