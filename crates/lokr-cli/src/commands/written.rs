//! Adapters that are written: what the commands that make one report alike.

use std::fmt;
use std::path::Path;

use lokr_checkpoint::{Adapter, BaseModel, Dialect};
use serde::{Serialize, Serializer};

use crate::report::lossy_path;
use crate::text::counted;

/// The report of a command, and where its adapter is.
#[derive(Serialize)]
pub(super) struct Written<'a, R> {
    #[serde(serialize_with = "lossy_path")]
    pub(super) out: &'a Path,
    #[serde(serialize_with = "as_text")]
    pub(super) dialect: Dialect,
    #[serde(flatten)]
    pub(super) report: R,
    /// Of the commands that read adapters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) warnings: Option<Vec<String>>,
}

impl<R> Written<'_, R> {
    /// The end of the last line: the dialect, and where the adapter is.
    pub(super) fn write_destination(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} dialect, written to {}", self.dialect, self.out.display())
    }
}

fn as_text<S: Serializer>(dialect: &Dialect, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(dialect)
}

/// What reading or making the adapters gave reason to warn of, a repeated warning once.
pub(super) fn warnings<'a>(adapters: impl IntoIterator<Item = &'a Adapter>) -> Vec<String> {
    let mut warnings: Vec<_> = adapters.into_iter().flat_map(Adapter::warnings).map(ToString::to_string).collect();
    warnings.dedup();
    warnings
}

/// What to say of modules whose kernel neither file nor configuration nor a base model tells, in jobs for which it
/// matters.
pub(super) fn unknown_kernels(adapter: &Adapter, base: Option<&BaseModel>) -> Option<String> {
    if base.is_some() || adapter.config().is_some() {
        return None;
    }
    let unknown = adapter.modules().values().filter(|module| module.w2().kernel().is_none()).count();
    let path = adapter.path().display();
    let modules = counted(unknown, "module");
    (unknown > 0)
        .then(|| format!("{path}: {modules} with flat factors taken for linear layers; --base tells convolutions"))
}
