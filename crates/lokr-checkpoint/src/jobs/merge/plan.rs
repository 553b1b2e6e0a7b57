//! Which adapters change which tensors, checked before anything is computed.

use std::collections::BTreeMap;

use super::report::{AdapterReport, AppliedModule, WeightReport};
use super::steps::Applied;
use super::whole::{Whole, WholeTensors};
use crate::adapter::{Adapter, Unmatched};
use crate::dialects::Dialect;
use crate::error::{InFile, JobError, NameError, Result};
use crate::file::{FloatType, Tensor};
use crate::model::BaseModel;
use crate::module::{DoraStrength, ScaleRule, Strength};

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
    /// By the names of weights, which may be thirds of a fused tensor.
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
        for (name, target) in resolution.targets() {
            let module = &adapter.modules()[name];
            let wide = base.info(target).is_some_and(|(dtype, _)| FloatType::from_dtype(dtype) == Some(FloatType::F64));
            check_range(signed.multiplier, module.scale_by(signed.scale)?, wide)?;
            if self.modules_to_save.contains_key(base.stored_in(target)) {
                let (first, target) = ("a tensor that an adapter stores whole".to_owned(), target.to_owned());
                return Err(NameError::DuplicateTarget { first, second: name.to_owned(), target }.into());
            }
            let applied = self.applied.entry(target.to_owned()).or_default();
            applied.push(Applied { adapter: self.adapters.len(), module, strength: signed });
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
            modules: resolution.targets().len(),
            unmatched,
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
            let adapted = self.applied.keys().any(|weight| base.stored_in(weight) == name);
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

    /// A tensor of the base in the pieces that adapters change apart: its thirds if it is a fused one, else itself;
    /// each with the name of the weight it is, and in the order of their rows.
    pub(in crate::jobs) fn pieces(
        &self,
        base: &BaseModel,
        name: &str,
        tensor: &Tensor,
    ) -> Result<Vec<(String, Tensor)>> {
        let thirds = base.thirds(name);
        if !thirds.iter().any(|third| self.applied.contains_key(third)) {
            return Ok(vec![(name.to_owned(), tensor.clone())]);
        }
        thirds.into_iter().map(|third| base.tensor(&third).map(|tensor| (third, tensor))).collect()
    }

    /// The report's line of a weight, nothing measured yet.
    pub(super) fn describe(&self, name: &str, base: &Tensor) -> Result<WeightReport> {
        let mut modules = Vec::new();
        for Applied { adapter, module, strength } in self.applied.get(name).into_iter().flatten() {
            modules.push(AppliedModule {
                adapter: *adapter,
                module: module.name().to_owned(),
                scale: module.scale_by(strength.scale)?,
                dora: module.dora_scale().is_some(),
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
    let has_dora = adapter.modules().values().any(|module| module.dora_scale().is_some());
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
    format!("{}: W {sign} μ·{sum}s·(w1 ⊗ w2), {scale}{dora}", adapter.dialect())
}
