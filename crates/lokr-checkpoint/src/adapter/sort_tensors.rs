//! Which tensor of an adapter's file belongs to which module.

use std::collections::{BTreeMap, BTreeSet};

use super::options::ForeignTensors;
use crate::dialect::{Key, other_algorithm, peft};
use crate::dialects::Dialect;
use crate::error::{NameError, Result};
use crate::file::{Tensor, TensorFile};
use crate::module::Parts;

/// The tensors of a file, sorted out.
#[derive(Default)]
pub(super) struct Sorted {
    pub(super) parts: BTreeMap<String, Parts>,
    pub(super) extra: BTreeMap<String, Tensor>,
    /// Modules of other algorithms, whose `alpha` is not ours.
    foreign_modules: BTreeSet<String>,
    pub(super) skipped: Vec<String>,
    pub(super) base_tensors: usize,
}

impl Sorted {
    /// Sorts the tensors of a file; `prefix` is that of LyCORIS names.
    pub(super) fn new(file: &TensorFile, dialect: Dialect, prefix: &str, foreign: ForeignTensors) -> Result<Self> {
        let live = dialect == Dialect::Peft
            && file.names().filter_map(Key::split).any(|parts| parts.is_factor() && parts.adapter.is_some());
        let mut sorted = Self::default();
        let mut first_named: Option<(&str, &str)> = None;
        for key in file.names() {
            if key.ends_with(".lokr_t1") {
                return Err(NameError::TuckerFirstFactor { key: key.to_owned() }.into());
            }
            let tensor = file.tensor(key)?;
            let parts = Key::split(key).filter(|parts| {
                (parts.adapter.is_none() || dialect == Dialect::Peft) && dialect.accepts(parts.module, prefix)
            });
            match parts {
                Some(parts) if dialect == Dialect::Peft && !parts.is_factor() => {
                    return Err(NameError::NotPeft { key: key.to_owned() }.into());
                }
                Some(parts) => {
                    if let Some(adapter) = parts.adapter {
                        let &mut (first, named) = first_named.get_or_insert((key, adapter));
                        if adapter != named {
                            let (first, second) = (first.to_owned(), key.to_owned());
                            return Err(NameError::SeveralAdapters { first, second }.into());
                        }
                    }
                    let module = if dialect == Dialect::Peft { peft::strip(parts.module) } else { parts.module };
                    let all = sorted.parts.entry(module.to_owned()).or_default();
                    all.insert(module, parts.suffix, key.to_owned(), tensor)?;
                }
                None => sorted.take_other(key, tensor, dialect, live, foreign)?,
            }
        }
        // What is left of another algorithm's module once its factors are skipped.
        sorted.parts.retain(|module, parts| parts.has_factors() || !sorted.foreign_modules.contains(module));
        Ok(sorted)
    }

    /// Takes a tensor that is not a module's.
    fn take_other(
        &mut self,
        key: &str,
        tensor: Tensor,
        dialect: Dialect,
        live: bool,
        foreign: ForeignTensors,
    ) -> Result<()> {
        let error = if let Some((module, algorithm)) = other_algorithm(key) {
            self.foreign_modules.insert(module.to_owned());
            NameError::OtherAlgorithm { key: key.to_owned(), algorithm }.into()
        } else if dialect == Dialect::Peft {
            match peft::saved_tensor(key, live) {
                None => self.base_tensors += 1,
                Some(target) if self.extra.contains_key(&target) => {
                    let (first, second) = (target.clone(), key.to_owned());
                    return Err(NameError::DuplicateTarget { first, second, target }.into());
                }
                Some(target) => {
                    self.extra.insert(target, tensor);
                }
            }
            return Ok(());
        } else {
            NameError::UnknownKey { key: key.to_owned(), dialect }.into()
        };
        match foreign {
            ForeignTensors::Refuse => Err(error),
            ForeignTensors::Skip => {
                self.skipped.push(key.to_owned());
                Ok(())
            }
        }
    }
}
