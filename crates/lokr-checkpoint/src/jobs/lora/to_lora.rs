//! The job.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use lokr_layers::LoraHalves;
use ndarray::{Array2, s};
use serde_json::{Map, Value};

use super::halves::halves;
use super::layout::kept_metadata;
use super::options::{LoraLayout, LoraOptions, LoraRank};
use super::peft_config;
use super::report::{LoraModule, LoraReport};
use crate::adapter::{Adapter, Names, Target, check_kernels, names_in, targets, write_peft};
use crate::error::{InFile, JobError, ModuleError, Result};
use crate::file::{FloatType, Overwrite, Tensor, write_tensors};
use crate::jobs::energy;
use crate::jobs::for_all::for_all;
use crate::jobs::progress::Progress;
use crate::model::BaseModel;
use crate::module::{Module, stored_dtype, tensor_with_kernel};

/// A LoRA, to be written.
#[derive(Debug, Clone)]
pub struct Lora {
    /// For which programs.
    pub layout: LoraLayout,
    /// The tensors by their keys in that layout; in PEFT's, the adapter's `modules_to_save` too.
    pub tensors: BTreeMap<String, Tensor>,
    /// The fields of PEFT's `adapter_config.json`; empty in the other layouts.
    pub config: Map<String, Value>,
    /// The texts of the header: those of the adapter's file that are not about its network.
    pub metadata: BTreeMap<String, String>,
    /// What it captures.
    pub report: LoraReport,
}

/// The LoRA of every module of an adapter, by small decompositions: no matrix of the weight's size is formed.
///
/// # Method
/// That of [`LoKrUpdate::lora_halves`](lokr_layers::LoKrUpdate::lora_halves), in f64. Of a sum of terms
/// ([`Dialect::Terms`](crate::Dialect::Terms)) the halves are set side by side, and the best of a rank comes from their
/// singular values.
///
/// `base` gives the modules their names and shapes. Without it the names are those of the adapter, as far as they tell
/// those of the layout, and a low-rank `w2` whose file does not tell its kernel is taken for a linear layer's.
/// # Errors
/// [`JobError::Option`] for rank 0; [`NameError::BaseNeeded`](crate::NameError::BaseNeeded) from underscored names to
/// dotted ones, [`NameError::DuplicateTarget`](crate::NameError::DuplicateTarget) for modules that become one name,
/// [`JobError::KernelUnknown`]; [`JobError::Dora`]; [`ModuleError::CannotHold`] for `modules_to_save` outside of PEFT;
/// [`FileError::OutOfRange`](crate::FileError::OutOfRange) for values that the type to store cannot hold;
/// [`ModuleError::WeightShape`] for terms of one sum that build different weights; those of [`Adapter::resolve`],
/// [`Module::kron`] and [`Module::scale_by`]; [`JobError::Interrupted`].
/// # Examples
/// ```no_run
/// use std::ops::ControlFlow;
/// use lokr_checkpoint::{Adapter, LoraLayout, LoraOptions, LoraRank, Overwrite, ReadOptions, to_lora};
///
/// let adapter = Adapter::read("my-lokr", &ReadOptions::default())?;
/// let options = LoraOptions { layout: LoraLayout::Kohya, rank: LoraRank::Best(64), ..LoraOptions::default() };
/// let lora = to_lora(&adapter, None, &options, &mut |_| ControlFlow::Continue(()))?;
/// println!("{:.1} % of the change", 100.0 * lora.report.energy);
/// lora.write("my-lora.safetensors", Overwrite::Refuse)?;
/// # Ok::<(), lokr_checkpoint::CheckpointError>(())
/// ```
pub fn to_lora(
    adapter: &Adapter,
    base: Option<&BaseModel>,
    options: &LoraOptions,
    progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<Lora> {
    let layout = options.layout;
    if options.rank == LoraRank::Best(0) {
        let (option, expected, found) = ("rank", "a positive number", "0".to_owned());
        return Err(JobError::Option { option, expected, found }.into());
    }
    adapter.refuse_others("written as LoRA").in_file(adapter.path())?;
    check_modules_to_save(adapter, layout)?;
    let targets = targets(adapter, base, Names::Adapter)?;
    check_kernels(adapter, &targets)?;
    let names = names_in(adapter, base, layout.dialect(), options.prefix.as_deref())?;
    let sums = Sum::all(&targets, &names);
    let common_rank = layout.common_rank(sums.iter().map(|sum| sum.rank(options.rank)));
    let converted = for_all(
        &sums,
        |sum| sum.name,
        progress,
        |sum| {
            let found = halves(&sum.modules, options.rank, options.scale).in_file(adapter.path())?;
            let stored = sum.modules.iter().map(|module| stored_dtype(module)).reduce(FloatType::wider);
            let dtype = options.dtype.or(stored).unwrap_or(FloatType::F32);
            let [down, up] = layout.keys(sum.name);
            let rank = found.left.ncols();
            let padded = Padded::new(&found, common_rank.unwrap_or(rank));
            let down_tensor = tensor_with_kernel(&down, &*padded.right, sum.kernel, dtype)?;
            let up_tensor = tensor_with_kernel(&up, &*padded.left, &vec![1; sum.kernel.len()], dtype)?;
            let energy = 1.0 - found.error.powi(2);
            let line = LoraModule { name: sum.name.to_owned(), rank, norm: found.norm, energy };
            Ok(([(down, down_tensor), (up, up_tensor)], layout.alpha(sum.name, rank)?, line))
        },
    )?;
    let (mut tensors, mut report) = (BTreeMap::new(), LoraReport::default());
    for (sum, (halves, alpha, line)) in sums.iter().zip(converted) {
        report.lokr_parameters += sum.modules.iter().map(|module| module.parameter_count()).sum::<usize>();
        report.lora_parameters += halves.iter().map(|(_, tensor)| tensor.element_count()).sum::<usize>();
        tensors.extend(halves);
        tensors.extend(alpha);
        report.modules.push(line);
    }
    report.energy = energy::captured(report.modules.iter().map(|module| (module.norm, module.energy)));
    let whole = adapter.modules_to_save().iter();
    tensors.extend(whole.map(|(name, tensor)| (format!("{}{name}", layout.prefix()), tensor.clone())));
    let config = match layout {
        LoraLayout::Peft => {
            let modules: Vec<_> = report.modules.iter().map(|module| module.name.as_str()).collect();
            peft_config::config(adapter, &modules, common_rank.unwrap_or(1))
        }
        LoraLayout::Kohya | LoraLayout::Dotted => Map::new(),
    };
    Ok(Lora { layout, tensors, config, metadata: kept_metadata(adapter.metadata()), report })
}

fn check_modules_to_save(adapter: &Adapter, layout: LoraLayout) -> Result<()> {
    match adapter.modules_to_save().first_key_value() {
        Some((tensor, _)) if layout != LoraLayout::Peft => {
            let (module, dialect) = (tensor.clone(), layout.dialect());
            let reason = "it replaces a whole tensor of the base model, as PEFT's modules_to_save";
            Err(ModuleError::CannotHold { module, dialect, reason }.in_file(adapter.path()))
        }
        _ => Ok(()),
    }
}

impl Lora {
    /// Writes it: a directory with `adapter_config.json` and `adapter_model.safetensors` in PEFT's layout, one file in
    /// the others; the same bytes for the same LoRA.
    ///
    /// # Errors
    /// Those of [`OutputDirectory`](crate::OutputDirectory) and [`write_tensors`].
    pub fn write(&self, path: impl AsRef<Path>, overwrite: Overwrite) -> Result<()> {
        let path = path.as_ref();
        if self.layout != LoraLayout::Peft {
            return write_tensors(path, &self.tensors, &self.metadata, overwrite);
        }
        let config = serde_json::to_string_pretty(&self.config)? + "\n";
        write_peft(path, &self.tensors, BTreeMap::new(), config.as_bytes(), overwrite)
    }
}

/// The modules that change one weight, as one module of the LoRA.
struct Sum<'a> {
    name: &'a str,
    modules: Vec<&'a Module>,
    kernel: &'a [usize],
}

impl<'a> Sum<'a> {
    /// Those of an adapter by their new names.
    fn all(targets: &'a [Target<'a>], names: &'a BTreeMap<String, String>) -> Vec<Self> {
        let mut sums: BTreeMap<&str, Self> = BTreeMap::new();
        for target in targets {
            let name = names.get(&target.name).unwrap_or(&target.name);
            let sum = || Self { name, modules: Vec::new(), kernel: target.kernel() };
            sums.entry(name).or_insert_with(sum).modules.push(target.module);
        }
        sums.into_values().collect()
    }

    /// What the rank of its LoRA is at most.
    fn rank(&self, rank: LoraRank) -> usize {
        let bound = self.modules.iter().map(|module| module.rank_bound()).sum();
        match rank {
            LoraRank::Exact => bound,
            LoraRank::Best(rank) => rank.min(bound),
        }
    }
}

/// Halves filled up with zeros to a larger rank.
struct Padded<'a> {
    left: Cow<'a, Array2<f64>>,
    right: Cow<'a, Array2<f64>>,
}

impl<'a> Padded<'a> {
    fn new(halves: &'a LoraHalves<f64>, rank: usize) -> Self {
        let (out, own) = halves.left.dim();
        if own >= rank {
            return Self { left: Cow::Borrowed(&halves.left), right: Cow::Borrowed(&halves.right) };
        }
        let (mut left, mut right) = (Array2::zeros((out, rank)), Array2::zeros((rank, halves.right.ncols())));
        left.slice_mut(s![.., ..own]).assign(&halves.left);
        right.slice_mut(s![..own, ..]).assign(&halves.right);
        Self { left: Cow::Owned(left), right: Cow::Owned(right) }
    }
}
