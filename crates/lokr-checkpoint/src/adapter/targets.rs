//! What an adapter's modules stand for in the base model, for jobs that may do without it.

use lokr_core::{FactorizationRule, factorization};

use super::adapter::Adapter;
use super::resolve::Unmatched;
use crate::dialects::Dialect;
use crate::error::{InFile, JobError, NameError, Result};
use crate::file::product;
use crate::model::BaseModel;
use crate::module::Module;

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
            // A flat factor may be cut through the kernel, and is then a matrix.
            Some(weight) if self.module.w2().dim().1.is_multiple_of(product(&weight[2..]).max(1)) => &weight[2..],
            Some(_) => &[],
            None => self.module.w2().kernel().unwrap_or_default(),
        }
    }
}

/// An error for a factor stored flat that must be a convolution's, because PEFT's configuration splits channels so and
/// would split a linear layer otherwise, while no base model tells its kernel. Files of other dialects do not say.
pub(crate) fn check_kernels(adapter: &Adapter, targets: &[Target<'_>]) -> Result<()> {
    let Some(config) = adapter.config() else {
        return Ok(());
    };
    let factor = config.fields().get("decompose_factor").and_then(serde_json::Value::as_i64).unwrap_or(-1);
    let splits = |first: usize, second: usize| {
        factorization(first * second, factor, FactorizationRule::Peft) == Ok((first, second))
    };
    for Target { module, weight, .. } in targets {
        let ((m, n), (p, columns)) = (module.w1().dim(), module.w2().dim());
        let is_open = weight.is_none() && module.w2().kernel().is_none();
        let of_convolution = || (2..=columns).any(|kernel| columns % kernel == 0 && splits(n, columns / kernel));
        if is_open && splits(m, p) && !splits(n, columns) && of_convolution() {
            let module = module.name().to_owned();
            return Err(JobError::KernelUnknown { module }.in_file(adapter.path()));
        }
    }
    Ok(())
}

/// The modules, sorted by their names in the adapter.
pub(crate) fn targets<'a>(adapter: &'a Adapter, base: Option<&BaseModel>, names: Names) -> Result<Vec<Target<'a>>> {
    let Some(base) = base else {
        let own = |(name, module): (&String, &'a Module)| match adapter.dialect() {
            _ if names == Names::Adapter => Ok(Target { name: name.clone(), module, weight: None }),
            dialect @ (Dialect::Peft | Dialect::Dotted | Dialect::Terms) => {
                Ok(Target { name: dialect.path(name).to_owned(), module, weight: None })
            }
            dialect => Err(NameError::BaseNeeded { module: name.clone(), dialect }.in_file(adapter.path())),
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
