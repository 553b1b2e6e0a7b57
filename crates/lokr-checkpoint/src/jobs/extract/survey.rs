//! What two models have in common, and which weights of them differ.

use std::collections::BTreeSet;

use regex::Regex;

use super::difference::difference;
use super::options::ExtractOptions;
use super::report::NotAdaptedReason;
use crate::error::{InFile, JobError, Result};
use crate::file::FloatType;
use crate::model::BaseModel;
use crate::quantized::Encoding;

/// A weight that may be adapted, if it differs.
pub(super) struct Candidate {
    pub(super) module: String,
    pub(super) tensor: String,
    /// The fine-tuned weight's type.
    pub(super) dtype: FloatType,
    /// Whether either weight is f64.
    pub(super) wide: bool,
}

/// What a tensor of either model is to the extraction.
pub(super) enum Finding {
    Candidate(Candidate),
    Unchanged,
    NotAdapted(NotAdaptedReason),
}

pub(super) struct Survey<'a> {
    base: &'a BaseModel,
    tuned: &'a BaseModel,
    wanted: Patterns,
}

impl<'a> Survey<'a> {
    pub(super) fn new(base: &'a BaseModel, tuned: &'a BaseModel, options: &ExtractOptions) -> Result<Self> {
        Ok(Self { base, tuned, wanted: Patterns::new(options)? })
    }

    /// The names of both models' tensors, sorted, each by the base's where it has one; in place of a fused weight those
    /// of its thirds.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let (base, tuned) = (self.base, self.tuned);
        if !base.names().any(|name| tuned.info(name).is_some()) {
            let example = tuned.names().next().unwrap_or_default().to_owned();
            return Err(JobError::NothingShared { example }.in_file(tuned.path()));
        }
        // How weights are stored is no difference.
        let companions = [base.companions(), tuned.companions()];
        let markers = [base.markers(), tuned.markers()].concat();
        let is_value = |name: &&str| {
            !companions.iter().any(|companions| companions.contains_key(*name)) && !markers.iter().any(|m| m == name)
        };
        // The same tensor may have another name there.
        let others = tuned.names().filter(|name| base.info(name).is_none());
        let names: BTreeSet<_> = base.names().chain(others).filter(is_value).collect();
        Ok(names.into_iter().flat_map(|name| weights(base, tuned, name)).collect())
    }

    /// Looks at one of them. Those that differ in no bit, or in the type alone, are found here; a candidate's values
    /// may yet turn out the same.
    pub(super) fn look_at(&self, name: &str) -> Result<Finding> {
        let (base, tuned) = (self.base, self.tuned);
        let ((base_stored, base_shape), (stored, shape)) = match (base.info(name), tuned.info(name)) {
            (None, _) => return Ok(Finding::NotAdapted(NotAdaptedReason::OnlyInTuned)),
            (_, None) => return Ok(Finding::NotAdapted(NotAdaptedReason::OnlyInBase)),
            (Some(base), Some(tuned)) => (base, tuned),
        };
        if base_shape != shape {
            return Ok(Finding::NotAdapted(NotAdaptedReason::Shape));
        }
        let same = base_stored == stored && base.tensor(name)?.bytes() == tuned.tensor(name)?.bytes();
        let (base_encoding, encoding) = (base.encoding(base.stored_in(name))?, tuned.encoding(tuned.stored_in(name))?);
        let scales = |encoding: &Option<Encoding>| encoding.as_ref().and_then(|encoding| encoding.scales().cloned());
        if same && scales(&base_encoding) == scales(&encoding) || shape.contains(&0) {
            return Ok(Finding::Unchanged);
        }
        let (Some(base_encoding), Some(encoding)) = (base_encoding, encoding) else {
            return Ok(Finding::NotAdapted(NotAdaptedReason::ElementType));
        };
        let module = name.strip_suffix(".weight").filter(|_| (2..=5).contains(&shape.len()));
        let reason = match module {
            Some(module) if self.wanted.take(module) => {
                let wide = [&base_encoding, &encoding].map(Encoding::unquantized).contains(&Some(FloatType::F64));
                // Eight bits are too few for factors.
                let dtype = encoding.unquantized().unwrap_or(FloatType::Bf16);
                let (module, tensor) = (module.to_owned(), name.to_owned());
                return Ok(Finding::Candidate(Candidate { module, tensor, dtype, wide }));
            }
            Some(_) => NotAdaptedReason::Excluded,
            None => NotAdaptedReason::NotAWeight,
        };
        // Those of one type and without scales have been compared as bytes.
        let equal = (base_stored != stored || encoding.scales().is_some()) && equal(base, tuned, name)?;
        Ok(if equal { Finding::Unchanged } else { Finding::NotAdapted(reason) })
    }
}

/// A tensor's thirds, if it is a fused weight in both models, else itself.
fn weights(base: &BaseModel, tuned: &BaseModel, tensor: &str) -> Vec<String> {
    let thirds = base.thirds(tensor);
    let is_weight = |third: &String| third.ends_with(".weight") && tuned.stored_in(third) == tensor;
    if !thirds.is_empty() && thirds.iter().all(is_weight) { thirds } else { vec![tensor.to_owned()] }
}

/// Whether values that are stored in different ways are the same.
fn equal(base: &BaseModel, tuned: &BaseModel, name: &str) -> Result<bool> {
    Ok(difference::<f64>(base, tuned, name)?.0.iter().all(|&x| x == 0.0))
}

struct Patterns {
    include: Vec<Regex>,
    exclude: Vec<Regex>,
}

impl Patterns {
    fn new(options: &ExtractOptions) -> Result<Self, JobError> {
        let compile = |option, patterns: &[String]| -> Result<Vec<Regex>, JobError> {
            let compile = |pattern: &String| {
                Regex::new(pattern).map_err(|source| JobError::Pattern {
                    option,
                    pattern: pattern.clone(),
                    source: Box::new(source),
                })
            };
            patterns.iter().map(compile).collect()
        };
        Ok(Self { include: compile("include", &options.include)?, exclude: compile("exclude", &options.exclude)? })
    }

    fn take(&self, module: &str) -> bool {
        let finds = |patterns: &[Regex]| patterns.iter().any(|pattern| pattern.is_match(module));
        (self.include.is_empty() || finds(&self.include)) && !finds(&self.exclude)
    }
}
