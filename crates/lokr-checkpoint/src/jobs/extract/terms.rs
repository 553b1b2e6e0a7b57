//! The Kronecker terms nearest to one weight's difference.

use lokr_core::{Factor, Kron, KronShape, NearestKron, NearestOptions, Scalar, factorization, nearest_kron};
use ndarray::{Array2, ArrayRef2};

use super::low_rank::{Improved, improve};
use super::options::ExtractOptions;
use crate::error::{CheckpointError, Result};
use crate::file::product;
use crate::module::{FactorSize, size_factor};

/// The factors of the splits tried where a share of the energy alone is asked for, besides the even one.
const SPLITS: [i64; 7] = [-1, 64, 32, 16, 8, 4, 2];

/// Looser is not exact to rounding in f32, whose own limit is a little above.
const TOLERANCE: f64 = 1e-6;

/// The terms found, and how well they do.
pub(super) struct Found {
    pub(super) terms: Vec<(Array2<f64>, Factor<'static, f64>)>,
    /// Share of `‖D‖_F²`.
    pub(super) energy: f64,
    pub(super) converged: bool,
}

pub(super) fn find<T: Scalar>(flat: &ArrayRef2<T>, weight: &[usize], options: &ExtractOptions) -> Result<Found> {
    let kernel = &weight[2..];
    let split = |factor| {
        let (m, p) = factorization(weight[0], factor, options.rule)?;
        let (n, q) = factorization(weight[1], factor, options.rule)?;
        Ok::<_, CheckpointError>(KronShape::new(m, n, p, q * product(kernel))?)
    };
    let FactorSize::Energy(share) = options.size else {
        return sized(flat, split(options.factor.unwrap_or(-1))?, kernel, options);
    };
    let factors = options.factor.map_or(SPLITS.to_vec(), |factor| vec![factor]);
    let mut shapes = factors.into_iter().map(split).collect::<Result<Vec<_>>>()?;
    shapes.sort_by_key(|shape| (shape.parameter_count(), shape.m));
    shapes.dedup();
    let mut best: Option<NearestKron<T>> = None;
    for shape in shapes {
        let nearest = nearest(flat, shape, options)?;
        if best.as_ref().is_none_or(|best| nearest.energy > best.energy) {
            let enough = reaches(nearest.energy, share);
            best = Some(nearest);
            if enough {
                break;
            }
        }
    }
    #[allow(clippy::expect_used)] // A list of factors is never empty.
    let nearest = best.expect("at least one split");
    // Of each term's own energy; the terms are orthogonal to each other, so that energies add up.
    let own = if nearest.energy > 0.0 { (share / nearest.energy).min(1.0) } else { 1.0 };
    cut(&nearest, kernel, FactorSize::Energy(own))
}

fn nearest<T: Scalar>(flat: &ArrayRef2<T>, shape: KronShape, options: &ExtractOptions) -> Result<NearestKron<T>> {
    let KronShape { m, n, p, q } = shape;
    // A small weight may not have as many terms.
    let terms = options.terms.min(m * n).min(p * q);
    let settings = NearestOptions { tolerance: TOLERANCE, seed: options.seed, ..NearestOptions::default() };
    Ok(nearest_kron(flat, shape, terms, &settings)?)
}

/// The terms of a split, `w2` of each full or of a rank.
fn sized<T: Scalar>(
    flat: &ArrayRef2<T>,
    shape: KronShape,
    kernel: &[usize],
    options: &ExtractOptions,
) -> Result<Found> {
    let start = cut(&nearest(flat, shape, options)?, kernel, options.size)?;
    match (&options.size, &start.terms[..]) {
        (FactorSize::Rank(_), [(a, Factor::LowRank(b))]) => {
            let Improved { a, b, energy } = improve(flat, a, b)?;
            Ok(Found { terms: vec![(a, b)], energy, converged: start.converged })
        }
        _ => Ok(start),
    }
}

/// The terms with `w2` as `size` says.
fn cut<T: Scalar>(nearest: &NearestKron<T>, kernel: &[usize], size: FactorSize) -> Result<Found> {
    let (mut terms, mut energy) = (Vec::new(), 0.0);
    for (term, share) in nearest.terms.iter().zip(&nearest.energies) {
        let (a, b) = wide(term);
        let sized = size_factor(b.into(), kernel, size)?;
        terms.push((a, sized.factor));
        energy += share * sized.energy;
    }
    Ok(Found { terms, energy: energy.min(1.0), converged: nearest.converged })
}

fn wide<T: Scalar>(term: &Kron<'_, T>) -> (Array2<f64>, Array2<f64>) {
    (term.a().dense().mapv(T::to_f64_exact), term.b().dense().mapv(T::to_f64_exact))
}

/// Equal up to what rounding in f32 leaves.
pub(super) fn reaches(energy: f64, share: f64) -> bool {
    energy >= share - 1e-9
}
