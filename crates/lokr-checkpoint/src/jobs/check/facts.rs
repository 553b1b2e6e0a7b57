//! What can be known of a program.

use super::feature::Feature;
use super::report::{ConvertTo, Fit};
use super::stored::Kind;

/// What is known of a program.
pub(super) struct Facts {
    /// The word for it on a command line.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// Where this was read: repository and paths.
    pub(super) source: &'static str,
    pub(super) opens: Opens,
    /// The algorithms it reads.
    pub(super) reads: &'static [Kind],
    /// The names it looks up.
    pub(super) names: &'static [Names],
    /// What it cannot do all the same.
    pub(super) limits: &'static [Limit],
    /// What to convert to for it, the best first.
    pub(super) targets: &'static [ConvertTo],
    /// What else to know.
    pub(super) note: Option<&'static str>,
}

/// What an adapter is on disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Opens {
    File,
    /// PEFT's, with its configuration.
    Directory,
}

/// Names that a program looks up: a prefix, and how the path behind it may begin.
pub(super) struct Names {
    pub(super) prefix: &'static str,
    /// Beginnings of paths; any path where there are none.
    pub(super) paths: &'static [&'static str],
    /// Beginnings of paths that it does not look up.
    pub(super) except: &'static [&'static str],
    /// Of modules of these algorithms; of all where there are none.
    pub(super) kinds: &'static [Kind],
    /// Only beside such modules, which tell of a model whose names these are.
    pub(super) only: Option<Only>,
}

/// A model that names alone do not tell.
#[derive(Clone, Copy)]
pub(super) enum Only {
    /// Flux.2, whose blocks are named like those of Flux.1: its gated MLPs are wider.
    Flux2,
}

/// Something that a program cannot do, or does otherwise.
pub(super) struct Limit {
    pub(super) feature: Feature,
    pub(super) fit: Fit,
    pub(super) why: &'static str,
}
