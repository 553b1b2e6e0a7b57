//! Whether the modules found in a model that is one of several belong to one of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::dialect::kohya;
use crate::error::NameError;
use crate::model::BaseModel;

/// An error where names of several models (`lora_te1_…`, `lora_te2_…`) mean modules without any model's prefix: the
/// base is one of these models, and only the user knows which.
pub(super) fn check_one_model(targets: &BTreeMap<String, String>, lacking: &[String]) -> Result<(), NameError> {
    let bare = targets.iter().filter_map(|(name, target)| {
        let (prefix, places, _) = kohya::split(name)?;
        let behind = |place: &&str| !place.is_empty() && target.starts_with(*place);
        (!places.iter().any(behind)).then(|| prefix.to_owned())
    });
    let prefixes: BTreeSet<_> = bare.collect();
    if prefixes.len() < 2 {
        return Ok(());
    }
    Err(NameError::SeveralModels { prefixes: prefixes.into_iter().collect(), lacking: lacking.to_vec() })
}

/// An error where a pipeline has two image models with one module, `transformer` and `transformer_2` as Wan 2.2 does,
/// and a name does not say which.
pub(super) fn check_one_transformer(base: &BaseModel, name: &str, target: &str) -> Result<(), NameError> {
    const FIRST: &str = "transformer.";
    let second = target.strip_prefix(FIRST).map(|rest| format!("transformer_2.{rest}"));
    match second.filter(|second| !name.starts_with(FIRST) && base.info(second).is_some()) {
        None => Ok(()),
        Some(second) => {
            let candidates = [target, &second].map(|weight| weight.trim_end_matches(".weight").to_owned()).to_vec();
            Err(NameError::AmbiguousModule { module: name.to_owned(), candidates })
        }
    }
}
