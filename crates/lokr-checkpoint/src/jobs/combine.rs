//! One adapter from several.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use lokr_core::sizes::is_low_rank;
use lokr_core::{Factor, Kron, nearest_to_sum};
use serde::Serialize;

use super::energy;
use super::for_all::for_all;
use super::progress::Progress;
use crate::adapter::{Adapter, Names, Target, check_kernels, targets};
use crate::dialect::terms;
use crate::dialects::Dialect;
use crate::error::{InFile, JobError, Result};
use crate::file::{FloatType, Tensor, product};
use crate::model::BaseModel;
use crate::module::{FactorSize, Module, NewModule, ScaleRule, size_factor, stored_dtype};

/// Choices of [`combine`].
///
/// # Examples
/// ```
/// use lokr_checkpoint::{CombineOptions, FactorSize};
///
/// let options = CombineOptions { size: Some(FactorSize::Rank(16)), ..CombineOptions::default() };
/// assert_eq!(options.dtype, None);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CombineOptions {
    /// How `w2` of a sum is held. `None`: at the sum of the ranks where all summands are low-rank, which loses nothing,
    /// and full otherwise. A share of the energy is of the best single LoKr's.
    pub size: Option<FactorSize>,
    /// The type sums are stored in; `None`: the widest of the summands'.
    pub dtype: Option<FloatType>,
}

/// What [`combine`] made.
#[derive(Debug)]
pub struct Combination {
    /// The sum, in the adapters' dialect, with the names, the metadata and the configuration of the first one. Modules
    /// of several adapters have scale 1. Their `modules_to_save` are taken over.
    pub adapter: Adapter,
    /// How well single products capture the sums.
    pub report: CombineReport,
}

/// How well an adapter captures the weighted sum of several.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CombineReport {
    /// The modules, by name.
    pub modules: Vec<CombinedModule>,
    /// Share of the squared norm of all modules' sums that is captured.
    pub energy: f64,
}

/// One module of a [`CombineReport`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CombinedModule {
    /// Its name.
    pub name: String,
    /// How many modules were summed; where only one, it is passed on with its weight.
    pub summands: usize,
    /// Rank of `w2`, where it is low-rank.
    pub rank: Option<usize>,
    /// `‖Σ wₜ·ΔWₜ‖_F`.
    pub norm: f64,
    /// Share of its square captured; 1 for a sum that is zero.
    pub energy: f64,
}

/// The best single LoKr of a weighted sum of LoKrs, module by module.
///
/// The sum of Kronecker products is in general not one. Averaging the factors, the usual advice, is another and worse
/// answer; this is the best one ([`nearest_to_sum`]), and no matrix of the weight's size is formed.
///
/// Each adapter comes with its weight, by which its own trained scale is multiplied. A module that one adapter alone
/// has is passed on as it is stored, its scale times the weight. Of [`Dialect::Terms`] all terms are summed, also those
/// of one adapter. `base` tells the kernels of convolutions whose low-rank `w2` is stored flat. Without it such a `w2`
/// is taken for a linear layer's, which is wrong where the sum's `w2` comes out full; the adapter then does not fit the
/// model, and merging says so.
/// # Errors
/// [`JobError::Option`] without adapters and for weights that are not finite; [`JobError::CombineDialects`];
/// [`JobError::CombineShapes`]; [`JobError::Dora`] for DoRA modules, which add up to nothing, unless passed on with
/// weight 1; [`JobError::CombineModulesToSave`]; [`JobError::OtherAlgorithm`]; [`JobError::KernelUnknown`];
/// [`ModuleError::NonFinite`](crate::ModuleError::NonFinite); [`FileError::OutOfRange`](crate::FileError::OutOfRange)
/// for values that the type to store cannot hold; [`JobError::Interrupted`]; those of [`Module::kron`] and
/// [`Module::scale_by`]; with a base those of [`Adapter::resolve`]; those of [`Adapter::from_modules`] for what the
/// dialect cannot hold.
/// # Examples
/// ```no_run
/// use std::ops::ControlFlow;
/// use lokr_checkpoint::{Adapter, CombineOptions, ReadOptions, combine};
///
/// let style = Adapter::read("style.safetensors", &ReadOptions::default())?;
/// let person = Adapter::read("person.safetensors", &ReadOptions::default())?;
/// let summands = [(&style, 0.7), (&person, 1.0)];
/// let both = combine(&summands, None, &CombineOptions::default(), &mut |_| ControlFlow::Continue(()))?;
/// println!("{:.1} % of the sum", 100.0 * both.report.energy);
/// # Ok::<(), lokr_checkpoint::CheckpointError>(())
/// ```
pub fn combine(
    adapters: &[(&Adapter, f64)],
    base: Option<&BaseModel>,
    options: &CombineOptions,
    progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<Combination> {
    let first = check(adapters, options)?;
    let mut summands: BTreeMap<String, Vec<Summand<'_>>> = BTreeMap::new();
    for &(adapter, weight) in adapters {
        let targets = targets(adapter, base, Names::Adapter)?;
        check_kernels(adapter, &targets)?;
        for target in targets {
            // All terms of a sum become one.
            let name = match (adapter.dialect(), terms::path(&target.name)) {
                (Dialect::Terms, Some(path)) => terms::name(path, 0),
                _ => target.name.clone(),
            };
            summands.entry(name).or_default().push(Summand { target, weight });
        }
    }
    for (adapter, _) in adapters {
        adapter.refuse_others("combined").in_file(adapter.path())?;
    }
    let to_save = modules_to_save(adapters).in_file(first.path())?;
    let summands: Vec<_> = summands.into_iter().collect();
    let combined =
        for_all(&summands, |(name, _)| name, progress, |(name, summands)| combine_modules(name, summands, options));
    let combined = combined.in_file(first.path())?;
    let (mut modules, mut lines) = (BTreeMap::new(), Vec::new());
    for ((name, _), (module, line)) in summands.into_iter().zip(combined) {
        modules.insert(name, module);
        lines.push(line);
    }
    let energy = energy::captured(lines.iter().map(|line| (line.norm, line.energy)));
    let adapter = first.with_modules(modules, to_save, base)?;
    Ok(Combination { adapter, report: CombineReport { modules: lines, energy } })
}

/// The first adapter, all of them checked.
fn check<'a>(adapters: &[(&'a Adapter, f64)], options: &CombineOptions) -> Result<&'a Adapter, JobError> {
    options.size.map_or(Ok(()), FactorSize::check)?;
    let error = |option, expected, found| Err(JobError::Option { option, expected, found });
    let Some(&(first, _)) = adapters.first() else {
        return error("adapters", "at least one", "none".to_owned());
    };
    for (adapter, weight) in adapters {
        if !weight.is_finite() {
            return error("weight", "a finite number", weight.to_string());
        }
        if adapter.dialect() != first.dialect() {
            let (first, second) = (first.dialect(), adapter.dialect());
            return Err(JobError::CombineDialects { first, second });
        }
    }
    Ok(first)
}

/// The `modules_to_save` that one adapter has, or several alike, all with weight 1.
fn modules_to_save(adapters: &[(&Adapter, f64)]) -> Result<BTreeMap<String, Tensor>, JobError> {
    let mut all: BTreeMap<String, Tensor> = BTreeMap::new();
    for (adapter, weight) in adapters {
        for (key, tensor) in adapter.modules_to_save() {
            let same = all.get(key).is_none_or(|first| {
                first.dtype() == tensor.dtype() && first.shape() == tensor.shape() && first.bytes() == tensor.bytes()
            });
            if !same || *weight != 1.0 {
                return Err(JobError::CombineModulesToSave { key: key.clone() });
            }
            all.insert(key.clone(), tensor.clone());
        }
    }
    Ok(all)
}

/// A module, and what it is multiplied by.
struct Summand<'a> {
    target: Target<'a>,
    weight: f64,
}

/// One module of the sum of those of one name.
fn combine_modules(name: &str, summands: &[Summand<'_>], options: &CombineOptions) -> Result<(Module, CombinedModule)> {
    if let [Summand { target, weight }] = summands {
        return pass_on(name, target.module, *weight);
    }
    let (mut krons, mut weights) = (Vec::new(), Vec::new());
    let first = summands[0].target.module;
    for Summand { target, weight } in summands {
        let module = target.module;
        if module.dora_scale().is_some() {
            return Err(JobError::Dora { module: name.to_owned(), operation: "combined" }.into());
        }
        let (w1, w2) = (module.w1().dim(), module.w2().dim());
        let (first_w1, first_w2) = (first.w1().dim(), first.w2().dim());
        if (w1, w2) != (first_w1, first_w2) {
            return Err(JobError::CombineShapes { module: name.to_owned(), first_w1, first_w2, w1, w2 }.into());
        }
        module.check_finite()?;
        krons.push(module.kron::<f64>()?);
        weights.push(weight * module.scale_by(ScaleRule::Trained)?);
    }
    if let Some(place) = weights.iter().position(|weight| !weight.is_finite()) {
        let (option, expected) = ("weight", "a number whose product with the scale is finite");
        return Err(JobError::Option { option, expected, found: format!("{:e}", summands[place].weight) }.into());
    }
    let sum: Vec<(f64, &Kron<'_, f64>)> = weights.into_iter().zip(&krons).collect();
    let nearest = nearest_to_sum(&sum, 1)?;
    let (a, b) = (nearest.terms[0].a().to_dense(), nearest.terms[0].b().to_dense());

    // Without a base model one of the summands may tell it all the same.
    let kernel = summands.iter().map(|summand| summand.target.kernel()).max_by_key(|kernel| kernel.len());
    let kernel = kernel.unwrap_or_default();
    let size = options.size.unwrap_or_else(|| exact_size(&krons, kernel));
    let sized = size_factor(b.into(), kernel, size)?;
    let dtype = options.dtype.or_else(|| widest(summands)).unwrap_or(FloatType::F32);
    let built = NewModule { name, kernel, dtype, scale: 1.0 }.of(&a, &sized.factor)?;
    let energy = nearest.energy * sized.energy;
    let norm = if nearest.energy > 0.0 { nearest.singular_values[0] / nearest.energy.sqrt() } else { 0.0 };
    let line = CombinedModule { name: name.to_owned(), summands: summands.len(), rank: built.rank(), norm, energy };
    Ok((built, line))
}

/// The sum of the ranks, where all second factors are low-rank.
fn exact_size(krons: &[Kron<'_, f64>], kernel: &[usize]) -> FactorSize {
    let ranks: Option<usize> = krons
        .iter()
        .map(|kron| match kron.b() {
            Factor::Full(_) => None,
            Factor::LowRank(low) => Some(low.rank()),
        })
        .sum();
    let (p, columns) = krons[0].b().dim();
    let sides = (p, columns / product(kernel).max(1));
    match ranks {
        Some(rank) if is_low_rank(rank, sides) => FactorSize::Rank(rank),
        _ => FactorSize::Full,
    }
}

fn widest(summands: &[Summand<'_>]) -> Option<FloatType> {
    summands.iter().map(|summand| stored_dtype(summand.target.module)).reduce(FloatType::wider)
}

/// A module as it is stored, its scale times `weight`.
fn pass_on(name: &str, only: &Module, weight: f64) -> Result<(Module, CombinedModule)> {
    let scale = weight * only.scale_by(ScaleRule::Trained)?;
    let norm = scale.abs() * only.kron::<f64>()?.frobenius_norm();
    let passed = if weight == 1.0 {
        only.clone()
    } else if only.dora_scale().is_some() {
        return Err(JobError::Dora { module: name.to_owned(), operation: "weighted" }.into());
    } else {
        Module::new(name, only.w1().clone(), only.w2().clone(), scale)?
    };
    let line = CombinedModule { name: name.to_owned(), summands: 1, rank: only.rank(), norm, energy: 1.0 };
    Ok((passed, line))
}
