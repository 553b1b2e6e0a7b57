//! What an adapter's modules stand for in the base model, for jobs that may do without it.

use crate::{Adapter, BaseModel, CheckpointError, Dialect, Module, Result, Unmatched};

/// One module.
pub(crate) struct Target<'a> {
    /// The base model's name, without `.weight`.
    pub(crate) name: String,
    pub(crate) module: &'a Module,
    /// The weight's shape, where the base model is at hand.
    pub(crate) weight: Option<Vec<usize>>,
}

impl Target<'_> {
    /// The kernel's sizes; of a low-rank factor that is stored flat, none unless the base model tells.
    pub(crate) fn kernel(&self) -> &[usize] {
        match &self.weight {
            Some(weight) => &weight[2..],
            None => self.module.w2().kernel().unwrap_or_default(),
        }
    }
}

/// The modules, sorted by their names in the adapter.
pub(crate) fn targets<'a>(adapter: &'a Adapter, base: Option<&BaseModel>) -> Result<Vec<Target<'a>>> {
    let Some(base) = base else {
        let own = |(name, module): (&String, &'a Module)| match adapter.dialect() {
            Dialect::Peft | Dialect::Dotted => Ok(Target { name: name.clone(), module, weight: None }),
            dialect => Err(CheckpointError::BaseNeeded { module: name.clone(), dialect }.in_file(adapter.path())),
        };
        return adapter.modules().iter().map(own).collect();
    };
    let resolution = adapter.resolve(base, Unmatched::Refuse)?;
    let found = |(name, weight): (&str, &str)| Target {
        name: weight.strip_suffix(".weight").unwrap_or(weight).to_owned(),
        module: &adapter.modules()[name],
        weight: base.info(weight).map(|(_, shape)| shape.to_vec()),
    };
    Ok(resolution.targets().map(found).collect())
}
