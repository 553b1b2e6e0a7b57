//! The nearest Kronecker product whose second factor has a given rank.

use lokr_core::{Factor, LowRank, Scalar};
use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayRef2, ArrayView2, Axis};

use crate::error::Result;
use crate::module::svd;

const ROUNDS: usize = 50;

/// A round that captures less than this share more is the last.
const GAIN: f64 = 1e-9;

/// A product of that kind, and its share of `‖w‖_F²`.
pub(super) struct Improved {
    pub(super) a: Array2<f64>,
    pub(super) b: Factor<'static, f64>,
    pub(super) energy: f64,
}

/// Improves `a ⊗ b`, where `b` is of low rank, as an approximation of `w`: each factor in turn becomes the best one for
/// the other.
///
/// For a unit `A` the best `B` is the best approximation of that rank of `C = Σ A[i, j]·W_ij`, over the blocks of `W`;
/// one step of subspace iteration towards it is made, `B = U·Uᵀ·C` with `U` spanning `C·V`, which never captures less.
/// For a given `B` the best `A` is `⟨W_ij, B⟩/‖B‖²`. What is captured is `‖B‖²`, and it never falls.
/// # Cost
/// Two passes over `w` and two decompositions of matrices with `r` columns per round.
pub(super) fn improve<T: Scalar>(w: &ArrayRef2<T>, a: &Array2<f64>, b: &LowRank<'_, f64>) -> Result<Improved> {
    let total: f64 = w.iter().map(|x| x.to_f64_exact().powi(2)).sum();
    let size = (b.left().nrows(), b.right().ncols());
    let mut a = unit(a.clone());
    let mut v = basis(b.right().t())?;
    let mut captured = 0.0;
    let mut round = 0;
    loop {
        round += 1;
        let c = contract(w, &a, size);
        let u = basis(c.dot(&v).view())?;
        let right = u.t().dot(&c);
        let now: f64 = right.iter().map(|x| x * x).sum();
        if round < ROUNDS && now - captured > GAIN * total {
            captured = now;
            v = basis(right.t())?;
            a = unit(blocks(w, &u.dot(&right), a.dim()));
            continue;
        }
        let (sigma, rank) = (now.sqrt(), u.ncols());
        // `A` is a unit matrix and `‖B‖ = σ`; in the end both are √σ, and the halves of `B` share evenly.
        let (left, right) = svd(Factor::low_rank(u, right)?)?.low_rank(rank)?;
        let half = if sigma > 0.0 { sigma.powf(-0.25) } else { 1.0 };
        let b = Factor::low_rank(left * half, right * half)?;
        return Ok(Improved { a: a * sigma.sqrt(), b, energy: (now / total).min(1.0) });
    }
}

fn unit(a: Array2<f64>) -> Array2<f64> {
    let norm = a.iter().map(|x| x * x).sum::<f64>().sqrt();
    if norm > 0.0 { a / norm } else { a }
}

/// Orthonormal columns that span those of `matrix`.
fn basis(matrix: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
    Ok(svd(matrix.into_owned())?.left()?.b().to_dense())
}

/// `Σ a[i, j]·W_ij`, `(p, q)`; `2·out·in` flops.
fn contract<T: Scalar>(w: &ArrayRef2<T>, a: &Array2<f64>, (p, q): (usize, usize)) -> Array2<f64> {
    let mut c = Array2::zeros((p, q));
    c.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(k, mut c_row)| {
        for (i, a_row) in a.rows().into_iter().enumerate() {
            for (piece, &x) in w.row(i * p + k).exact_chunks(q).into_iter().zip(a_row) {
                c_row.zip_mut_with(&piece, |c, w| *c += x * w.to_f64_exact());
            }
        }
    });
    c
}

/// `⟨W_ij, B⟩` for all blocks, `(m, n)`; `2·out·in` flops.
fn blocks<T: Scalar>(w: &ArrayRef2<T>, b: &Array2<f64>, (m, n): (usize, usize)) -> Array2<f64> {
    let (p, q) = b.dim();
    let mut inner = Array2::zeros((m, n));
    inner.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(i, mut inner_row)| {
        for (k, b_row) in b.rows().into_iter().enumerate() {
            for (piece, sum) in w.row(i * p + k).exact_chunks(q).into_iter().zip(&mut inner_row) {
                *sum += piece.iter().zip(b_row).map(|(w, b)| w.to_f64_exact() * b).sum::<f64>();
            }
        }
    });
    inner
}
