//! An adapter: its modules, and everything else its files hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::warning::Warning;
use crate::dialect::{PeftConfig, peft};
use crate::dialects::Dialect;
use crate::error::{JobError, ModuleError, Result};
use crate::file::Tensor;
use crate::module::{Module, OtherModule};

/// An adapter, read or made to be written: its modules by name, and everything else its files hold.
///
/// # Examples
/// ```no_run
/// use lokr_checkpoint::{Adapter, ReadOptions};
///
/// let adapter = Adapter::read("adapter.safetensors", &ReadOptions::default())?;
/// println!("{}", adapter.dialect());
/// for (name, module) in adapter.modules() {
///     println!("{name}: w1 {:?}, rank {:?}, scale {:?}", module.w1().dim(), module.rank(), module.scale());
/// }
/// for warning in adapter.warnings() {
///     eprintln!("warning: {warning}");
/// }
/// # Ok::<(), lokr_checkpoint::CheckpointError>(())
/// ```
#[derive(Debug)]
pub struct Adapter {
    pub(super) path: PathBuf,
    pub(super) dialect: Dialect,
    pub(super) prefix: String,
    pub(super) modules: BTreeMap<String, Module>,
    pub(super) others: Vec<OtherModule>,
    pub(super) modules_to_save: BTreeMap<String, Tensor>,
    pub(super) config: Option<PeftConfig>,
    pub(super) metadata: BTreeMap<String, String>,
    /// Names that the options of reading left out.
    pub(super) left_out: Vec<String>,
    pub(super) warnings: Vec<Warning>,
}

impl Adapter {
    /// Where it was read from, or what it was converted from was; empty for one made in memory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file that its tensors were read from: [`Adapter::path`], or what lies in a PEFT directory.
    ///
    /// # Examples
    /// ```no_run
    /// let adapter = lokr_checkpoint::Adapter::read("peft-directory", &Default::default())?;
    /// assert_eq!(adapter.tensors_path(), std::path::Path::new("peft-directory/adapter_model.safetensors"));
    /// # Ok::<(), lokr_checkpoint::CheckpointError>(())
    /// ```
    #[must_use]
    pub fn tensors_path(&self) -> PathBuf {
        if self.path.is_dir() { self.path.join(peft::TENSORS) } else { self.path.clone() }
    }

    /// The dialect it is written in.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What stands before every name of this file: PEFT's prefix, which [`Adapter::modules`] leaves out, or LyCORIS's,
    /// which it keeps. Empty for names of the other dialects, whose prefixes differ from module to module, and for
    /// PEFT's bare ones.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The LoKr modules by their names in the file, without suffixes and without PEFT's prefix.
    #[must_use]
    pub fn modules(&self) -> &BTreeMap<String, Module> {
        &self.modules
    }

    /// What other algorithms change beside them: LoRA, LoHa, stored differences, sorted by module and parameter. They
    /// are applied like the LoKr modules.
    #[must_use]
    pub fn others(&self) -> &[OtherModule] {
        &self.others
    }

    /// Tensors that replace whole tensors of the base model (PEFT's `modules_to_save`), by the base model's names.
    #[must_use]
    pub fn modules_to_save(&self) -> &BTreeMap<String, Tensor> {
        &self.modules_to_save
    }

    /// The old name of [`Adapter::modules_to_save`].
    #[deprecated(note = "use `modules_to_save`")]
    #[must_use]
    pub fn extra(&self) -> &BTreeMap<String, Tensor> {
        &self.modules_to_save
    }

    /// PEFT's configuration.
    #[must_use]
    pub fn config(&self) -> Option<&PeftConfig> {
        self.config.as_ref()
    }

    /// The free texts in the file's header.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// An error for a job that is possible for LoKr alone, where there is anything beside it.
    pub(crate) fn refuse_others(&self, operation: &'static str) -> Result<(), JobError> {
        let Some(module) = self.others.first() else { return Ok(()) };
        let (module, algorithm) = (module.name().to_owned(), module.algorithm());
        Err(JobError::OtherAlgorithm { module, algorithm, operation })
    }

    /// The modules, and the tensors stored whole, that [`ReadOptions::only`](crate::ReadOptions::only) and
    /// [`ReadOptions::exclude`](crate::ReadOptions::exclude) left out.
    #[must_use]
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// What the user should know about how it was read.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The same adapter with tensors that replace whole ones of the model, and with more texts for the header.
    ///
    /// # Errors
    /// [`ModuleError::CannotHold`] in a dialect that has no place for such tensors.
    pub(crate) fn with_extras(
        mut self,
        to_save: BTreeMap<String, Tensor>,
        metadata: BTreeMap<String, String>,
    ) -> Result<Self, ModuleError> {
        if let Some(tensor) = to_save.keys().next().filter(|_| !self.dialect.holds_whole_tensors()) {
            let (module, reason) = (tensor.clone(), "a layer that was trained whole, as PEFT's modules_to_save");
            return Err(ModuleError::CannotHold { module, dialect: self.dialect, reason });
        }
        if !to_save.is_empty() {
            let modules = json!(peft::modules_to_save(&to_save));
            self.config = self.config.map(|config| config.with_field("modules_to_save", modules));
        }
        self.modules_to_save.extend(to_save);
        self.metadata.extend(metadata);
        Ok(self)
    }
}
