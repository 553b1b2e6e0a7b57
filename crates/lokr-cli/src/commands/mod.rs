//! One function per subcommand.

pub mod combine;
pub mod completions;
pub mod convert;
pub mod doctor;
pub mod extract;
pub mod inspect;
pub mod merge;
pub mod resize;
pub mod verify;

use std::fmt;

use lokr_checkpoint::{Adapter, AdapterReport, BaseModel};

use crate::report::counted;

/// How each adapter was understood, a line each.
fn write_adapters(f: &mut fmt::Formatter<'_>, adapters: &[AdapterReport]) -> fmt::Result {
    for adapter in adapters {
        writeln!(f, "{}: {}, multiplier {}", adapter.path, counted(adapter.modules, "module"), adapter.multiplier)?;
        writeln!(f, "  {}", adapter.convention)?;
        for name in &adapter.unmatched {
            writeln!(f, "  left out, not in the base model: {name}")?;
        }
    }
    writeln!(f)
}

/// What reading or making the adapters gave reason to warn of, a repeated warning once.
fn warnings<'a>(adapters: impl IntoIterator<Item = &'a Adapter>) -> Vec<String> {
    let mut warnings: Vec<_> = adapters.into_iter().flat_map(Adapter::warnings).map(ToString::to_string).collect();
    warnings.dedup();
    warnings
}

/// What to say of modules whose kernel neither file nor configuration nor a base model tells, in jobs for which it matters.
fn open_kernels(adapter: &Adapter, base: Option<&BaseModel>) -> Option<String> {
    if base.is_some() || adapter.config().is_some() {
        return None;
    }
    let open = adapter.modules().values().filter(|module| module.w2().kernel().is_none()).count();
    let path = adapter.path().display();
    let modules = counted(open, "module");
    (open > 0)
        .then(|| format!("{path}: {modules} with flat factors taken for linear layers; --base tells convolutions"))
}

/// A shape as `4×3`.
fn sizes(shape: &[usize]) -> String {
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("×")
}
