//! Whether the modules found in a model that is one of several belong to one of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::dialect::kohya;
use crate::error::NameError;

/// An error where names of several models (`lora_te1_…`, `lora_te2_…`) mean modules without any model's prefix: the base
/// is one of these models, and only the user knows which.
pub(super) fn check_one_model(targets: &BTreeMap<String, String>) -> Result<(), NameError> {
    let bare = targets.iter().filter_map(|(name, target)| {
        let (prefix, places, _) = kohya::split(name)?;
        let behind = |place: &&str| !place.is_empty() && target.starts_with(*place);
        (!places.iter().any(behind)).then(|| prefix.to_owned())
    });
    let prefixes: BTreeSet<_> = bare.collect();
    if prefixes.len() < 2 { Ok(()) } else { Err(NameError::SeveralModels { prefixes: prefixes.into_iter().collect() }) }
}
