//! What two models have in common, from their headers; small tensors are compared.

use std::collections::BTreeSet;

use regex::Regex;
use safetensors::Dtype;

use super::weight::difference;
use super::{ExtractOptions, NotAdapted, NotAdaptedReason};
use crate::{BaseModel, CheckpointError, FloatType, Result};

/// A weight that may be adapted, if it differs.
pub(super) struct Candidate {
    pub(super) module: String,
    pub(super) tensor: String,
    /// The fine-tuned weight's type.
    pub(super) kind: FloatType,
    /// Whether either weight is f64.
    pub(super) wide: bool,
}

pub(super) struct Survey {
    pub(super) candidates: Vec<Candidate>,
    pub(super) unchanged: usize,
    pub(super) not_adapted: Vec<NotAdapted>,
}

pub(super) fn survey(base: &BaseModel, tuned: &BaseModel, options: &ExtractOptions) -> Result<Survey> {
    let wanted = Patterns::new(options)?;
    let (in_base, in_tuned): (BTreeSet<_>, BTreeSet<_>) = (base.names().collect(), tuned.names().collect());
    if in_base.is_disjoint(&in_tuned) {
        let example = tuned.names().next().unwrap_or_default().to_owned();
        return Err(CheckpointError::NothingShared { example }.in_file(tuned.path()));
    }
    let mut survey = Survey { candidates: Vec::new(), unchanged: 0, not_adapted: Vec::new() };
    let names: Vec<_> = in_base.union(&in_tuned).flat_map(|name| weights(base, tuned, name)).collect();
    for name in &names {
        let reason = match (base.info(name), tuned.info(name)) {
            (None, _) => NotAdaptedReason::OnlyInTuned,
            (_, None) => NotAdaptedReason::OnlyInBase,
            (Some((_, base_shape)), Some((_, shape))) if base_shape != shape => NotAdaptedReason::Shape,
            (Some((base_type, _)), Some((dtype, shape))) => {
                let module = name.strip_suffix(".weight").filter(|_| (2..=5).contains(&shape.len()));
                let kinds = (FloatType::from_dtype(base_type), FloatType::from_dtype(dtype));
                let same = base_type == dtype && base.tensor(name)?.bytes() == tuned.tensor(name)?.bytes();
                let reason = match (module, kinds) {
                    _ if same || shape.contains(&0) => None,
                    (Some(module), (Some(base_kind), Some(kind))) if wanted.take(module) => {
                        let wide = base_kind == FloatType::F64 || kind == FloatType::F64;
                        let (module, tensor) = (module.to_owned(), name.clone());
                        survey.candidates.push(Candidate { module, tensor, kind, wide });
                        continue;
                    }
                    (_, (None, _) | (_, None)) => Some(NotAdaptedReason::ElementType),
                    _ if equal(base, tuned, name, (base_type, dtype))? => None,
                    (Some(_), _) => Some(NotAdaptedReason::Excluded),
                    (None, _) => Some(NotAdaptedReason::NotAWeight),
                };
                let Some(reason) = reason else {
                    survey.unchanged += 1;
                    continue;
                };
                reason
            }
        };
        survey.not_adapted.push(NotAdapted { tensor: name.clone(), reason });
    }
    Ok(survey)
}

/// A tensor's parts, if it is a fused weight in both models, else itself.
fn weights(base: &BaseModel, tuned: &BaseModel, tensor: &str) -> Vec<String> {
    let parts = base.parts(tensor);
    let is_weight = |part: &String| part.ends_with(".weight") && tuned.stored_in(part) == tensor;
    if !parts.is_empty() && parts.iter().all(is_weight) { parts } else { vec![tensor.to_owned()] }
}

/// Whether values of different types are the same; those of one type have been compared as bytes.
fn equal(base: &BaseModel, tuned: &BaseModel, name: &str, types: (Dtype, Dtype)) -> Result<bool> {
    Ok(types.0 != types.1 && difference::<f64>(base, tuned, name)?.0.iter().all(|&x| x == 0.0))
}

struct Patterns {
    include: Vec<Regex>,
    exclude: Vec<Regex>,
}

impl Patterns {
    fn new(options: &ExtractOptions) -> Result<Self> {
        let compile = |field, patterns: &[String]| -> Result<Vec<Regex>> {
            let compile = |pattern: &String| {
                Regex::new(pattern).map_err(|source| CheckpointError::ConfigPattern {
                    field,
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
