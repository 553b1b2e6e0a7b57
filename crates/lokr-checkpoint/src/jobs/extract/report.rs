//! What an extraction says.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::jobs::energy;

/// How well an adapter captures the difference of two models, and what it leaves out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ExtractReport {
    /// The modules extracted, by name.
    pub modules: Vec<ExtractedModule>,
    /// Share of the squared norm of all extracted modules' differences that the adapter captures, before its values are
    /// rounded to the type they are stored in.
    pub energy: f64,
    /// Values stored, of all terms.
    pub parameters: usize,
    /// How many tensors are the same in both models.
    pub unchanged: usize,
    /// Tensors that differ and are not in the adapter, by name.
    pub not_adapted: Vec<NotAdapted>,
}

impl ExtractReport {
    pub(super) fn add_up(&mut self) {
        self.energy = energy::captured(self.modules.iter().map(|module| (module.norm, module.energy)));
        self.parameters = self.modules.iter().map(|module| module.parameters).sum();
    }
}

/// One module of an [`ExtractReport`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExtractedModule {
    /// The base model's name, without `.weight`.
    pub name: String,
    /// The weight's shape.
    pub weight: Vec<usize>,
    /// Shape of `w1`.
    pub w1: [usize; 2],
    /// Shape of `w2`, the kernel in its columns.
    pub w2: [usize; 2],
    /// Rank of `w2` in the first term, where it is low-rank.
    pub rank: Option<usize>,
    /// Kronecker terms.
    pub terms: usize,
    /// Values stored, of all terms.
    pub parameters: usize,
    /// `‖D‖_F` of the difference `D`.
    pub norm: f64,
    /// `‖D‖_F / ‖W‖_F`; infinite for a base weight of zeros.
    pub relative_change: f64,
    /// Share of `‖D‖_F²` captured; the relative error is `√(1 − energy)`.
    pub energy: f64,
    /// Whether the iteration met its tolerance.
    pub converged: bool,
    /// Whether the share of energy asked for is captured; true where none was.
    pub reached: bool,
}

/// A tensor that differs and is not in the adapter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotAdapted {
    /// Its name.
    pub tensor: String,
    /// Why.
    pub reason: NotAdaptedReason,
}

/// Why a tensor that differs is not in the adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NotAdaptedReason {
    /// Not a weight with rows and columns: a bias, a norm, a parameter of another name.
    NotAWeight,
    /// Left out by a pattern.
    Excluded,
    /// Not of a type to compute with: integers, quantised weights.
    ElementType,
    /// Its shape is another one.
    Shape,
    /// Only in the base model.
    OnlyInBase,
    /// Only in the fine-tuned model.
    OnlyInTuned,
}

impl fmt::Display for NotAdaptedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAWeight => "not the weight of a layer",
            Self::Excluded => "left out as asked",
            Self::ElementType => "of a type that is not computed with",
            Self::Shape => "of another shape",
            Self::OnlyInBase => "only in the base model",
            Self::OnlyInTuned => "only in the fine-tuned model",
        })
    }
}
