//! Where updates enter: before a layer's activation in every other program, so the header names the others.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;

/// The entry of the header with a list of the layers whose updates enter after the activation.
const ENTRY: &str = "lokr_after_activation";

/// The entry for these layers, if there are any.
pub(super) fn to_metadata(after: &BTreeSet<String>) -> Result<BTreeMap<String, String>> {
    if after.is_empty() {
        return Ok(BTreeMap::new());
    }
    Ok(BTreeMap::from([(ENTRY.to_owned(), serde_json::to_string(after)?)]))
}

/// The layers that the header names.
pub(super) fn from_metadata(metadata: &BTreeMap<String, String>) -> Result<BTreeSet<String>> {
    Ok(metadata.get(ENTRY).map_or_else(|| Ok(BTreeSet::new()), |text| serde_json::from_str(text))?)
}
