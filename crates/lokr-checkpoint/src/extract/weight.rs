//! The nearest LoKr of one weight's difference.

use lokr_core::{Factor, Kron, KronShape, NearestKron, NearestOptions, Scalar, factorization, nearest_kron};
use ndarray::{Array2, ArrayD, ArrayRef, ArrayRef2, Dimension};

use super::low_rank::alternate;
use super::survey::Candidate;
use super::{ExtractOptions, ExtractedModule};
use crate::factor::product;
use crate::size::{hold, module};
use crate::{BaseModel, CheckpointError, FactorSize, Module, Result};

/// Splits tried where a share of the energy alone is asked for, besides the even one.
const FACTORS: [i64; 7] = [-1, 64, 32, 16, 8, 4, 2];

/// Looser is not exact to rounding in f32, whose own limit is a little above.
const TOLERANCE: f64 = 1e-6;

/// The terms found, and how well they do.
pub(super) struct Found {
    pub(super) terms: Vec<(Array2<f64>, Factor<'static, f64>)>,
    /// Share of `‖D‖_F²`.
    pub(super) energy: f64,
    pub(super) converged: bool,
}

/// The modules of one weight, one per term; `None` when it did not change.
pub(super) fn extract_weight<T: Scalar>(
    base: &BaseModel,
    tuned: &BaseModel,
    candidate: &Candidate,
    options: &ExtractOptions,
) -> Result<Option<(Vec<Module>, ExtractedModule)>> {
    let (difference, norm) = difference::<T>(base, tuned, &candidate.tensor)?;
    let count = difference.iter().filter(|x| !x.is_finite()).count();
    if count > 0 {
        let error = CheckpointError::NonFinite { module: candidate.module.clone(), key: "weight", count };
        return Err(error.in_file(tuned.path()));
    }
    let change = frobenius(&difference);
    if change == 0.0 || change <= options.min_change * norm {
        return Ok(None);
    }
    let weight = difference.shape().to_vec();
    let (out, columns) = (weight[0], product(&weight[1..]));
    #[allow(clippy::expect_used)] // The array is row-major and has these sizes.
    let flat = difference.into_shape_with_order((out, columns)).expect("as many elements as before");
    let found = find(&flat, &weight, options)?;

    let kind = options.kind.unwrap_or(candidate.kind);
    let built = |(a, b): &(_, _)| module(&candidate.module, a, b, &weight[2..], kind, 1.0);
    let modules: Vec<Module> = found.terms.iter().map(built).collect::<Result<_>>()?;
    let reached = match options.size {
        FactorSize::Energy(share) => reaches(found.energy, share),
        _ => true,
    };
    let line = ExtractedModule {
        w1: modules[0].w1().dim().into(),
        w2: modules[0].w2().dim().into(),
        name: candidate.module.clone(),
        rank: modules[0].rank(),
        terms: modules.len(),
        parameters: modules.iter().map(Module::parameter_count).sum(),
        norm: change,
        relative_change: if norm > 0.0 { change / norm } else { f64::INFINITY },
        energy: found.energy,
        converged: found.converged,
        reached,
        weight,
    };
    Ok(Some((modules, line)))
}

/// `tuned − base`, and `‖base‖_F`.
pub(super) fn difference<T: Scalar>(base: &BaseModel, tuned: &BaseModel, name: &str) -> Result<(ArrayD<T>, f64)> {
    let mut difference = tuned.weight::<T>(name)?;
    let base = base.weight::<T>(name)?;
    difference -= &base;
    Ok((difference, frobenius(&base)))
}

fn frobenius<T: Scalar, D: Dimension>(array: &ArrayRef<T, D>) -> f64 {
    array.iter().map(|x| x.to_f64_exact().powi(2)).sum::<f64>().sqrt()
}

/// Equal up to what rounding in f32 leaves.
fn reaches(energy: f64, share: f64) -> bool {
    energy >= share - 1e-9
}

fn find<T: Scalar>(flat: &ArrayRef2<T>, weight: &[usize], options: &ExtractOptions) -> Result<Found> {
    let kernel = &weight[2..];
    let split = |factor| {
        let (m, p) = factorization(weight[0], factor, options.rule)?;
        let (n, q) = factorization(weight[1], factor, options.rule)?;
        Ok::<_, CheckpointError>(KronShape::new(m, n, p, q * product(kernel))?)
    };
    let FactorSize::Energy(share) = options.size else {
        return sized(flat, split(options.factor.unwrap_or(-1))?, kernel, options);
    };
    let factors = options.factor.map_or(FACTORS.to_vec(), |factor| vec![factor]);
    let mut shapes = factors.into_iter().map(split).collect::<Result<Vec<_>>>()?;
    shapes.sort_by_key(|shape| (shape.parameter_count(), shape.m));
    shapes.dedup();
    let mut best: Option<(NearestKron<T>, KronShape)> = None;
    for shape in shapes {
        let nearest = nearest(flat, shape, options)?;
        if best.as_ref().is_none_or(|(best, _)| nearest.energy > best.energy) {
            let enough = reaches(nearest.energy, share);
            best = Some((nearest, shape));
            if enough {
                break;
            }
        }
    }
    #[allow(clippy::expect_used)] // A list of factors is never empty.
    let (nearest, _) = best.expect("at least one split");
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
        (FactorSize::Rank(_), [(a, Factor::LowRank(b))]) => alternate(flat, a, b, start.converged),
        _ => Ok(start),
    }
}

/// The terms with `w2` as `size` says.
fn cut<T: Scalar>(nearest: &NearestKron<T>, kernel: &[usize], size: FactorSize) -> Result<Found> {
    let (mut terms, mut energy) = (Vec::new(), 0.0);
    for (term, share) in nearest.terms.iter().zip(&nearest.energies) {
        let (a, b) = wide(term);
        let held = hold(b.into(), kernel, size)?;
        terms.push((a, held.factor));
        energy += share * held.energy;
    }
    Ok(Found { terms, energy: energy.min(1.0), converged: nearest.converged })
}

fn wide<T: Scalar>(term: &Kron<'_, T>) -> (Array2<f64>, Array2<f64>) {
    (term.a().dense().mapv(T::to_f64_exact), term.b().dense().mapv(T::to_f64_exact))
}
