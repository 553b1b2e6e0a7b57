//! A LoRA from a LoKr, for programs that know only LoRA.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use lokr_core::{Factor, Kron};
use ndarray::{Array2, array, s};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::energy;
use super::for_all::for_all;
use super::progress::Progress;
use crate::adapter::{Adapter, Names, check_kernels, targets, write_peft};
use crate::dialect::peft::{PREFIX, modules_to_save};
use crate::error::{InFile, JobError, ModuleError, Result};
use crate::file::{FloatType, Overwrite, Tensor};
use crate::model::BaseModel;
use crate::module::{Module, ScaleRule, stored_dtype, svd, tensor_with_kernel};

/// Which LoRA [`to_lora`] makes.
///
/// # Examples
/// ```
/// assert_eq!(lokr_checkpoint::LoraRank::default(), lokr_checkpoint::LoraRank::Exact);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LoraRank {
    /// The same change, of the rank that the factors' shapes bound: `min(m, n)·r` for a `w2` of rank `r`, and up to
    /// `min(m, n)·min(p, q)` for a full one, which is as large as the weight.
    #[default]
    Exact,
    /// The best approximation of this rank; exact for modules whose rank is not higher.
    Best(usize),
}

/// A LoRA in PEFT's layout.
#[derive(Debug, Clone)]
pub struct Lora {
    /// `base_model.model.<module>.lora_A.weight (r, in, kernel…)` and `.lora_B.weight (out, r, 1…)`, and the adapter's
    /// `modules_to_save`.
    pub tensors: BTreeMap<String, Tensor>,
    /// The fields of `adapter_config.json`. Every module's `alpha` is its rank, so that all scales are 1.
    pub config: Map<String, Value>,
    /// What it captures.
    pub report: LoraReport,
}

/// How well a LoRA captures a LoKr.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LoraReport {
    /// The modules, by the base model's names.
    pub modules: Vec<LoraModule>,
    /// Share of the squared norm of all modules' changes that is captured.
    pub energy: f64,
    /// Values of the LoKr.
    pub lokr_parameters: usize,
    /// Values of the LoRA.
    pub lora_parameters: usize,
}

/// One module of a [`LoraReport`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoraModule {
    /// The base model's name, without `.weight`.
    pub name: String,
    /// Rank of the LoRA.
    pub rank: usize,
    /// `‖ΔW‖_F` of the LoKr.
    pub norm: f64,
    /// Share of its square captured; 1 for a change that is zero.
    pub energy: f64,
}

/// The LoRA of every module of an adapter, by small decompositions: no matrix of the weight's size is formed.
///
/// # Method
/// Exact: with `w1 = A₁·A₂` and `w2 = B₁·B₂`, as they are held or with an identity, `w1 ⊗ w2 = (A₁ ⊗ B₁)·(A₂ ⊗ B₂)`.
/// Best: the singular values of `w1 ⊗ w2` are the products of those of `w1` and `w2`, and its singular vectors
/// Kronecker products of theirs. Of a sum of terms ([`Dialect::Terms`](crate::Dialect::Terms)) the halves are set side
/// by side, and the best of a rank comes from their singular values.
///
/// `base` gives the modules their names and shapes. Without it a PEFT or dotted adapter's own names are taken, and a
/// low-rank `w2` whose file does not tell its kernel is taken for a linear layer's. `dtype` is the type to store;
/// `None`: that of the factors.
/// # Errors
/// [`JobError::Option`] for rank 0; [`NameError::BaseNeeded`](crate::NameError::BaseNeeded),
/// [`JobError::KernelUnknown`]; [`JobError::Dora`]; [`FileError::OutOfRange`](crate::FileError::OutOfRange) for values
/// that the type to store cannot hold; [`ModuleError::WeightShape`] for terms of one sum that build different
/// weights; those of [`Adapter::resolve`], [`Module::kron`] and [`Module::scale_by`]; [`JobError::Interrupted`].
/// # Examples
/// ```no_run
/// use std::ops::ControlFlow;
/// use lokr_checkpoint::{Adapter, LoraRank, Overwrite, ReadOptions, to_lora};
///
/// let adapter = Adapter::read("my-lokr", &ReadOptions::default())?;
/// let lora = to_lora(&adapter, None, LoraRank::Best(64), None, &mut |_| ControlFlow::Continue(()))?;
/// println!("{:.1} % of the change", 100.0 * lora.report.energy);
/// lora.write("my-lora", Overwrite::Refuse)?;
/// # Ok::<(), lokr_checkpoint::CheckpointError>(())
/// ```
pub fn to_lora(
    adapter: &Adapter,
    base: Option<&BaseModel>,
    rank: LoraRank,
    dtype: Option<FloatType>,
    progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<Lora> {
    if rank == LoraRank::Best(0) {
        let (option, expected, found) = ("rank", "a positive number", "0".to_owned());
        return Err(JobError::Option { option, expected, found }.into());
    }
    adapter.refuse_others("written as a LoRA of PEFT").in_file(adapter.path())?;
    let mut targets = targets(adapter, base, Names::Base)?;
    check_kernels(adapter, &targets)?;
    // The terms of a sum side by side.
    targets.sort_by(|a, b| a.name.cmp(&b.name));
    let sums: Vec<_> = targets.chunk_by(|a, b| a.name == b.name).collect();
    let converted = for_all(
        &sums,
        |terms| &terms[0].name,
        progress,
        |terms| {
            let (name, kernel) = (&terms[0].name, terms[0].kernel());
            let modules: Vec<_> = terms.iter().map(|term| term.module).collect();
            let Halves { left, right, norm, energy } = match modules[..] {
                [module] => halves(module, rank).in_file(adapter.path())?,
                _ => sum_halves(&modules, rank).in_file(adapter.path())?,
            };
            let stored = modules.iter().map(|module| stored_dtype(module)).reduce(FloatType::wider);
            let dtype = dtype.or(stored).unwrap_or(FloatType::F32);
            let key = |half| format!("{name}.lora_{half}.weight");
            let tensors = [
                tensor_with_kernel(&key("A"), &right, kernel, dtype)?,
                tensor_with_kernel(&key("B"), &left, &vec![1; kernel.len()], dtype)?,
            ];
            Ok((tensors, LoraModule { name: name.clone(), rank: left.ncols(), norm, energy }))
        },
    )?;
    let (mut tensors, mut report) = (BTreeMap::new(), LoraReport::default());
    for (terms, (halves, line)) in sums.iter().zip(converted) {
        report.lokr_parameters += terms.iter().map(|term| term.module.parameter_count()).sum::<usize>();
        for (half, tensor) in ["A", "B"].into_iter().zip(halves) {
            report.lora_parameters += tensor.element_count();
            tensors.insert(format!("{PREFIX}{}.lora_{half}.weight", line.name), tensor);
        }
        report.modules.push(line);
    }
    report.energy = energy::captured(report.modules.iter().map(|module| (module.norm, module.energy)));
    tensors.extend(adapter.modules_to_save().iter().map(|(name, tensor)| (format!("{PREFIX}{name}"), tensor.clone())));
    Ok(Lora { tensors, config: config(adapter, &report.modules), report })
}

impl Lora {
    /// Writes a PEFT directory: `adapter_config.json` and `adapter_model.safetensors`, the same bytes for the same
    /// LoRA.
    ///
    /// # Errors
    /// Those of [`OutputDirectory`](crate::OutputDirectory) and [`write_tensors`](crate::write_tensors).
    pub fn write(&self, path: impl AsRef<Path>, overwrite: Overwrite) -> Result<()> {
        let config = serde_json::to_string_pretty(&self.config)? + "\n";
        write_peft(path.as_ref(), &self.tensors, BTreeMap::new(), config.as_bytes(), overwrite)
    }
}

/// `left (out, r) · right (r, in·K)`.
struct Halves {
    left: Array2<f64>,
    right: Array2<f64>,
    norm: f64,
    energy: f64,
}

fn halves(module: &Module, rank: LoraRank) -> Result<Halves> {
    if module.dora_scale().is_some() {
        return Err(JobError::Dora { module: module.name().to_owned(), operation: "converted to LoRA" }.into());
    }
    let (kron, s) = (module.kron::<f64>()?, module.scale_by(ScaleRule::Trained)?);
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
fn sum_halves(terms: &[&Module], rank: LoraRank) -> Result<Halves> {
    let all = terms.iter().map(|module| halves(module, LoraRank::Exact)).collect::<Result<Vec<_>>>()?;
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

/// `adapter_config.json`: what PEFT needs, and what a PEFT adapter said about its base.
fn config(adapter: &Adapter, modules: &[LoraModule]) -> Map<String, Value> {
    let r = modules.iter().map(|module| module.rank).max().unwrap_or(1);
    let names: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
    // A key also matches what follows a dot, unless it is anchored.
    let inside =
        |name: &str| names.iter().any(|other| other.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')));
    let pattern = |name: &str| if inside(name) { format!("^{name}") } else { name.to_owned() };
    let others = modules.iter().filter(|module| {
        module.rank != r
            || names.iter().any(|name| module.name.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')))
    });
    let ranks: Map<String, Value> = others.map(|module| (pattern(&module.name), json!(module.rank))).collect();
    let from_config =
        |field| adapter.config().and_then(|config| config.fields().get(field)).cloned().unwrap_or_default();
    let to_save = modules_to_save(adapter.modules_to_save());
    let fields = [
        ("alpha_pattern", json!(ranks)),
        ("base_model_name_or_path", from_config("base_model_name_or_path")),
        ("bias", json!("none")),
        ("fan_in_fan_out", json!(false)),
        ("inference_mode", json!(true)),
        ("init_lora_weights", json!(true)),
        ("lora_alpha", json!(r)),
        ("lora_dropout", json!(0.0)),
        ("modules_to_save", if to_save.is_empty() { Value::Null } else { json!(to_save) }),
        ("peft_type", json!("LORA")),
        ("r", json!(r)),
        ("rank_pattern", json!(ranks)),
        ("revision", from_config("revision")),
        ("target_modules", json!(names)),
        ("task_type", from_config("task_type")),
        ("use_dora", json!(false)),
        ("use_rslora", json!(false)),
    ];
    fields.into_iter().map(|(field, value)| (field.to_owned(), value)).collect()
}
