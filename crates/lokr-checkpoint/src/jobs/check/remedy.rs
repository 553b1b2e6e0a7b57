//! The conversion after which the program reads an adapter: tried in memory, so that what is told is true.

use std::collections::BTreeMap;

use super::facts::Facts;
use super::judge::{forms_are_read, judge};
use super::report::{ConvertTo, Fit, Remedy};
use super::stored::StoredFile;
use crate::adapter::{Adapter, ConvertOptions, Names, check_kernels, names_in, targets};
use crate::dialects::Dialect;
use crate::error::{CheckpointError, JobError, NameError, Result};
use crate::jobs::lora::LoraLayout;
use crate::model::BaseModel;

/// What stands before dotted names where a program looks for them so.
pub(super) const DOTTED_PREFIX: &str = "diffusion_model.";

/// The first of the program's conversions that helps; else the first that needs the base model to be told; else to
/// merge.
pub(super) fn find(facts: &Facts, file: &StoredFile, adapter: &Adapter, base: Option<&BaseModel>) -> Remedy {
    let mut with_base = None;
    for &to in facts.targets {
        match converted(adapter, base, to) {
            Ok(file) if is_read(facts, &file) => return Remedy::Convert { to, needs_base: false },
            Err(error) if base.is_none() && needs_base(&error) && may_help(facts, file, adapter, to) => {
                with_base.get_or_insert(to);
            }
            _ => {}
        }
    }
    with_base.map_or(Remedy::Merge, |to| Remedy::Convert { to, needs_base: true })
}

/// Whether nothing but names stands against a conversion that the base model is needed for.
fn may_help(facts: &Facts, file: &StoredFile, adapter: &Adapter, to: ConvertTo) -> bool {
    match to {
        ConvertTo::Dialect(_) => forms_are_read(facts, file),
        ConvertTo::Lora(_) => {
            adapter.modules().values().all(|module| module.is_kronecker() && module.dora_scale().is_none())
        }
    }
}

fn is_read(facts: &Facts, file: &StoredFile) -> bool {
    let (problems, modules) = judge(facts, file);
    problems.is_empty() && modules.iter().all(|module| module.fit == Fit::Reads)
}

fn needs_base(error: &CheckpointError) -> bool {
    matches!(
        error.cause(),
        CheckpointError::Name(NameError::BaseNeeded { .. }) | CheckpointError::Job(JobError::KernelUnknown { .. })
    )
}

/// What the file would hold.
fn converted(adapter: &Adapter, base: Option<&BaseModel>, to: ConvertTo) -> Result<StoredFile> {
    match to {
        ConvertTo::Dialect(dialect) => {
            let prefix = (dialect == Dialect::Dotted).then(|| DOTTED_PREFIX.to_owned());
            let options = ConvertOptions { prefix, ..ConvertOptions::to(dialect) };
            let adapter = adapter.convert(&options, base)?.adapter;
            let tensors = adapter.tensors()?;
            let keys = tensors.iter().map(|(key, tensor)| (key.as_str(), tensor.shape()));
            let config = adapter.config().map(|config| config.fields().clone());
            Ok(StoredFile { in_directory: dialect == Dialect::Peft, config, ..StoredFile::from_keys(keys) })
        }
        ConvertTo::Lora(layout) => lora(adapter, base, layout),
    }
}

/// The tensors of a LoRA, which need no decomposition to be listed.
fn lora(adapter: &Adapter, base: Option<&BaseModel>, layout: LoraLayout) -> Result<StoredFile> {
    let targets = targets(adapter, base, Names::Adapter)?;
    check_kernels(adapter, &targets)?;
    let names = names_in(adapter, base, layout.dialect(), None)?;
    let mut tensors: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for target in &targets {
        let module = target.module;
        if module.dora_scale().is_some() {
            return Err(JobError::Dora { module: module.name().to_owned(), operation: "converted to LoRA" }.into());
        }
        let product = module.kron::<f32>()?;
        let (name, kernel) = (names.get(&target.name).unwrap_or(&target.name), target.kernel());
        let [down, up] = layout.keys(name);
        let elements: usize = kernel.iter().product();
        tensors.insert(down, [&[1, product.ncols() / elements.max(1)], kernel].concat());
        tensors.insert(up, [&[product.nrows(), 1], &*vec![1; kernel.len()]].concat());
        if layout == LoraLayout::Kohya {
            tensors.insert(format!("{name}.alpha"), Vec::new());
        }
    }
    let in_directory = layout == LoraLayout::Peft;
    tensors.extend(adapter.modules_to_save().iter().map(|(name, tensor)| {
        (format!("{}{name}", if in_directory { layout.prefix() } else { "" }), tensor.shape().to_vec())
    }));
    let config = in_directory.then(|| [("peft_type".to_owned(), "LORA".into())].into_iter().collect());
    let keys = tensors.iter().map(|(key, shape)| (key.as_str(), shape.as_slice()));
    Ok(StoredFile { in_directory, config, ..StoredFile::from_keys(keys) })
}
