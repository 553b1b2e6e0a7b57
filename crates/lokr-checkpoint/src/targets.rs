//! What an adapter's modules stand for in the base model, for jobs that may do without it.

use crate::dialect::terms;
use crate::{Adapter, BaseModel, CheckpointError, Dialect, Module, Result, Unmatched};

/// How to name the modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// As in the adapter.
    Adapter,
    /// As in the base model, without `.weight`.
    Base,
}

/// One module.
pub(crate) struct Target<'a> {
    /// As [`Names`] says.
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
pub(crate) fn targets<'a>(adapter: &'a Adapter, base: Option<&BaseModel>, names: Names) -> Result<Vec<Target<'a>>> {
    let Some(base) = base else {
        let own = |(name, module): (&String, &'a Module)| match adapter.dialect() {
            _ if names == Names::Adapter => Ok(Target { name: name.clone(), module, weight: None }),
            Dialect::Peft | Dialect::Dotted => Ok(Target { name: name.clone(), module, weight: None }),
            Dialect::Terms => Ok(Target { name: terms::path(name).unwrap_or(name).to_owned(), module, weight: None }),
            dialect => Err(CheckpointError::BaseNeeded { module: name.clone(), dialect }.in_file(adapter.path())),
        };
        return adapter.modules().iter().map(own).collect();
    };
    let resolution = adapter.resolve(base, Unmatched::Refuse)?;
    let found = |(name, weight): (&str, &str)| Target {
        name: match names {
            Names::Adapter => name.to_owned(),
            Names::Base => weight.strip_suffix(".weight").unwrap_or(weight).to_owned(),
        },
        module: &adapter.modules()[name],
        weight: base.info(weight).map(|(_, shape)| shape.to_vec()),
    };
    Ok(resolution.targets().map(found).collect())
}
