//! Whether a model is what a base and adapters make together.

use std::collections::BTreeSet;
use std::ops::{ControlFlow, RangeInclusive};

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
use crate::quantized::{Codec, Encoding, Weight};

/// Choices of [`verify`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VerifyOptions {
    /// Modules that the base model does not have.
    pub unmatched: Unmatched,
    /// Tensors that an adapter stores whole and that the base model lacks or has in another shape.
    pub whole: WholeTensors,
    /// How far a value may be from the exact one, in units of its stored type's epsilon times the mean size of the
    /// base's and the exact value. 1 allows for one rounding in each of two programs; programs that compute in half
    /// types, as PEFT does for such models, need more. Of a type of eight bits, 1 allows for one step to the next
    /// value, and the change as a whole must be there, too.
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
    /// Some values are not, or the tensors have different shapes, or values of eight bits are, but not the change.
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
/// A model that is different is no error: the report says so. Of weights of eight bits, what they stand for is
/// compared; their scales may be others, and either model may hold floats where the other one does not.
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
    let belongings = Belongings::new(base, merged, &plan);
    let expected = base.names().chain(plan.added.keys().map(String::as_str)).filter(|name| !belongings.contains(name));
    let (both, missing): (Vec<_>, Vec<_>) = expected.partition(|name| merged.info(name).is_some());
    let is_extra =
        |name: &&str| base.info(name).is_none() && !plan.added.contains_key(*name) && !belongings.contains(name);
    let extra = merged.names().filter(is_extra).map(str::to_owned).collect();
    let missing = missing.into_iter().map(str::to_owned).collect();
    let mut tell = |event: Progress<'_>| event.tell(progress);
    let bytes = base.files().iter().map(|file| file.data_bytes() as u64).sum();
    tell(Progress::Started { tensors: both.len(), bytes })?;
    let mut tensors = Vec::with_capacity(both.len());
    for name in both {
        let found = Side::new(merged, name)?;
        if let Some(added) = plan.added.get(name) {
            let sums = compare(&Side::of(added), &found, &[], options).in_file(merged.path())?;
            tensors.push(sums.verdict(name, Expectation::Replaced, &found));
            let bytes = added.bytes().len() as u64;
            tell(Progress::Tensor { name, bytes })?;
            continue;
        }
        let before = Side::new(base, name)?;
        let check = check(&plan, name, &before, &found, options);
        tensors.push(check.in_file(base.path())?);
        let bytes = before.tensor.bytes().len() as u64;
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

/// The tensors of two models that only say how weights are stored, where these are compared by their values.
struct Belongings(BTreeSet<String>);

impl Belongings {
    fn new(base: &BaseModel, merged: &BaseModel, plan: &Plan<'_>) -> Self {
        let dtype = |model: &BaseModel, name| model.info(name).map(|(dtype, _)| dtype);
        let adapted: BTreeSet<_> = plan.applied.keys().map(|weight| base.stored_in(weight)).collect();
        let all = base.companions().into_iter().chain(merged.companions());
        let by_value = all.filter(|(_, of)| adapted.contains(of) || dtype(base, of) != dtype(merged, of));
        let markers = base.markers().iter().chain(merged.markers()).cloned();
        Self(by_value.map(|(name, _)| name).chain(markers).collect())
    }

    fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

/// A tensor of one of the models, and how its values follow, where it has values to compute with.
struct Side {
    tensor: Tensor,
    encoding: Option<Encoding>,
}

impl Side {
    fn new(model: &BaseModel, name: &str) -> Result<Self> {
        Ok(Self { tensor: model.tensor(name)?, encoding: model.encoding(name)? })
    }

    fn of(tensor: &Tensor) -> Self {
        Self { tensor: tensor.clone(), encoding: FloatType::from_dtype(tensor.dtype()).map(Encoding::plain) }
    }

    fn has_same_bits(&self, other: &Self) -> bool {
        let bits = |side: &Self| (side.tensor.dtype(), side.tensor.shape().to_vec());
        let scales = |side: &Self| side.encoding.as_ref().and_then(|encoding| encoding.scales().cloned());
        bits(self) == bits(other) && self.tensor.bytes() == other.tensor.bytes() && scales(self) == scales(other)
    }
}

/// Compares a tensor with what is expected of the base's.
fn check(plan: &Plan<'_>, name: &str, base: &Side, found: &Side, options: &VerifyOptions) -> Result<TensorCheck> {
    let (expected, sums) = match (plan.modules_to_save.get(name), plan.applied.get(name)) {
        (Some(replacement), _) => (Expectation::Replaced, compare(&Side::of(replacement), found, &[], options)?),
        (None, None) => (Expectation::Unchanged, compare(base, found, &[], options)?),
        (None, Some(applied)) => (Expectation::Adapted, compare(base, found, applied, options)?),
    };
    Ok(sums.verdict(name, expected, found))
}

/// Compares a tensor, or rows of one, with what modules make of the base's.
fn compare(base: &Side, found: &Side, applied: &[Applied<'_>], options: &VerifyOptions) -> Result<Sums> {
    if applied.is_empty() && base.has_same_bits(found) {
        return Ok(Sums::default());
    }
    let weight = |side: &Side| Some(Weight { tensor: side.tensor.clone(), encoding: side.encoding.clone()? });
    let pair = match (weight(base), weight(found)) {
        (Some(base), Some(found)) if base.tensor.shape() == found.tensor.shape() => {
            Pair { base, found, tolerance: options.tolerance }
        }
        _ => return Ok(Sums::incomparable(&found.tensor)),
    };
    match (applied, pair.base.encoding.unquantized()) {
        ([], _) => pair.compare(&Steps::<f64>::none(base.tensor.shape())),
        (_, Some(FloatType::F64)) => pair.compare(&Steps::<f64>::new(applied, &pair.base)?),
        (_, _) => pair.compare(&Steps::<f32>::new(applied, &pair.base)?),
    }
}

/// A tensor of the base, and the one found in the merged model.
struct Pair {
    base: Weight,
    found: Weight,
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
    /// `‖found − expected‖²`.
    errors: f64,
}

/// The least and the most of a change that values of eight bits may hold.
const HELD: RangeInclusive<f64> = 0.25..=1.75;
/// How far chance alone takes what they hold, in standard deviations.
const CHANCE: f64 = 4.0;
/// Steps of the stored type by which values may be off that were rounded together, in another basis.
const ROTATED: f64 = 3.0;

impl Sums {
    /// Of a tensor of which no value can be compared.
    fn incomparable(found: &Tensor) -> Self {
        Self { wrong: found.element_count().max(1), error: f64::INFINITY, ..Self::default() }
    }

    fn verdict(&self, name: &str, expected: Expectation, found: &Side) -> TensorCheck {
        let is_coarse = found.encoding.as_ref().is_some_and(|encoding| encoding.unquantized().is_none());
        let right = self.wrong == 0 && (!is_coarse || self.holds_change(found.tensor.element_count()));
        TensorCheck {
            name: name.to_owned(),
            expected,
            verdict: if right { Verdict::Match } else { Verdict::Mismatch },
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
            errors: self.errors + next.errors,
        }
    }

    /// Whether the change is there, in values of which each alone could be rounded.
    fn holds_change(&self, elements: usize) -> bool {
        if self.change == 0.0 {
            return true;
        }
        let chance = CHANCE * (self.errors / self.change / elements as f64).sqrt();
        let share = self.overlap / self.change;
        share + chance >= *HELD.start() && share - chance <= *HELD.end()
    }
}

impl Pair {
    /// Compares tile by tile; the tiles' sums are joined in their order.
    fn compare<T: Scalar>(&self, steps: &Steps<T>) -> Result<Sums> {
        let rows = steps.tile_rows();
        let elements = rows * steps.columns.max(1);
        let (from, to) = (&self.base.encoding, &self.found.encoding);
        let tiles = self.base.tensor.bytes().par_chunks(elements * from.size());
        let tiles = tiles.zip(self.found.tensor.bytes().par_chunks(elements * to.size())).enumerate();
        let sums: Vec<_> = tiles
            .map(|(index, (base, found))| {
                let (row, length) = (index * rows, base.len() / from.size());
                let first = row * steps.columns;
                let (mut before, mut right) = (vec![T::zero(); length], vec![T::zero(); length]);
                // What was found is compared as it is stored, also where arithmetic is in f32.
                let mut got = vec![0f64; length];
                from.decode(first, base, &mut before);
                to.decode(first, found, &mut got);
                right.copy_from_slice(&before);
                steps.apply(&mut rows_mut(&mut right, steps.columns), row..row + length / steps.columns);
                self.sums(first, &before, &right, &got)
            })
            .collect();
        Ok(sums.into_iter().fold(Sums::default(), Sums::and))
    }

    /// Sums over the elements from `first` on.
    fn sums<T: Scalar>(&self, first: usize, before: &[T], right: &[T], got: &[f64]) -> Sums {
        let largest = right.iter().fold(0f64, |max, x| max.max(x.to_f64_exact().abs()));
        let to = &self.found.encoding;
        // Beside the stored type's rounding, that of the arithmetic, and f16's smallest step.
        let f16 = if to.unquantized() == Some(FloatType::F16) { 2f64.powi(-24) } else { 0.0 };
        let floor = 8.0 * T::epsilon().to_f64_exact() * largest + f16;
        let steps = self.tolerance * if to.is_rotated() { ROTATED } else { 1.0 };
        let mut sums = Sums { largest, ..Sums::default() };
        for (element, ((before, right), &got)) in (first..).zip(before.iter().zip(right).zip(got)) {
            let (before, right) = (before.to_f64_exact(), right.to_f64_exact());
            if right.is_nan() && got.is_nan() || right == got {
                // Also for equal infinities, whose difference is no number.
            } else {
                let error = (got - right).abs();
                sums.error = sums.error.max(if error.is_nan() { f64::INFINITY } else { error });
                // Stochastic rounding takes a value to the farther of its neighbours, too.
                let coarse = to.unquantized().is_none();
                let size = if coarse { before.abs().max(right.abs()) } else { 0.5 * (before.abs() + right.abs()) };
                let allowed = steps * to.step(element, size) + floor;
                sums.wrong += usize::from(error.is_nan() || error > allowed);
            }
            sums.change += (right - before) * (right - before);
            sums.overlap += (got - before) * (right - before);
            sums.errors += (got - right) * (got - right);
        }
        sums
    }
}
