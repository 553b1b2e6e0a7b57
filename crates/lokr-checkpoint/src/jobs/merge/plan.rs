//! Which adapters change which tensors, checked before anything is computed.

use std::collections::{BTreeMap, BTreeSet};

use super::report::{AdapterReport, AppliedModule, WeightReport};
use super::steps::{Applied, Elsewhere, Window};
use super::whole::{Whole, WholeTensors};
use crate::adapter::{Adapter, Unmatched};
use crate::dialects::Dialect;
use crate::error::{FileError, InFile, JobError, NameError, Result};
use crate::file::{FloatType, Tensor};
use crate::model::{BaseModel, Piece};
use crate::module::{AnyModule, Change, DoraStrength, OtherModule, ScaleRule, Strength};

/// Whether adapters go into a model or out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::jobs) enum Direction {
    In,
    Out,
}

/// What to do about what does not fit the base model.
#[derive(Debug, Clone, Copy)]
pub(in crate::jobs) struct Misfits {
    pub(in crate::jobs) unmatched: Unmatched,
    pub(in crate::jobs) whole: WholeTensors,
}

/// What to do to each tensor that is not only copied.
#[derive(Debug)]
pub(in crate::jobs) struct Plan<'a> {
    policy: Misfits,
    direction: Direction,
    /// By the names of stored tensors, which a module may change some rows of.
    pub(in crate::jobs) applied: BTreeMap<String, Vec<Applied<'a>>>,
    /// The adapters' `modules_to_save`, by the names of the tensors whose place they take.
    pub(in crate::jobs) modules_to_save: BTreeMap<String, Tensor>,
    /// Tensors of the adapters that the base model does not have.
    pub(in crate::jobs) added: BTreeMap<String, Tensor>,
    pub(in crate::jobs) adapters: Vec<AdapterReport>,
}

impl<'a> Plan<'a> {
    /// The plan for adapters in the order in which they are to be applied.
    pub(in crate::jobs) fn new(
        base: &BaseModel,
        adapters: &[(&'a Adapter, Strength)],
        policy: Misfits,
        direction: Direction,
    ) -> Result<Self> {
        let (applied, modules_to_save, added) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut plan = Self { policy, direction, applied, modules_to_save, added, adapters: Vec::new() };
        for &(adapter, strength) in adapters {
            plan.add(base, adapter, strength).in_file(adapter.path())?;
        }
        Ok(plan)
    }

    fn add(&mut self, base: &BaseModel, adapter: &'a Adapter, strength: Strength) -> Result<()> {
        let signed = match self.direction {
            Direction::In => strength,
            Direction::Out => Strength { multiplier: -strength.multiplier, ..strength },
        };
        let resolution = adapter.resolve(base, self.policy.unmatched)?;
        let lokr = resolution.targets().map(|(name, target)| (AnyModule::Lokr(&adapter.modules()[name]), target));
        let others = adapter.others().iter().zip(resolution.others());
        let others = others.filter_map(|(module, target)| Some((AnyModule::Other(module), target?)));
        let mut modules = 0;
        for (module, target) in lokr.chain(others) {
            modules += 1;
            let (pieces, weight) = match (base.pieces(target), base.info(target)) {
                (Some(pieces), Some((_, shape))) => (pieces, shape.to_vec()),
                _ => return Err(FileError::TensorMissing { key: target.to_owned() }.in_file(base.path())),
            };
            let mut first = 0;
            let windows = pieces.into_iter().map(|Piece { tensor, rows }| {
                first += rows.len();
                let (first, weight) = (first - rows.len(), weight.clone());
                (tensor, Window { rows, first, weight })
            });
            let windows: Vec<_> = windows.collect();
            let norms_are_shared = module.dora_scale().is_some() && windows.len() > 1;
            let elsewhere = windows.iter().filter(|_| norms_are_shared).map(|(tensor, window)| {
                let before = self.applied.get(tensor).cloned().unwrap_or_default();
                Ok(Elsewhere { weight: base.stored_weight(tensor)?, window: window.clone(), before })
            });
            let elsewhere = elsewhere.collect::<Result<Vec<_>>>()?;
            for (tensor, window) in windows {
                let dtype = base.info(&tensor).and_then(|(dtype, _)| FloatType::from_dtype(dtype));
                check_range(signed.multiplier, module.scale_by(signed.scale)?, dtype == Some(FloatType::F64))?;
                if self.modules_to_save.contains_key(&tensor) {
                    let (first, second) =
                        ("a tensor that an adapter stores whole".to_owned(), module.name().to_owned());
                    return Err(NameError::DuplicateTarget { first, second, target: tensor }.into());
                }
                let elsewhere = elsewhere.iter().filter(|other| other.window != window).cloned().collect();
                let (adapter, strength) = (self.adapters.len(), signed);
                let applied = self.applied.entry(tensor).or_default();
                applied.push(Applied { adapter, module, strength, window, elsewhere });
            }
        }
        let mut unmatched = resolution.unmatched().to_vec();
        let (missing, tied) = self.add_modules_to_save(base, adapter)?;
        if self.policy.unmatched == Unmatched::Refuse && !missing.is_empty() {
            return Err(JobError::NewTensors { tensors: missing }.into());
        }
        unmatched.extend(missing);
        self.adapters.push(AdapterReport {
            path: adapter.path().display().to_string(),
            dialect: adapter.dialect().to_string(),
            convention: convention(adapter, strength, self.direction),
            multiplier: strength.multiplier,
            modules,
            unmatched,
            placeholders: resolution.placeholders().iter().map(|(module, _)| module.clone()).collect(),
            left_out: adapter.left_out().to_vec(),
            tied,
            warnings: adapter.warnings().iter().map(ToString::to_string).collect(),
        });
        Ok(())
    }

    /// Takes the adapter's `modules_to_save`; returns those that the base model does not have and that are not known to
    /// be new, and those that it ties to others.
    fn add_modules_to_save(&mut self, base: &BaseModel, adapter: &Adapter) -> Result<(Vec<String>, Vec<String>)> {
        let (mut missing, mut tied) = (Vec::new(), Vec::new());
        for (name, tensor) in adapter.modules_to_save() {
            let adapted = self.applied.contains_key(name);
            if adapted || self.modules_to_save.contains_key(name) || self.added.contains_key(name) {
                let first = if adapted { "a module" } else { "a whole tensor of another adapter" };
                let (first, second) = (first.to_owned(), "a tensor that the adapter stores whole".to_owned());
                return Err(NameError::DuplicateTarget { first, second, target: name.clone() }.into());
            }
            match Whole::of(name, tensor, base, adapter, self.policy.whole)? {
                Whole::Replaces(tensor) => drop(self.modules_to_save.insert(name.clone(), tensor)),
                Whole::Adds(tensor) => drop(self.added.insert(name.clone(), tensor)),
                Whole::Tied => tied.push(name.clone()),
                Whole::Unknown => missing.push(name.clone()),
            }
        }
        Ok((missing, tied))
    }

    /// The report's line of a weight, nothing measured yet.
    pub(super) fn describe(&self, name: &str, base: &Tensor) -> Result<WeightReport> {
        let mut modules = Vec::new();
        for Applied { adapter, module, strength, window, .. } in self.applied.get(name).into_iter().flatten() {
            modules.push(AppliedModule {
                adapter: *adapter,
                module: module.name().to_owned(),
                algorithm: module.algorithm(),
                scale: module.scale_by(strength.scale)?,
                dora: module.dora_scale().is_some(),
                rows: window.part_of(base.shape()),
            });
        }
        let (weight, shape, dtype) = (name.to_owned(), base.shape().to_vec(), base.dtype().to_string());
        Ok(WeightReport { weight, shape, dtype, applied: modules, measured: None })
    }
}

/// An error unless the numbers before a product are finite in the type of the arithmetic.
fn check_range(multiplier: f64, scale: f64, wide: bool) -> Result<(), JobError> {
    let largest = if wide { f64::MAX } else { f32::MAX.into() };
    if [multiplier, scale, multiplier * scale].iter().all(|x| x.abs() <= largest) {
        return Ok(());
    }
    let expected = "a number that the weight's arithmetic can hold, also as multiplier times scale";
    let (option, found) = if multiplier.abs() <= 1.0 { ("scale", scale) } else { ("multiplier", multiplier) };
    Err(JobError::Option { option, expected, found: format!("{found:e}") })
}

/// The formula applied, and where its scale comes from.
fn convention(adapter: &Adapter, strength: Strength, direction: Direction) -> String {
    let scale = match strength.scale {
        ScaleRule::Fixed(s) => format!("s = {s}, as given"),
        rule => {
            let trained = match (adapter.dialect().stores_alpha(), adapter.config().is_some()) {
                (true, _) => "alpha / rank of the file, 1 where both factors are full",
                (false, true) => "alpha and rank of adapter_config.json",
                (false, false) => "not known",
            };
            let square = if rule == ScaleRule::LikeLycorisMerge { ", squared as LyCORIS's merge_to does" } else { "" };
            format!("s from {trained}{square}")
        }
    };
    let has_dora = adapter.modules().values().any(|module| module.dora_scale().is_some())
        || adapter.others().iter().any(|module| module.dora_scale().is_some());
    let dora = match strength.dora {
        _ if !has_dora => "",
        DoraStrength::FromBase => "; DoRA: W + μ·(V·g − W)",
        DoraStrength::Lycoris => "; DoRA: V·(1 + μ·(g − 1))",
    };
    let sum = if adapter.dialect() == Dialect::Terms { "Σ " } else { "" };
    let sign = match direction {
        Direction::In => '+',
        Direction::Out => '−',
    };
    let lokr = (!adapter.modules().is_empty()).then(|| format!("{sum}s·(w1 ⊗ w2)"));
    let changes = lokr.into_iter().chain(formulas(adapter)).collect::<Vec<_>>().join(&format!(", W {sign} μ·"));
    format!("{}: W {sign} μ·{changes}, {scale}{dora}", adapter.dialect())
}

/// What other algorithms change, each once.
fn formulas(adapter: &Adapter) -> Vec<String> {
    let of = |module: &OtherModule| match module.change() {
        Change::Lora(_) => "s·up·down (LoRA)",
        Change::Loha(_) => "s·(w1_a·w1_b)∘(w2_a·w2_b) (LoHa)",
        _ => "Δ (stored differences)",
    };
    adapter.others().iter().map(of).collect::<BTreeSet<_>>().into_iter().map(str::to_owned).collect()
}
