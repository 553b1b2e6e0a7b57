//! Choices of an extraction.

use lokr_core::FactorizationRule;

use crate::error::{JobError, Result};
use crate::file::FloatType;
use crate::module::FactorSize;

/// Choices of [`extract`](crate::extract()).
///
/// # Examples
/// ```
/// use lokr_checkpoint::{ExtractOptions, FactorSize};
///
/// let options = ExtractOptions {
///     factor: Some(16),
///     size: FactorSize::Rank(8),
///     exclude: vec!["embed".to_owned(), r"lm_head$".to_owned()],
///     ..ExtractOptions::default()
/// };
/// assert_eq!(options.terms, 1);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ExtractOptions {
    /// How `out` and `in` are split (see [`lokr_core::factorization`]). `None`: evenly; with [`FactorSize::Energy`] the
    /// split with the fewest values that captures the share, among the even one and factors 64, 32, 16, 8, 4 and 2.
    pub factor: Option<i64>,
    /// Whose rule splits.
    pub rule: FactorizationRule,
    /// How `w2` is held. A share of the energy is of the whole difference.
    pub size: FactorSize,
    /// Kronecker terms per module: as many adapters come out, see [`Extraction::terms`](crate::Extraction::terms).
    pub terms: usize,
    /// Regular expressions; where there are any, only modules in whose name one is found are extracted.
    pub include: Vec<String>,
    /// Regular expressions; modules in whose name one is found are left out. Embeddings look like linear layers in a
    /// file and are best left out so, because few programs adapt them.
    pub exclude: Vec<String>,
    /// Modules whose relative change `‖D‖_F/‖W‖_F` is at most this are taken for unchanged: 0 takes every change, 1e-2
    /// passes over what rounding to bf16 leaves.
    pub min_change: f64,
    /// The type factors are stored in; `None`: that of the fine-tuned weight.
    pub dtype: Option<FloatType>,
    /// Seed of the iterations' start vectors.
    pub seed: u64,
}

impl Default for ExtractOptions {
    fn default() -> Self {
        Self {
            factor: None,
            rule: FactorizationRule::default(),
            size: FactorSize::default(),
            terms: 1,
            include: Vec::new(),
            exclude: Vec::new(),
            min_change: 0.0,
            dtype: None,
            seed: 0,
        }
    }
}

pub(super) fn check(options: &ExtractOptions) -> Result<(), JobError> {
    options.size.check()?;
    let error = |option, expected, found: String| Err(JobError::Option { option, expected, found });
    if options.terms == 0 {
        return error("terms", "a positive number", "0".to_owned());
    }
    if !(options.min_change >= 0.0 && options.min_change.is_finite()) {
        return error("min_change", "a finite number that is not negative", options.min_change.to_string());
    }
    Ok(())
}
