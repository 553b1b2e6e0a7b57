//! The two matrices of a module's LoRA, from its factors.
//!
//! Exact: with `w1 = A₁·A₂` and `w2 = B₁·B₂`, as they are held or with an identity, `w1 ⊗ w2 = (A₁ ⊗ B₁)·(A₂ ⊗ B₂)`.
//! Best: the singular values of `w1 ⊗ w2` are the products of those of `w1` and `w2`, and its singular vectors
//! Kronecker products of theirs.

use lokr_core::{Factor, Kron};
use ndarray::{Array2, array, s};

use super::options::LoraRank;
use crate::error::{JobError, ModuleError, Result};
use crate::module::{Module, ScaleRule, svd};

/// `left (out, r) · right (r, in·K)`.
pub(super) struct Halves {
    pub(super) left: Array2<f64>,
    pub(super) right: Array2<f64>,
    /// `‖ΔW‖_F`.
    pub(super) norm: f64,
    /// Share of its square that the halves have.
    pub(super) energy: f64,
}

/// The halves of the sum of the modules' changes; most often there is one module.
pub(super) fn halves(modules: &[&Module], rank: LoraRank, scale: ScaleRule) -> Result<Halves> {
    match modules {
        [module] => product_halves(module, rank, scale),
        terms => sum_halves(terms, rank, scale),
    }
}

fn product_halves(module: &Module, rank: LoraRank, scale: ScaleRule) -> Result<Halves> {
    if module.dora_scale().is_some() {
        return Err(JobError::Dora { module: module.name().to_owned(), operation: "converted to LoRA" }.into());
    }
    let (kron, s) = (module.kron::<f64>()?, module.scale_by(scale)?);
    let norm = s.abs() * kron.frobenius_norm();
    match rank {
        LoraRank::Best(rank) if rank < kron.a().rank_bound() * kron.b().rank_bound() => {
            let svd = kron.svd()?;
            let (left, right) = svd.low_rank(rank)?;
            let total: f64 = svd.values().iter().map(|x| x * x).sum();
            let energy = if total > 0.0 { 1.0 - svd.truncation_error(rank).powi(2) / total } else { 1.0 };
            let root = s.abs().sqrt();
            Ok(Halves { left: left * (root * s.signum()), right: right * root, norm, energy })
        }
        _ => {
            let ((a_left, a_right), (b_left, b_right)) = (split(kron.a()), split(kron.b()));
            let left = Kron::new(a_left, b_left)?.to_dense() * s;
            let right = Kron::new(a_right, b_right)?.to_dense();
            Ok(Halves { left, right, norm, energy: 1.0 })
        }
    }
}

/// The halves of a sum: those of its terms side by side, and of those the best of the rank.
fn sum_halves(terms: &[&Module], rank: LoraRank, scale: ScaleRule) -> Result<Halves> {
    let all = terms.iter().map(|module| product_halves(module, LoraRank::Exact, scale)).collect::<Result<Vec<_>>>()?;
    let (out, columns) = (all[0].left.nrows(), all[0].right.ncols());
    let total = all.iter().map(|halves| halves.left.ncols()).sum();
    let (mut left, mut right) = (Array2::zeros((out, total)), Array2::zeros((total, columns)));
    let mut first = 0;
    for (halves, module) in all.iter().zip(terms) {
        let (expected, found) = ((out, columns), (halves.left.nrows(), halves.right.ncols()));
        if found != expected {
            let (w1, w2, hint) = (module.w1().dim(), module.w2().dim(), "; the other terms of its sum build it");
            let module = module.name().to_owned();
            return Err(ModuleError::WeightShape { module, w1, w2, expected, found, hint }.into());
        }
        let last = first + halves.left.ncols();
        left.slice_mut(s![.., first..last]).assign(&halves.left);
        right.slice_mut(s![first..last, ..]).assign(&halves.right);
        first = last;
    }
    let sum = Factor::low_rank(left.view(), right.view())?;
    let norm = Kron::new(array![[1.0]], sum.view())?.frobenius_norm();
    match rank {
        LoraRank::Best(rank) if rank < total => {
            let svd = svd(sum)?;
            let (left, right) = svd.low_rank(rank.min(svd.values().len()))?;
            let kept: f64 = svd.values().iter().take(rank).map(|x| x * x).sum();
            let all_squares: f64 = svd.values().iter().map(|x| x * x).sum();
            Ok(Halves { left, right, norm, energy: if all_squares > 0.0 { kept / all_squares } else { 1.0 } })
        }
        _ => Ok(Halves { left, right, norm, energy: 1.0 }),
    }
}

/// Two matrices whose product the factor is, with the smallest inner size that its shape allows.
fn split(factor: &Factor<'_, f64>) -> (Array2<f64>, Array2<f64>) {
    let (rows, columns) = factor.dim();
    match factor {
        Factor::LowRank(low) if low.rank() < rows.min(columns) => (low.left().to_owned(), low.right().to_owned()),
        _ if rows <= columns => (Array2::eye(rows), factor.to_dense()),
        _ => (factor.to_dense(), Array2::eye(columns)),
    }
}
