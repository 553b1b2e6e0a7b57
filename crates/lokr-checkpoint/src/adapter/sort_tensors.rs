//! Which tensor of an adapter's file belongs to which module.

use std::collections::{BTreeMap, BTreeSet};

use super::options::ForeignTensors;
use crate::dialect::{Key, other_algorithm, peft};
use crate::dialects::Dialect;
use crate::error::{NameError, Result};
use crate::file::{Tensor, TensorFile};
use crate::module::ModuleTensors;

/// A tensor left out as asked: its key, and its algorithm where that is known.
pub(super) type Skipped = (String, Option<&'static str>);

/// The tensors of a file, sorted out.
#[derive(Default)]
pub(super) struct Sorted {
    /// Whether the file is the state of a live PEFT model, which holds the base model too.
    live: bool,
    pub(super) modules: BTreeMap<String, ModuleTensors>,
    pub(super) modules_to_save: BTreeMap<String, Tensor>,
    /// Modules of algorithms that are not understood, whose `alpha` is not ours; the first tensor of one where that is
    /// refused.
    foreign_modules: BTreeSet<String>,
    refused: Option<(String, &'static str)>,
    pub(super) skipped: Vec<Skipped>,
    /// Marks of programs that say nothing of a weight.
    pub(super) marks: Vec<String>,
    pub(super) base_tensors: usize,
}

impl Sorted {
    /// Sorts the tensors of a file; `prefix` is that of LyCORIS names, and `peft_lora` says that PEFT's modules are
    /// LoRAs.
    pub(super) fn new(
        file: &TensorFile,
        dialect: Dialect,
        prefix: &str,
        peft_lora: bool,
        foreign: ForeignTensors,
    ) -> Result<Self> {
        let is_factor = |key: &Key<'_>| if peft_lora { key.is_peft_lora() } else { key.is_factor() };
        let live = dialect == Dialect::Peft
            && file.names().filter_map(Key::split).any(|key| is_factor(&key) && key.adapter.is_some());
        let mut sorted = Self { live, ..Self::default() };
        let mut first_named: Option<(&str, &str)> = None;
        for name in file.names() {
            if name.ends_with(".lokr_t1") {
                return Err(NameError::TuckerFirstFactor { key: name.to_owned() }.into());
            }
            let tensor = file.tensor(name)?;
            let key = Key::split(name).filter(|key| belongs(key, dialect, prefix, peft_lora));
            match key {
                Some(key) if dialect == Dialect::Peft && !is_factor(&key) => {
                    return Err(NameError::NotPeft { key: name.to_owned() }.into());
                }
                Some(key) => {
                    if let Some(adapter) = key.adapter {
                        let &mut (first, named) = first_named.get_or_insert((name, adapter));
                        if adapter != named {
                            let (first, second) = (first.to_owned(), name.to_owned());
                            return Err(NameError::SeveralAdapters { first, second }.into());
                        }
                    }
                    let module = if dialect == Dialect::Peft { peft::strip(key.module) } else { key.module };
                    let tensors = sorted.modules.entry(module.to_owned()).or_default();
                    tensors.insert(module, key.suffix, name.to_owned(), tensor)?;
                }
                None => sorted.take_other(name, tensor, dialect, foreign)?,
            }
        }
        if let Some((key, algorithm)) = sorted.refused.take() {
            let modules = sorted.foreign_modules.into_iter().collect();
            return Err(NameError::OtherAlgorithm { key, algorithm, modules }.into());
        }
        // What is left of another algorithm's module once its factors are skipped.
        sorted.modules.retain(|module, tensors| tensors.has_changes() || !sorted.foreign_modules.contains(module));
        Ok(sorted)
    }

    /// Takes a tensor that is not a module's.
    fn take_other(
        &mut self,
        key: &str,
        tensor: Tensor,
        dialect: Dialect,
        foreign: ForeignTensors,
    ) -> Result<(), NameError> {
        if let Some((module, algorithm)) = other_algorithm(key) {
            self.foreign_modules.insert(module.to_owned());
            match foreign {
                ForeignTensors::Refuse => self.refused = self.refused.take().or(Some((key.to_owned(), algorithm))),
                ForeignTensors::Skip => self.skipped.push((key.to_owned(), Some(algorithm))),
            }
        } else if is_mark(key, &tensor, dialect) {
            self.marks.push(key.to_owned());
        } else if dialect == Dialect::Peft {
            match peft::tensor_to_save(key, self.live) {
                None => self.base_tensors += 1,
                Some(target) if self.modules_to_save.contains_key(&target) => {
                    let (first, second) = (target.clone(), key.to_owned());
                    return Err(NameError::DuplicateTarget { first, second, target });
                }
                Some(target) => {
                    self.modules_to_save.insert(target, tensor);
                }
            }
        } else if dialect == Dialect::Terms && Key::split(key).is_none() {
            self.modules_to_save.insert(key.to_owned(), tensor);
        } else if foreign == ForeignTensors::Refuse {
            return Err(NameError::UnknownKey { key: key.to_owned(), dialect });
        } else {
            self.skipped.push((key.to_owned(), None));
        }
        Ok(())
    }
}

/// Whether a key is one of a module in this dialect. Other algorithms beside LoKr have no place in PEFT's files, which
/// are of one algorithm, and in sums of terms.
fn belongs(key: &Key<'_>, dialect: Dialect, prefix: &str, peft_lora: bool) -> bool {
    let has_place = match dialect {
        Dialect::Peft if peft_lora => key.is_peft_lora(),
        Dialect::Peft => key.is_lokr(),
        Dialect::Terms => key.is_lokr() && key.adapter.is_none(),
        // The name of PEFT's adapter is left in some files of dotted LoRAs.
        _ => !key.is_factor() || key.adapter.is_none(),
    };
    has_place && dialect.accepts(key.module, prefix)
}

/// Whether a tensor is a mark such as `lokr_factor`, or a bare number, that programs leave beside a module and none
/// reads.
fn is_mark(key: &str, tensor: &Tensor, dialect: Dialect) -> bool {
    let last = key.rsplit('.').next().unwrap_or(key);
    tensor.element_count() <= 1 && (dialect != Dialect::Peft || last.starts_with("lokr_"))
}
