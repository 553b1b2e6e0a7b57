//! What two models have in common, and which weights of them differ.

use std::collections::BTreeMap;

use safetensors::Dtype;

use super::difference::difference;
use super::options::ExtractOptions;
use super::report::NotAdaptedReason;
use crate::adapter::{Counterparts, Patterns};
use crate::error::{InFile, JobError, Result};
use crate::file::FloatType;
use crate::model::BaseModel;

/// A tensor of the base model, by its name there, and the fine-tuned model's, by its name there.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) base: Option<String>,
    pub(super) tuned: Option<String>,
}

impl Pair {
    /// What it is called in reports: as in the base model, if that has it.
    pub(super) fn name(&self) -> &str {
        self.base.as_deref().or(self.tuned.as_deref()).unwrap_or_default()
    }
}

/// A weight that may be adapted, if it differs.
pub(super) struct Candidate {
    pub(super) module: String,
    /// Its names in the base model and in the fine-tuned one.
    pub(super) tensors: (String, String),
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
    include: Patterns,
    exclude: Patterns,
}

impl<'a> Survey<'a> {
    pub(super) fn new(base: &'a BaseModel, tuned: &'a BaseModel, options: &ExtractOptions) -> Result<Self> {
        let include = Patterns::new("include", &options.include)?;
        Ok(Self { base, tuned, include, exclude: Patterns::new("exclude", &options.exclude)? })
    }

    /// The tensors of both models, sorted by name, those of one place together; in place of a fused weight those of its
    /// thirds.
    pub(super) fn pairs(&self) -> Result<Vec<Pair>> {
        let mut counterparts = Counterparts::new(self.base, self.tuned);
        let mut by_base: BTreeMap<String, String> = BTreeMap::new();
        let mut pairs = Vec::new();
        for tensor in self.tuned.names() {
            let mut thirds = self.tuned.thirds(tensor);
            if thirds.is_empty() || !thirds.iter().all(|third| is_weight(third) && counterparts.of(third).is_some()) {
                thirds = vec![tensor.to_owned()];
            }
            for name in thirds {
                match counterparts.of(&name) {
                    // Of two names for one place, the first counts.
                    Some(base) if !by_base.contains_key(&base) => {
                        by_base.insert(base, name);
                    }
                    _ => pairs.push(Pair { base: None, tuned: Some(name) }),
                }
            }
        }
        if by_base.is_empty() {
            let example = self.tuned.names().next().unwrap_or_default().to_owned();
            return Err(JobError::NothingShared { example }.in_file(self.tuned.path()));
        }
        for name in self.base.names() {
            // A fused one is there in pieces, where any of them is.
            let thirds = self.base.thirds(name);
            let in_pieces = thirds.iter().any(|third| by_base.contains_key(third));
            let names = if in_pieces { thirds } else { vec![name.to_owned()] };
            pairs.extend(names.into_iter().map(|name| Pair { tuned: by_base.get(&name).cloned(), base: Some(name) }));
        }
        pairs.sort_by(|first, second| first.name().cmp(second.name()));
        Ok(pairs)
    }

    /// Looks at one of them. Those that differ in no bit, or in the type alone, are found here; a candidate's values
    /// may yet turn out the same.
    pub(super) fn look_at(&self, pair: &Pair) -> Result<Finding> {
        let (base_name, name) = match pair {
            Pair { base: None, .. } => return Ok(Finding::NotAdapted(NotAdaptedReason::OnlyInTuned)),
            Pair { tuned: None, .. } => return Ok(Finding::NotAdapted(NotAdaptedReason::OnlyInBase)),
            Pair { base: Some(base), tuned: Some(tuned) } => (base, tuned),
        };
        let (base, tuned) = (self.base.tensor(base_name)?, self.tuned.tensor(name)?);
        if base.shape() != tuned.shape() {
            return Ok(Finding::NotAdapted(NotAdaptedReason::Shape));
        }
        let same = base.dtype() == tuned.dtype() && base.bytes() == tuned.bytes();
        if same || tuned.shape().contains(&0) {
            return Ok(Finding::Unchanged);
        }
        let types = (FloatType::from_dtype(base.dtype()), FloatType::from_dtype(tuned.dtype()));
        let (Some(base_dtype), Some(dtype)) = types else {
            return Ok(Finding::NotAdapted(NotAdaptedReason::ElementType));
        };
        let module = base_name.strip_suffix(".weight").filter(|_| (2..=5).contains(&tuned.shape().len()));
        let tensors = (base_name.clone(), name.clone());
        let reason = match module {
            Some(module) if self.wants(module) => {
                let wide = base_dtype == FloatType::F64 || dtype == FloatType::F64;
                let module = module.to_owned();
                return Ok(Finding::Candidate(Candidate { module, tensors, dtype, wide }));
            }
            Some(_) => NotAdaptedReason::Excluded,
            None => NotAdaptedReason::NotAWeight,
        };
        let equal = self.equal(&tensors, (base.dtype(), tuned.dtype()))?;
        Ok(if equal { Finding::Unchanged } else { Finding::NotAdapted(reason) })
    }

    /// Whether values of different types are the same; those of one type have been compared as bytes.
    fn equal(&self, tensors: &(String, String), types: (Dtype, Dtype)) -> Result<bool> {
        let differs = |x: &f64| *x != 0.0;
        Ok(types.0 != types.1 && !difference::<f64>(self.base, self.tuned, tensors)?.0.iter().any(differs))
    }

    fn wants(&self, module: &str) -> bool {
        (self.include.is_empty() || self.include.match_any(module)) && !self.exclude.match_any(module)
    }
}

fn is_weight(tensor: &str) -> bool {
    tensor.ends_with(".weight")
}
