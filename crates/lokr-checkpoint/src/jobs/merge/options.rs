//! Choices of a merge.

use super::plan::Misfits;
use super::whole::WholeTensors;
use crate::adapter::Unmatched;
use crate::file::Overwrite;

/// Choices of [`merge`](crate::merge()) and [`unmerge`](crate::unmerge). The default refuses what is doubtful and
/// replaces nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MergeOptions {
    /// Modules that the base model does not have.
    pub unmatched: Unmatched,
    /// Tensors that an adapter stores whole and that the base model lacks or has in another shape.
    pub whole: WholeTensors,
    /// An output that is there already.
    pub overwrite: Overwrite,
    /// Whether to do it or only to check that it can be done.
    pub run: Run,
}

impl MergeOptions {
    pub(super) fn misfits(&self) -> Misfits {
        Misfits { unmatched: self.unmatched, whole: self.whole }
    }
}

/// Whether a job is done or only checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Run {
    /// Do it.
    #[default]
    Real,
    /// Check names, shapes, scales, the output's place and its space, and report what would be done. No weight is read.
    Dry,
}
