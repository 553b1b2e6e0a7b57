//! Which LoRA to make.

use std::fmt;

use crate::dialects::Dialect;
use crate::file::{FloatType, OutputForm};
use crate::module::ScaleRule;

/// Which LoRA [`to_lora`](crate::to_lora) makes.
///
/// # Examples
/// ```
/// use lokr_checkpoint::{LoraLayout, LoraOptions, LoraRank};
///
/// let options = LoraOptions { layout: LoraLayout::Kohya, rank: LoraRank::Best(16), ..LoraOptions::default() };
/// assert_eq!(options.dtype, None);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoraOptions {
    /// For which programs.
    pub layout: LoraLayout,
    /// Of which rank.
    pub rank: LoraRank,
    /// The type to store; `None`: that of the factors.
    pub dtype: Option<FloatType>,
    /// The scale that the adapter stands for.
    pub scale: ScaleRule,
    /// What stands before every name, in place of what is usual; PEFT's layout has no other.
    pub prefix: Option<String>,
}

/// What a LoRA is on disk, and how it names tensors. The halves are `down (r, in, kernel…)` and `up (out, r, 1…)`,
/// those of a convolution as LoCon has them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LoraLayout {
    /// PEFT's directory: `base_model.model.<path>.lora_A.weight` and `.lora_B.weight` beside `adapter_config.json`. All
    /// modules have one rank and one `alpha`, smaller ones filled up with zeros: llama.cpp and others ignore
    /// `rank_pattern` and `alpha_pattern`.
    #[default]
    Peft,
    /// kohya's file: `lora_unet_<path with _>.lora_down.weight`, `.lora_up.weight` and `.alpha`, which is the rank.
    Kohya,
    /// ai-toolkit's and ComfyUI's file: `diffusion_model.<path>.lora_A.weight` and `.lora_B.weight`, whose scale is 1.
    Dotted,
}

impl LoraLayout {
    /// What it is on disk.
    ///
    /// # Examples
    /// ```
    /// use lokr_checkpoint::LoraLayout;
    /// use lokr_checkpoint::file::OutputForm;
    ///
    /// assert_eq!(LoraLayout::Peft.form(), OutputForm::Directory);
    /// assert_eq!(LoraLayout::Kohya.form(), OutputForm::File);
    /// ```
    #[must_use]
    pub fn form(self) -> OutputForm {
        self.dialect().form()
    }

    /// The dialect whose names it has.
    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::Peft => Dialect::Peft,
            Self::Kohya => Dialect::Kohya,
            Self::Dotted => Dialect::Dotted,
        }
    }
}

impl fmt::Display for LoraLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Peft => "PEFT's LoRA",
            Self::Kohya => "kohya's LoRA",
            Self::Dotted => "dotted LoRA",
        })
    }
}

/// The rank of a LoRA.
///
/// # Examples
/// ```
/// assert_eq!(lokr_checkpoint::LoraRank::default(), lokr_checkpoint::LoraRank::Exact);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LoraRank {
    /// The same change, of the rank that the factors' shapes bound: `min(m, n)·r` for a `w2` of rank `r`, and up to
    /// `min(m, n)·min(p, q)` for a full one, which is as large as the weight.
    #[default]
    Exact,
    /// The best approximation of this rank; exact for modules whose rank is not higher.
    Best(usize),
}
