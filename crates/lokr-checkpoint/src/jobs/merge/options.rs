//! Choices of a merge.

use std::fmt::Debug;

use super::plan::Misfits;
use super::whole::WholeTensors;
use crate::adapter::Unmatched;
use crate::file::{FloatType, Overwrite};
use crate::model::BaseModel;

/// Choices of [`merge`](crate::merge()) and [`unmerge`](crate::unmerge). The default refuses what is doubtful and
/// replaces nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct MergeOptions<'a> {
    /// Modules that the base model does not have.
    pub unmatched: Unmatched,
    /// Tensors that an adapter stores whole and that the base model lacks or has in another shape.
    pub whole: WholeTensors,
    /// An output that is there already.
    pub overwrite: Overwrite,
    /// Whether to do it or only to check that it can be done.
    pub run: Run,
    /// Weights of eight bits.
    pub quantized: QuantizedOptions<'a>,
}

/// What becomes of weights that are stored in eight bits a value: F8_E4M3, F8_E5M2, or integers with scales. The
/// default keeps their layout, with new scales, and rounds to nearest.
#[derive(Debug, Clone, Copy)]
pub struct QuantizedOptions<'a> {
    /// Write those that an adapter changes as this type, without scales; and all of them where the model's
    /// `config.json` describes them all at once. Not one of eight bits.
    pub out_dtype: Option<FloatType>,
    /// How values are rounded to eight bits.
    pub rounding: QuantizedRounding,
    /// The model before it was quantised: the adapters are merged into its weights, and these are rounded once.
    pub original: Option<&'a BaseModel>,
    /// The least share of a weight's change that must be left after rounding to eight bits, from 0 (allows all) to 1.
    pub min_kept: f64,
}

impl Default for QuantizedOptions<'_> {
    fn default() -> Self {
        Self { out_dtype: None, rounding: QuantizedRounding::default(), original: None, min_kept: 0.9 }
    }
}

/// How values are rounded to eight bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum QuantizedRounding {
    /// To the nearest value. A change that is small beside the gaps between values is lost where it does not move a
    /// value over the middle of a gap.
    #[default]
    Nearest,
    /// To either neighbour, with chances that keep every change on average, drawn from a generator seeded by the
    /// tensor's name. The rule is `ComfyUI`'s; its bits depend on torch's generator and the device, and are others.
    Stochastic,
}

impl MergeOptions<'_> {
    /// What of them decides what is written.
    pub(super) fn chosen(&self) -> impl Debug {
        let QuantizedOptions { out_dtype, rounding, min_kept, .. } = self.quantized;
        (self.unmatched, self.whole, out_dtype, rounding, min_kept)
    }

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
