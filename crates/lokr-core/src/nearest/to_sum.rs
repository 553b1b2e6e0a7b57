//! The nearest sum of products to a weighted sum of products.

use super::found::{NearestKron, assemble, check_terms};
use super::stacked::stacked;
use crate::check::count_non_finite;
use crate::decompose::{ThinSvd, thin_svd};
use crate::error::{KronError, Result};
use crate::gemm::views::folded;
use crate::operator::Kron;
use crate::scalar::Scalar;
use crate::shape::KronShape;
use crate::sums::times_two_to;

/// The sum of `terms` Kronecker products that is nearest to a weighted sum of given ones, `Σ wₜ·(Aₜ ⊗ Bₜ)`, all of one
/// shape. No dense matrix is formed.
///
/// A sum of Kronecker products is in general not one; averaging the factors entry by entry is not the best single one.
/// # Method
/// `R(Σ wₜ·Aₜ ⊗ Bₜ) = X·Yᵀ` with the columns `wₜ·vec(Aₜ)` and `vec(Bₜ)`: two thin QR decompositions and the SVD of a
/// matrix with as many rows as there are summands, in `f64`. Weights and factors may be as large and small as their
/// type has numbers.
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
        usize::from(!weight.is_finite()) + kron.parts().map(|part| count_non_finite(&part)).sum::<usize>()
    };
    KronError::check_all_finite(OPERATION, "sum", sum.iter().map(bad).sum())?;

    let (halves, exponent) = stacked(sum)?;
    let ThinSvd { u, s, v } = thin_svd(OPERATION, "the sum", &halves)?;
    let triples = s.iter().zip(u.columns()).zip(v.columns()).take(terms);
    let triples = triples.map(|((&sigma, a), b)| (sigma, folded(a, m, n), folded(b, p, q)));
    let mut found = assemble(triples, s.dot(&s).sqrt(), 1.0)?;
    for mut part in found.terms.iter_mut().flat_map(Kron::parts_mut) {
        part.mapv_inplace(|value| times_two_to(value, exponent / 2));
    }
    found.singular_values.iter_mut().for_each(|sigma| *sigma = times_two_to(*sigma, exponent));
    Ok(found)
}
