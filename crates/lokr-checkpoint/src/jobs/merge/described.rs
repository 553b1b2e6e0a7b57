//! The files beside a model that describe its tensors, where these are others than the base's.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::error::{InFile, Result};

/// Copies an index of shards without the tensors that are left out, and with the size of those that are there.
pub(super) fn copy_index(from: &Path, to: &Path, left_out: &BTreeSet<String>, bytes: u64) -> Result<()> {
    copy_json(from, to, |index| {
        if let Some(map) = index["weight_map"].as_object_mut() {
            map.retain(|name, _| !left_out.contains(name));
        }
        if let Some(size) = index["metadata"].get_mut("total_size") {
            *size = json!(bytes);
        }
    })
}

/// Copies a model's configuration without what it says of quantised weights.
pub(super) fn copy_config(from: &Path, to: &Path) -> Result<()> {
    copy_json(from, to, |config| {
        if let Some(config) = config.as_object_mut() {
            config.remove("quantization_config");
        }
    })
}

fn copy_json(from: &Path, to: &Path, change: impl FnOnce(&mut Value)) -> Result<()> {
    let text = std::fs::read(from).in_file(from)?;
    let mut value: Value = serde_json::from_slice(&text).in_file(from)?;
    change(&mut value);
    let mut text = serde_json::to_vec_pretty(&value).in_file(from)?;
    text.push(b'\n');
    std::fs::write(to, text).in_file(to)
}
