//! Which modules of an adapter's file are wanted.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::options::ReadOptions;
use super::patterns::Patterns;
use crate::dialect::PeftConfig;
use crate::dialect::peft;
use crate::error::JobError;
use crate::file::Tensor;

/// What [`ReadOptions::only`] and [`ReadOptions::exclude`] ask for.
pub(super) struct Selection<'a> {
    options: &'a ReadOptions,
    exclude: Patterns,
    /// The names left out.
    pub(super) left_out: Vec<String>,
}

impl<'a> Selection<'a> {
    /// # Errors
    /// [`JobError::Pattern`].
    pub(super) fn new(options: &'a ReadOptions) -> Result<Self, JobError> {
        Ok(Self { options, exclude: Patterns::new("exclude", &options.exclude)?, left_out: Vec::new() })
    }

    /// Whether a module of this name is wanted; remembers those that are not.
    fn keeps(&mut self, name: &str) -> bool {
        let only = &self.options.only;
        let kept =
            (only.is_empty() || only.iter().any(|start| name.starts_with(start))) && !self.exclude.match_any(name);
        if !kept {
            self.left_out.push(name.to_owned());
        }
        kept
    }

    /// Leaves out the modules that are not wanted.
    ///
    /// # Errors
    /// [`JobError::Option`] where none is left.
    pub(super) fn keep_modules<M>(&mut self, modules: &mut BTreeMap<String, M>) -> Result<(), JobError> {
        let (total, example) = (modules.len(), modules.keys().next().cloned());
        modules.retain(|name, _| self.keeps(name));
        match example {
            Some(example) if modules.is_empty() => Err(self.nothing_left(total, &example)),
            _ => Ok(()),
        }
    }

    /// The same for the tensors that an adapter stores whole, by the names of their modules.
    pub(super) fn keep_whole(&mut self, tensors: &mut BTreeMap<String, Tensor>) {
        tensors.retain(|name, _| self.keeps(peft::module_of(name)));
    }

    /// The configuration without what was left out.
    pub(super) fn config<M>(
        &self,
        config: PeftConfig,
        modules: &BTreeMap<String, M>,
        whole: &BTreeMap<String, Tensor>,
    ) -> PeftConfig {
        if self.left_out.is_empty() {
            return config;
        }
        let config = config.with_field("target_modules", modules.keys().cloned().collect());
        match config.fields().get("modules_to_save") {
            Some(Value::Array(_)) if whole.is_empty() => config.with_field("modules_to_save", Value::Null),
            Some(Value::Array(_)) => {
                let modules = json!(peft::modules_to_save(whole));
                config.with_field("modules_to_save", modules)
            }
            _ => config,
        }
    }

    fn nothing_left(&self, total: usize, example: &str) -> JobError {
        let ReadOptions { only, exclude, .. } = self.options;
        let begins = |name: &String| only.iter().any(|start| name.starts_with(start));
        if only.is_empty() || self.left_out.iter().any(begins) {
            let found = format!("no module is left of {total} (a name is {example})");
            let expected = "expressions that are not found in all names";
            return JobError::Option { option: "exclude", expected, found: format!("{}: {found}", exclude.join(", ")) };
        }
        let expected = "the beginning of a module's name";
        JobError::Option { option: "only", expected, found: format!("{} (a name is {example})", only.join(", ")) }
    }
}
