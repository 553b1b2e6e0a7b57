//! The iteration of conjugate gradients itself, for a batch of rows.

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView1, ArrayViewMut1, Axis};

use super::preconditioner::Inverse;
use super::system::System;
use crate::error::{KronError, Result};
use crate::scalar::Scalar;
use crate::sums::dot;

/// Rows that are still iterated, and where each belongs.
struct Rows<T> {
    /// The row of the result.
    index: Vec<usize>,
    /// What has been added up.
    e: Array2<T>,
    /// The residual of `e`.
    r: Array2<T>,
    /// The direction.
    p: Array2<T>,
    /// `rᵀ·M⁻¹·r`.
    rz: Vec<T>,
    target: Vec<T>,
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Made,
    /// The target is reached.
    Done,
    /// There is no curvature along the direction that rounding does not make.
    Stuck,
    /// `pᵀ·M·p` is negative.
    Indefinite,
}

/// `e` with residuals `r − M·e` of norms at most `targets`, by at most `limit` steps, and the steps made.
///
/// # Errors
/// [`KronError::NotPositiveDefinite`].
pub(super) fn correction<T: Scalar>(
    system: &System<T>,
    inverse: &Inverse<T>,
    r: Array2<T>,
    targets: Vec<T>,
    limit: usize,
) -> Result<(Array2<T>, usize)> {
    let mut found = Array2::zeros(r.dim());
    let p = inverse.apply(&r)?;
    let rz = r.rows().into_iter().zip(p.rows()).map(|(r, z)| inner(r, z)).collect();
    let (index, e) = ((0..r.nrows()).collect(), Array2::zeros(r.dim()));
    let mut rows = Rows { index, e, r, p, rz, target: targets };
    // What the largest eigenvalue is at least.
    let mut largest = system.diagonal.iter().copied().fold(T::zero(), T::max);
    for step in 0..limit {
        let w = system.apply(&rows.p)?;
        let steps = rows.advance(&w, largest);
        if steps.iter().any(|(step, _)| *step == Step::Indefinite) {
            return Err(KronError::NotPositiveDefinite { operation: "conjugate_gradients", name: "K + D" });
        }
        largest = steps.iter().map(|(_, ratio)| *ratio).fold(largest, T::max);
        let goes_on: Vec<usize> = (0..steps.len()).filter(|&row| steps[row].0 == Step::Made).collect();
        if goes_on.len() < steps.len() || step + 1 == limit {
            rows.index.iter().zip(rows.e.rows()).for_each(|(&index, e)| found.row_mut(index).assign(&e));
        }
        if goes_on.is_empty() || step + 1 == limit {
            return Ok((found, step + 1));
        }
        if goes_on.len() < steps.len() {
            rows.keep(&goes_on);
        }
        let z = inverse.apply(&rows.r)?;
        rows.turn(&z);
    }
    Ok((found, limit))
}

impl<T: Scalar> Rows<T> {
    /// A step along every direction, whose images are `w`; with it, how much longer than `p` each `w` is.
    fn advance(&mut self, w: &Array2<T>, largest: T) -> Vec<(Step, T)> {
        let moved = self.e.axis_iter_mut(Axis(0)).into_par_iter().zip(self.r.axis_iter_mut(Axis(0)));
        let along = self.p.axis_iter(Axis(0)).into_par_iter().zip(w.axis_iter(Axis(0)));
        let numbers = self.rz.par_iter().zip(&self.target);
        moved
            .zip(along)
            .zip(numbers)
            .map(|((moved, along), (&rz, &target))| one_step(moved, along, rz, target, largest))
            .collect()
    }

    /// The next directions: `p ← z + β·p`.
    fn turn(&mut self, z: &Array2<T>) {
        let residuals = self.r.axis_iter(Axis(0)).into_par_iter().zip(z.axis_iter(Axis(0)));
        let directions = self.p.axis_iter_mut(Axis(0)).into_par_iter().zip(self.rz.par_iter_mut());
        directions.zip(residuals).for_each(|((mut p, rz), (r, z))| {
            let next = inner(r, z);
            let beta = next / *rz;
            p.zip_mut_with(&z, |p, &z| *p = z + beta * *p);
            *rz = next;
        });
    }

    fn keep(&mut self, rows: &[usize]) {
        let of = |matrix: &Array2<T>| matrix.select(Axis(0), rows);
        *self = Self {
            index: rows.iter().map(|&row| self.index[row]).collect(),
            e: of(&self.e),
            r: of(&self.r),
            p: of(&self.p),
            rz: rows.iter().map(|&row| self.rz[row]).collect(),
            target: rows.iter().map(|&row| self.target[row]).collect(),
        };
    }
}

fn one_step<T: Scalar>(
    (mut e, mut r): (ArrayViewMut1<'_, T>, ArrayViewMut1<'_, T>),
    (p, w): (ArrayView1<'_, T>, ArrayView1<'_, T>),
    rz: T,
    target: T,
    largest: T,
) -> (Step, T) {
    let (pw, pp, ww) = (inner(p, w), inner(p, p), inner(w, w));
    let ratio = (ww / pp).sqrt();
    // Of a vector of length one in the null space rounding makes as much.
    let nothing = T::epsilon() * largest.max(ratio) * pp;
    if pw < -T::from_f64_lossy(16.0) * nothing {
        return (Step::Indefinite, ratio);
    }
    // Not so for NaN either.
    let has_curvature = pw > nothing && rz > T::zero();
    if !has_curvature {
        return (Step::Stuck, ratio);
    }
    let alpha = rz / pw;
    e.scaled_add(alpha, &p);
    r.scaled_add(-alpha, &w);
    let norm = inner(r.view(), r.view()).sqrt();
    (if norm > target { Step::Made } else { Step::Done }, ratio)
}

/// `xᵀ·y`, in pairs.
fn inner<T: Scalar>(x: ArrayView1<'_, T>, y: ArrayView1<'_, T>) -> T {
    dot(x.insert_axis(Axis(0)), y.insert_axis(Axis(0))).value()
}
