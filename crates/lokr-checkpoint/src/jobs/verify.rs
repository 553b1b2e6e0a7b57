//! Whether a model is what a base and adapters make together.

use std::ops::ControlFlow;

use lokr_core::Scalar;
use rayon::prelude::*;
use serde::Serialize;

use super::merge::{AdapterReport, Applied, Direction, Misfits, Plan, Steps, WholeTensors};
use super::progress::Progress;
use crate::adapter::{Adapter, Unmatched};
use crate::error::{InFile, JobError, Result};
use crate::file::{FloatType, Tensor, rows_mut};
use crate::model::BaseModel;
use crate::module::Strength;

/// Choices of [`verify`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VerifyOptions {
    /// Modules that the base model does not have.
    pub unmatched: Unmatched,
    /// Tensors that an adapter stores whole and that the base model lacks or has in another shape.
    pub whole: WholeTensors,
    /// How far a value may be from the exact one, in units of its stored type's epsilon times the mean size of the
    /// base's and the exact value. 1 allows for one rounding in each of two programs; programs that compute in half
    /// types, as PEFT does for such models, need more.
    pub tolerance: f64,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { unmatched: Unmatched::default(), whole: WholeTensors::default(), tolerance: 1.0 }
    }
}

/// How a tensor compares with what is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Within the tolerance, or the same bits.
    Match,
    /// Some values are not, or the tensors have different shapes.
    Mismatch,
}

/// What is expected of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Expectation {
    /// The base weight with the adapters.
    Adapted,
    /// A tensor of an adapter's `modules_to_save`.
    Replaced,
    /// The base tensor.
    Unchanged,
}

/// One tensor of both models.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorCheck {
    /// The name.
    pub name: String,
    /// What it was compared with.
    pub expected: Expectation,
    /// The verdict.
    pub verdict: Verdict,
    /// Values out of tolerance; all of them where shapes or types rule a comparison out.
    pub wrong: usize,
    /// The largest absolute error.
    pub largest_error: f64,
    /// The largest absolute error relative to the tensor's largest value.
    pub relative_error: f64,
    /// How much of the adapters' change the model holds, by least squares: 1 where all is right, 0 where it was not
    /// merged, the scale for a scale applied twice. Nothing where nothing should change.
    pub share: Option<f64>,
}

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerifyReport {
    /// The adapters, as understood.
    pub adapters: Vec<AdapterReport>,
    /// The tensors that both have, by name.
    pub tensors: Vec<TensorCheck>,
    /// Tensors of the base that the model does not have.
    pub missing: Vec<String>,
    /// Tensors of the model that the base does not have.
    pub extra: Vec<String>,
    /// [`Verdict::Match`] if every tensor matches and none is missing or extra.
    pub verdict: Verdict,
}

/// Compares a merged model with what `base` and `adapters` make together, tensor by tensor, without writing anything.
///
/// A model that is different is no error: the report says so.
///
/// # Cost
/// One read of both models, on all threads; memory as in [`merge`](crate::merge()).
///
/// # Errors
/// [`JobError::Option`]; those of [`Adapter::resolve`],
/// [`ModuleError::ScaleUnknown`](crate::ModuleError::ScaleUnknown), [`JobError::ReplacementShape`],
/// [`NameError::DuplicateTarget`](crate::NameError::DuplicateTarget); [`JobError::Interrupted`].
///
/// # Examples
/// ```no_run
/// use std::ops::ControlFlow;
/// use lokr_checkpoint::{Adapter, BaseModel, ReadOptions, Strength, Verdict, VerifyOptions, verify};
///
/// let (base, merged) = (BaseModel::open("model/")?, BaseModel::open("merged/")?);
/// let adapter = Adapter::read("adapter/", &ReadOptions::default())?;
/// let adapters = [(&adapter, Strength::default())];
/// let report = verify(&base, &adapters, &merged, &VerifyOptions::default(), &mut |_| ControlFlow::Continue(()))?;
/// assert_eq!(report.verdict, Verdict::Match);
/// # Ok::<(), lokr_checkpoint::CheckpointError>(())
/// ```
pub fn verify(
    base: &BaseModel,
    adapters: &[(&Adapter, Strength)],
    merged: &BaseModel,
    options: &VerifyOptions,
    progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<VerifyReport> {
    if !(options.tolerance >= 0.0 && options.tolerance.is_finite()) {
        let expected = "a finite number that is not negative";
        return Err(JobError::Option { option: "tolerance", expected, found: options.tolerance.to_string() }.into());
    }
    let misfits = Misfits { unmatched: options.unmatched, whole: options.whole };
    let plan = Plan::new(base, adapters, misfits, Direction::In)?;
    let expected = base.names().chain(plan.added.keys().map(String::as_str));
    let (both, missing): (Vec<_>, Vec<_>) = expected.partition(|name| merged.info(name).is_some());
    let is_extra = |name: &&str| base.info(name).is_none() && !plan.added.contains_key(*name);
    let extra = merged.names().filter(is_extra).map(str::to_owned).collect();
    let missing = missing.into_iter().map(str::to_owned).collect();
    let mut tell = |event: Progress<'_>| event.tell(progress);
    let bytes = base.files().iter().map(|file| file.data_bytes() as u64).sum();
    tell(Progress::Started { tensors: both.len(), bytes })?;
    let mut tensors = Vec::with_capacity(both.len());
    for name in both {
        let found = merged.tensor(name)?;
        if let Some(added) = plan.added.get(name) {
            let sums = compare(added, &found, &[], options).in_file(merged.path())?;
            tensors.push(sums.verdict(name, Expectation::Replaced));
            let bytes = added.bytes().len() as u64;
            tell(Progress::Tensor { name, bytes })?;
            continue;
        }
        let before = base.tensor(name)?;
        let pieces = plan.pieces(base, name, &before)?;
        let check = check(&plan, name, &before, &pieces, &found, options);
        tensors.push(check.in_file(base.path())?);
        let bytes = before.bytes().len() as u64;
        tell(Progress::Tensor { name, bytes })?;
    }
    tell(Progress::Finishing)?;
    let mut report = VerifyReport { adapters: plan.adapters, tensors, missing, extra, verdict: Verdict::Match };
    let all_match = report.tensors.iter().all(|tensor| tensor.verdict == Verdict::Match);
    if !(all_match && report.missing.is_empty() && report.extra.is_empty()) {
        report.verdict = Verdict::Mismatch;
    }
    Ok(report)
}

/// Compares a tensor with the base's, which also comes in the pieces that adapters change apart.
fn check(
    plan: &Plan<'_>,
    name: &str,
    base: &Tensor,
    pieces: &[(String, Tensor)],
    found: &Tensor,
    options: &VerifyOptions,
) -> Result<TensorCheck> {
    let adapted = pieces.iter().any(|(weight, _)| plan.applied.contains_key(weight));
    let (expected, sums) = match plan.modules_to_save.get(name) {
        Some(replacement) => (Expectation::Replaced, compare(replacement, found, &[], options)?),
        None if !adapted => (Expectation::Unchanged, compare(base, found, &[], options)?),
        None if base.shape() != found.shape() => (Expectation::Adapted, Sums::incomparable(found)),
        None => {
            let (mut sums, mut first) = (Sums::default(), 0);
            for (weight, base) in pieces {
                let rows = first..first + base.shape()[0];
                first = rows.end;
                let applied = plan.applied.get(weight).map_or(&[][..], |applied| applied);
                sums = sums.and(compare(base, &found.rows(rows), applied, options)?);
            }
            (Expectation::Adapted, sums)
        }
    };
    Ok(sums.verdict(name, expected))
}

/// Compares a tensor, or rows of one, with what modules make of the base's.
fn compare(base: &Tensor, found: &Tensor, applied: &[Applied<'_>], options: &VerifyOptions) -> Result<Sums> {
    if applied.is_empty() && (base.dtype(), base.shape(), base.bytes()) == (found.dtype(), found.shape(), found.bytes())
    {
        return Ok(Sums::default());
    }
    let pair = match (FloatType::from_dtype(base.dtype()), FloatType::from_dtype(found.dtype())) {
        (Some(from), Some(to)) if base.shape() == found.shape() => {
            Pair { base, from, found, to, tolerance: options.tolerance }
        }
        _ => return Ok(Sums::incomparable(found)),
    };
    match (applied, pair.from) {
        ([], _) => pair.compare(&Steps::<f64>::none(base.element_count())),
        (_, FloatType::F64) => pair.compare(&Steps::<f64>::new(applied, base, pair.from)?),
        (_, _) => pair.compare(&Steps::<f32>::new(applied, base, pair.from)?),
    }
}

/// A tensor of the base, and the one found in the merged model.
struct Pair<'a> {
    base: &'a Tensor,
    from: FloatType,
    found: &'a Tensor,
    to: FloatType,
    tolerance: f64,
}

#[derive(Default)]
struct Sums {
    wrong: usize,
    error: f64,
    largest: f64,
    /// `‖expected − base‖²` and `⟨found − base, expected − base⟩`.
    change: f64,
    overlap: f64,
}

impl Sums {
    /// Of a tensor of which no value can be compared.
    fn incomparable(found: &Tensor) -> Self {
        Self { wrong: found.element_count().max(1), error: f64::INFINITY, ..Self::default() }
    }

    fn verdict(&self, name: &str, expected: Expectation) -> TensorCheck {
        TensorCheck {
            name: name.to_owned(),
            expected,
            verdict: if self.wrong == 0 { Verdict::Match } else { Verdict::Mismatch },
            wrong: self.wrong,
            largest_error: self.error,
            relative_error: if self.error == 0.0 { 0.0 } else { self.error / self.largest },
            share: (self.change > 0.0).then(|| self.overlap / self.change),
        }
    }

    fn and(self, next: Self) -> Self {
        Self {
            wrong: self.wrong + next.wrong,
            error: self.error.max(next.error),
            largest: self.largest.max(next.largest),
            change: self.change + next.change,
            overlap: self.overlap + next.overlap,
        }
    }
}

impl Pair<'_> {
    /// Compares tile by tile; the tiles' sums are joined in their order.
    fn compare<T: Scalar>(&self, steps: &Steps<T>) -> Result<Sums> {
        let rows = steps.tile_rows();
        let elements = rows * steps.columns.max(1);
        let tiles = self.base.bytes().par_chunks(elements * self.from.size());
        let tiles = tiles.zip(self.found.bytes().par_chunks(elements * self.to.size())).enumerate();
        let sums: Vec<_> = tiles
            .map(|(index, (base, found))| {
                let length = base.len() / self.from.size();
                let (mut before, mut right) = (vec![T::zero(); length], vec![T::zero(); length]);
                // What was found is compared as it is stored, also where arithmetic is in f32.
                let mut got = vec![0f64; length];
                self.from.decode(base, &mut before);
                self.to.decode(found, &mut got);
                right.copy_from_slice(&before);
                let first = index * rows;
                steps.apply(&mut rows_mut(&mut right, steps.columns), first..first + length / steps.columns);
                self.sums(&before, &right, &got)
            })
            .collect();
        Ok(sums.into_iter().fold(Sums::default(), Sums::and))
    }

    fn sums<T: Scalar>(&self, before: &[T], right: &[T], got: &[f64]) -> Sums {
        let largest = right.iter().fold(0f64, |max, x| max.max(x.to_f64_exact().abs()));
        // Beside the stored type's rounding, that of the arithmetic, and f16's smallest step.
        let floor =
            8.0 * T::epsilon().to_f64_exact() * largest + if self.to == FloatType::F16 { 2f64.powi(-24) } else { 0.0 };
        let mut sums = Sums { largest, ..Sums::default() };
        for ((before, right), &got) in before.iter().zip(right).zip(got) {
            let (before, right) = (before.to_f64_exact(), right.to_f64_exact());
            if right.is_nan() && got.is_nan() || right == got {
                // Also for equal infinities, whose difference is no number.
            } else {
                let error = (got - right).abs();
                sums.error = sums.error.max(if error.is_nan() { f64::INFINITY } else { error });
                let size = 0.5 * (before.abs() + right.abs());
                let allowed = self.tolerance * self.to.epsilon() * size + floor;
                sums.wrong += usize::from(error.is_nan() || error > allowed);
            }
            sums.change += (right - before) * (right - before);
            sums.overlap += (got - before) * (right - before);
        }
        sums
    }
}
