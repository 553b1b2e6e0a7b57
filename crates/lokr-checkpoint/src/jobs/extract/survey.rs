//! What two models have in common, and which weights of them differ.

use std::collections::BTreeSet;

use super::difference::difference;
use super::options::ExtractOptions;
use super::report::NotAdaptedReason;
use crate::adapter::{Counterparts, Patterns};
use crate::error::{InFile, JobError, Result};
use crate::file::FloatType;
use crate::model::BaseModel;
use crate::quantized::Encoding;

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

/// Pairs as they are found, and which stored tensors they take up.
#[derive(Default)]
struct Places {
    pairs: Vec<Pair>,
    /// The names of the base's tensors in the pairs.
    names: BTreeSet<String>,
    of_base: BTreeSet<String>,
    of_tuned: BTreeSet<String>,
    only_tuned: Vec<String>,
}

impl Places {
    fn add(&mut self, survey: &Survey<'_>, base: String, tuned: String) {
        let stored = |model: &BaseModel, name: &str| -> Vec<String> {
            model.pieces(name).into_iter().flatten().map(|piece| piece.tensor).collect()
        };
        self.of_base.extend(stored(survey.base, &base));
        self.of_tuned.extend(stored(survey.tuned, &tuned));
        self.names.insert(base.clone());
        self.pairs.push(Pair { base: Some(base), tuned: Some(tuned) });
    }
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

    /// The tensors of both models, sorted by name, those of one place together: in the base's layout where one keeps in
    /// one tensor what the other keeps in several, and a fused weight of both in its thirds.
    pub(super) fn pairs(&self) -> Result<Vec<Pair>> {
        let (base, tuned) = (self.base, self.tuned);
        // How weights are stored is no difference.
        let companions = [base.companions(), tuned.companions()];
        let markers = [base.markers(), tuned.markers()].concat();
        let is_value = |name: &&str| {
            !companions.iter().any(|companions| companions.contains_key(*name)) && !markers.iter().any(|m| m == name)
        };
        let mut places = Places::default();
        for name in base.names().filter(is_value).flat_map(|name| weights(base, tuned, name)) {
            if tuned.info(&name).is_some() {
                places.add(self, name.clone(), name);
            }
        }
        let mut counterparts = Counterparts::new(base, tuned);
        for tensor in tuned.names().filter(is_value) {
            if places.of_tuned.contains(tensor) {
                continue;
            }
            let mut thirds = tuned.thirds(tensor);
            if thirds.is_empty() || !thirds.iter().all(|third| is_weight(third) && counterparts.of(third).is_some()) {
                thirds = vec![tensor.to_owned()];
            }
            for name in thirds {
                // Of two names for one place, the first counts.
                match counterparts.of(&name).filter(|base| !places.names.contains(base)) {
                    Some(base) => places.add(self, base, name),
                    None => places.only_tuned.push(name),
                }
            }
        }
        let Places { mut pairs, of_base, only_tuned, .. } = places;
        if pairs.is_empty() {
            let example = tuned.names().next().unwrap_or_default().to_owned();
            return Err(JobError::NothingShared { example }.in_file(tuned.path()));
        }
        pairs.extend(only_tuned.into_iter().map(|name| Pair { base: None, tuned: Some(name) }));
        let only_base = base.names().filter(is_value).filter(|name| !of_base.contains(*name));
        pairs.extend(only_base.map(|name| Pair { base: Some(name.to_owned()), tuned: None }));
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
        let (base_encoding, encoding) = (encoding(self.base, base_name)?, encoding(self.tuned, name)?);
        let scales = |encoding: &Option<Encoding>| encoding.as_ref().and_then(|encoding| encoding.scales().cloned());
        if same && scales(&base_encoding) == scales(&encoding) || tuned.shape().contains(&0) {
            return Ok(Finding::Unchanged);
        }
        let (Some(base_encoding), Some(encoding)) = (base_encoding, encoding) else {
            return Ok(Finding::NotAdapted(NotAdaptedReason::ElementType));
        };
        let module = base_name.strip_suffix(".weight").filter(|_| (2..=5).contains(&tuned.shape().len()));
        let tensors = (base_name.clone(), name.clone());
        let reason = match module {
            Some(module) if self.wants(module) => {
                let wide = [&base_encoding, &encoding].map(Encoding::unquantized).contains(&Some(FloatType::F64));
                // Eight bits are too few for factors.
                let dtype = encoding.unquantized().unwrap_or(FloatType::Bf16);
                let module = module.to_owned();
                return Ok(Finding::Candidate(Candidate { module, tensors, dtype, wide }));
            }
            Some(_) => NotAdaptedReason::Excluded,
            None => NotAdaptedReason::NotAWeight,
        };
        // Those of one type and without scales have been compared as bytes.
        let equal = (base.dtype() != tuned.dtype() || encoding.scales().is_some()) && self.equal(&tensors)?;
        Ok(if equal { Finding::Unchanged } else { Finding::NotAdapted(reason) })
    }

    /// Whether values that are stored in different ways are the same.
    fn equal(&self, tensors: &(String, String)) -> Result<bool> {
        Ok(difference::<f64>(self.base, self.tuned, tensors)?.0.iter().all(|&x| x == 0.0))
    }

    fn wants(&self, module: &str) -> bool {
        (self.include.is_empty() || self.include.match_any(module)) && !self.exclude.match_any(module)
    }
}

/// How the values of a tensor follow, or nothing where it holds none that are read. Of one in several pieces, that of
/// the first.
fn encoding(model: &BaseModel, name: &str) -> Result<Option<Encoding>> {
    let pieces = model.pieces(name).unwrap_or_default();
    let all = pieces.iter().map(|piece| model.encoding(&piece.tensor)).collect::<Result<Option<Vec<_>>>>()?;
    Ok(all.and_then(|all| all.into_iter().next()))
}

/// A tensor's thirds, if it is a fused weight in both models, else itself.
fn weights(base: &BaseModel, tuned: &BaseModel, tensor: &str) -> Vec<String> {
    let thirds = base.thirds(tensor);
    let is_third = |third: &String| is_weight(third) && tuned.stored_in(third) == tensor;
    if !thirds.is_empty() && thirds.iter().all(is_third) { thirds } else { vec![tensor.to_owned()] }
}

fn is_weight(tensor: &str) -> bool {
    tensor.ends_with(".weight")
}
