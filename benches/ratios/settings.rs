//! What is measured, and how long.

use crate::support::measure::Effort;

/// What the sections need to know.
pub struct Settings {
    pub filter: Option<String>,
    pub effort: Effort,
    /// The naive way takes seconds where others take milliseconds.
    pub naive_effort: Effort,
    /// The naive product is formed up to this size.
    pub naive_bytes: usize,
}

impl Settings {
    /// Whether the row of that name is to be measured.
    pub fn selects(&self, name: &str) -> bool {
        self.filter.as_ref().is_none_or(|part| name.contains(part.as_str()))
    }

    /// Those of `batches` whose row, as `name` calls it, is to be measured.
    pub fn selected(&self, batches: &[usize], name: impl Fn(usize) -> String) -> Vec<usize> {
        batches.iter().copied().filter(|&batch| self.selects(&name(batch))).collect()
    }
}
