//! Which adapters change which tensors, checked before anything is computed.

use std::collections::BTreeMap;

use super::report::{AdapterReport, AppliedModule, WeightReport};
use super::steps::{Applied, Elsewhere, Window};
use crate::adapter::{Adapter, Unmatched};
use crate::dialects::Dialect;
use crate::error::{FileError, InFile, JobError, NameError, Result};
use crate::file::{FloatType, Tensor};
use crate::model::{BaseModel, Piece};
use crate::module::{DoraStrength, ScaleRule, Strength};

/// Whether adapters go into a model or out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::jobs) enum Direction {
    In,
    Out,
}

/// What to do to each tensor that is not only copied.
#[derive(Debug)]
pub(in crate::jobs) struct Plan<'a> {
    policy: Unmatched,
    direction: Direction,
    /// By the names of stored tensors, which a module may change some rows of.
    pub(in crate::jobs) applied: BTreeMap<String, Vec<Applied<'a>>>,
    /// The adapters' `modules_to_save`, by the names of the tensors whose place they take.
    pub(in crate::jobs) modules_to_save: BTreeMap<String, Tensor>,
    pub(in crate::jobs) adapters: Vec<AdapterReport>,
}

impl<'a> Plan<'a> {
    /// The plan for adapters in the order in which they are to be applied.
    pub(in crate::jobs) fn new(
        base: &BaseModel,
        adapters: &[(&'a Adapter, Strength)],
        policy: Unmatched,
        direction: Direction,
    ) -> Result<Self> {
        let (applied, modules_to_save) = (BTreeMap::new(), BTreeMap::new());
        let mut plan = Self { policy, direction, applied, modules_to_save, adapters: Vec::new() };
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
        let resolution = adapter.resolve(base, self.policy)?;
        for (name, target) in resolution.targets() {
            let module = &adapter.modules()[name];
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
                Ok(Elsewhere { tensor: base.tensor(tensor)?, window: window.clone(), before })
            });
            let elsewhere = elsewhere.collect::<Result<Vec<_>>>()?;
            for (tensor, window) in windows {
                let dtype = base.info(&tensor).and_then(|(dtype, _)| FloatType::from_dtype(dtype));
                check_range(signed.multiplier, module.scale_by(signed.scale)?, dtype == Some(FloatType::F64))?;
                if self.modules_to_save.contains_key(&tensor) {
                    let first = "a tensor in modules_to_save".to_owned();
                    return Err(NameError::DuplicateTarget { first, second: name.to_owned(), target: tensor }.into());
                }
                let elsewhere = elsewhere.iter().filter(|other| other.window != window).cloned().collect();
                let (adapter, strength) = (self.adapters.len(), signed);
                let applied = self.applied.entry(tensor).or_default();
                applied.push(Applied { adapter, module, strength, window, elsewhere });
            }
        }
        let mut unmatched = resolution.unmatched().to_vec();
        let missing = self.add_modules_to_save(base, adapter)?;
        if self.policy == Unmatched::Refuse && !missing.is_empty() {
            let total = adapter.modules().len() + adapter.modules_to_save().len();
            return Err(NameError::UnmatchedModules { modules: missing, total }.into());
        }
        unmatched.extend(missing);
        self.adapters.push(AdapterReport {
            path: adapter.path().display().to_string(),
            dialect: adapter.dialect().to_string(),
            convention: convention(adapter, strength, self.direction),
            multiplier: strength.multiplier,
            modules: resolution.targets().len(),
            unmatched,
            placeholders: resolution.placeholders().iter().map(|(module, _)| module.clone()).collect(),
            warnings: adapter.warnings().iter().map(ToString::to_string).collect(),
        });
        Ok(())
    }

    /// Takes the adapter's `modules_to_save`; returns those that the base model does not have.
    fn add_modules_to_save(&mut self, base: &BaseModel, adapter: &Adapter) -> Result<Vec<String>> {
        let mut missing = Vec::new();
        for (name, tensor) in adapter.modules_to_save() {
            let stored = base.info(name).filter(|_| base.stores(name));
            let Some((dtype, shape)) = stored else {
                missing.push(name.clone());
                continue;
            };
            if tensor.shape() != shape {
                let (key, expected, found) = (name.clone(), shape.to_vec(), tensor.shape().to_vec());
                return Err(JobError::ReplacementShape { key, expected, found }.into());
            }
            let adapted = self.applied.contains_key(name);
            if adapted || self.modules_to_save.contains_key(name) {
                let first = if adapted { "a module" } else { "modules_to_save of another adapter" };
                let (first, second) = (first.to_owned(), "modules_to_save".to_owned());
                return Err(NameError::DuplicateTarget { first, second, target: name.clone() }.into());
            }
            let tensor = match FloatType::from_dtype(dtype) {
                _ if tensor.dtype() == dtype => tensor.clone(),
                Some(dtype) => tensor.scaled(name, 1.0, dtype)?,
                None => return Err(FileError::TensorDtype { key: name.clone(), dtype }.into()),
            };
            self.modules_to_save.insert(name.clone(), tensor);
        }
        Ok(missing)
    }

    /// A tensor of the base in the pieces that are worked on one after another, each with its name: itself, since modules
    /// know which rows of it they change.
    pub(in crate::jobs) fn pieces(
        &self,
        _base: &BaseModel,
        name: &str,
        tensor: &Tensor,
    ) -> Result<Vec<(String, Tensor)>> {
        Ok(vec![(name.to_owned(), tensor.clone())])
    }

    /// The report's line of a weight, nothing measured yet.
    pub(super) fn describe(&self, name: &str, base: &Tensor) -> Result<WeightReport> {
        let mut modules = Vec::new();
        for Applied { adapter, module, strength, window, .. } in self.applied.get(name).into_iter().flatten() {
            modules.push(AppliedModule {
                adapter: *adapter,
                module: module.name().to_owned(),
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
