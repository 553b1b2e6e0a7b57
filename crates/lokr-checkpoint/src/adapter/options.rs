//! How to read an adapter where its file leaves a choice.

use std::path::PathBuf;

use crate::dialects::Dialect;

/// Choices of [`Adapter::read`](crate::Adapter::read). The default detects the dialect and refuses what is doubtful.
///
/// # Examples
/// ```
/// use lokr_checkpoint::{Dialect, ReadOptions, ZeroAlpha};
///
/// let options = ReadOptions { dialect: Some(Dialect::Kohya), zero_alpha: ZeroAlpha::Rank, ..ReadOptions::default() };
/// assert_eq!(options.prefix, None);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// The dialect, where it is not to be detected.
    pub dialect: Option<Dialect>,
    /// What stands before every name of a LyCORIS file instead of `lycoris_` (`lora_prefix` in its presets).
    pub prefix: Option<String>,
    /// PEFT's `adapter_config.json`, where it is not beside the tensors.
    pub config: Option<PathBuf>,
    /// Pairs of texts: in the name of every tensor, each occurrence of the first becomes the second, before anything is
    /// made of the names. For files whose names no dialect has.
    pub rename: Vec<(String, String)>,
    /// Beginnings of names; where there are any, only modules whose names begin with one of them are kept, such as
    /// `lora_te2_` for an adapter of a whole pipeline on a model that is its second text encoder alone. PEFT's prefix
    /// does not count.
    pub only: Vec<String>,
    /// Regular expressions; modules, and tensors stored whole, in whose name one is found are left out. No module left
    /// is an error.
    pub exclude: Vec<String>,
    /// NaN and infinite values in factors.
    pub non_finite: NonFinite,
    /// Tensors that are not understood.
    pub foreign: ForeignTensors,
    /// An `alpha` of 0.
    pub zero_alpha: ZeroAlpha,
}

/// What to do about NaN and infinite values in factors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NonFinite {
    /// An error with their count.
    #[default]
    Refuse,
    /// Read them.
    Allow,
}

/// What to do about tensors of algorithms that cannot be applied, and of none that is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForeignTensors {
    /// An error naming the tensor and, where known, its algorithm and the modules of all such tensors.
    #[default]
    Refuse,
    /// Leave them out, with a warning that lists them.
    Skip,
}

/// What an `alpha` of 0 next to a low-rank factor means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ZeroAlpha {
    /// An error: programs disagree.
    #[default]
    Refuse,
    /// `alpha = rank`, so scale 1, as in LyCORIS.
    Rank,
    /// Scale 0, as in ComfyUI.
    Zero,
}
