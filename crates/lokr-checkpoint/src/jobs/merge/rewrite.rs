//! The texts beside a model's tensors that must follow them: the index of shards, and the configuration's vocabulary.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::model::{Job, bytes_of};
use super::other_files::OtherFiles;
use super::report::ResizedTensor;
use crate::error::{InFile, Result};
use crate::file::{TensorFile, parent, product};

/// A tensor that is new to a shard.
struct NewTensor<'a> {
    name: &'a str,
    shard: &'a str,
}

impl Job<'_> {
    /// The tensors whose number of rows changes.
    pub(super) fn resized(&self) -> Vec<ResizedTensor> {
        let resized = self.plan.modules_to_save.iter().filter_map(|(name, tensor)| {
            let (from, to) = (*self.base.info(name)?.1.first()?, *tensor.shape().first()?);
            (from != to).then(|| ResizedTensor { tensor: name.clone(), from, to })
        });
        resized.collect()
    }

    /// Whether new tensors go into this file: the last one by name.
    pub(super) fn takes_added(&self, file: &TensorFile) -> bool {
        self.base.files().iter().all(|other| other.path() <= file.path())
    }

    /// The texts beside the model that must follow its tensors, by their paths.
    pub(super) fn rewritten(&self, others: &OtherFiles) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
        let mut texts = BTreeMap::new();
        let Some(directory) = self.base.directory() else { return Ok(texts) };
        for relative in &others.copied {
            let path = directory.join(relative);
            let text = if self.base.is_index(&path) {
                self.index_text(&path).in_file(&path)?
            } else if relative == Path::new("config.json") {
                self.configuration_text(&path).in_file(&path)?
            } else {
                None
            };
            texts.extend(text.map(|text| (relative.clone(), text)));
        }
        Ok(texts)
    }

    /// The new text of an index, if it changes.
    fn index_text(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let of_index = |file: &&TensorFile| parent(file.path()) == parent(path);
        let shards: Vec<_> = self.base.files().iter().filter(of_index).collect();
        let holder = shards.iter().find(|file| self.takes_added(file));
        let shard = holder.and_then(|file| file.path().file_name()).and_then(|name| name.to_str());
        let new: Vec<_> = match shard {
            Some(shard) => self.plan.added.keys().map(|name| NewTensor { name, shard }).collect(),
            None => Vec::new(),
        };
        let own: Vec<_> = shards.iter().flat_map(|file| self.specs(file)).collect();
        let (bytes, parameters) = (own.iter().map(bytes_of).sum(), own.iter().map(|s| product(&s.shape) as u64).sum());
        let before: u64 = shards.iter().map(|file| file.data_bytes() as u64).sum();
        if bytes == before && new.is_empty() && !self.outputs.makes_floats() {
            return Ok(None);
        }
        let totals = [("total_size", bytes), ("total_parameters", parameters)];
        index(&std::fs::read(path)?, &self.outputs.left_out, &new, totals).map(Some)
    }

    /// The new text of the configuration, if it changes.
    fn configuration_text(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let mut changed: Option<Vec<u8>> = None;
        for ResizedTensor { from, to, .. } in self.resized() {
            let text = match &changed {
                Some(text) => vocabulary(text, from, to)?,
                None => vocabulary(&std::fs::read(path)?, from, to)?,
            };
            changed = text.or(changed);
        }
        if self.base.is_quantized_by_config() && self.outputs.makes_floats() && self.outputs.none_left {
            let text = changed.map_or_else(|| std::fs::read(path), Ok)?;
            changed = Some(without_quantization(&text)?);
        }
        Ok(changed)
    }
}

/// An index without some tensors and with new ones, with these numbers in its metadata where it had such. Fields that
/// are not understood stay.
fn index(text: &[u8], left_out: &BTreeSet<String>, new: &[NewTensor<'_>], totals: [(&str, u64); 2]) -> Result<Vec<u8>> {
    let mut index: Value = serde_json::from_slice(text)?;
    if let Some(map) = index.get_mut("weight_map").and_then(Value::as_object_mut) {
        map.retain(|name, _| !left_out.contains(name));
        map.extend(new.iter().map(|tensor| (tensor.name.to_owned(), json!(tensor.shard))));
    }
    for (name, total) in totals {
        if let Some(number) = index.get_mut("metadata").and_then(|metadata| metadata.get_mut(name)) {
            *number = json!(total);
        }
    }
    written(&index)
}

/// A configuration without what it says of quantised weights.
fn without_quantization(text: &[u8]) -> Result<Vec<u8>> {
    let mut config: Value = serde_json::from_slice(text)?;
    if let Some(fields) = config.as_object_mut() {
        fields.remove("quantization_config");
    }
    written(&config)
}

/// A configuration in which every `vocab_size` of `from` is `to`; nothing if none is.
fn vocabulary(text: &[u8], from: usize, to: usize) -> Result<Option<Vec<u8>>> {
    let mut config: Value = serde_json::from_slice(text)?;
    Ok(if set_vocabulary(&mut config, from, to) { Some(written(&config)?) } else { None })
}

fn set_vocabulary(config: &mut Value, from: usize, to: usize) -> bool {
    let Value::Object(fields) = config else { return false };
    let mut changed = false;
    for (name, value) in fields {
        if name == "vocab_size" && *value == json!(from) {
            *value = json!(to);
            changed = true;
        } else {
            changed |= set_vocabulary(value, from, to);
        }
    }
    changed
}

/// As `transformers` writes such texts: sorted, two spaces.
fn written(value: &Value) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_lists_what_is_new_and_keeps_what_it_had() {
        let text = br#"{"metadata": {"total_size": 10, "x": 1}, "weight_map": {"a": "1", "c": "1"}}"#;
        let left_out = BTreeSet::from(["c".to_owned()]);
        let totals = [("total_size", 16), ("total_parameters", 3)];
        let new = index(text, &left_out, &[NewTensor { name: "b", shard: "2" }], totals).unwrap();
        let new: Value = serde_json::from_slice(&new).unwrap();
        assert_eq!(new, json!({"metadata": {"total_size": 16, "x": 1}, "weight_map": {"a": "1", "b": "2"}}));
    }

    #[test]
    fn every_vocabulary_of_that_size_follows() {
        let text = br#"{"vocab_size": 10, "text_config": {"vocab_size": 10}, "vision": {"vocab_size": 3}}"#;
        let new: Value = serde_json::from_slice(&vocabulary(text, 10, 12).unwrap().unwrap()).unwrap();
        assert_eq!(new, json!({"vocab_size": 12, "text_config": {"vocab_size": 12}, "vision": {"vocab_size": 3}}));
        assert!(vocabulary(text, 11, 12).unwrap().is_none());
    }
}
