//! The texts beside a model's tensors that must follow them: the index of shards, and the configuration's vocabulary.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::model::Job;
use super::other_files::OtherFiles;
use super::report::ResizedTensor;
use crate::error::{InFile, Result};
use crate::file::{Tensor, TensorFile, parent};

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

    /// Bytes by which whole tensors make the model larger.
    pub(super) fn bytes_more(&self) -> i64 {
        self.more(None, |tensor| tensor.bytes().len())
    }

    /// By how much whole tensors make the model larger, or one of its files.
    fn more(&self, file: Option<&TensorFile>, size: impl Fn(&Tensor) -> usize) -> i64 {
        let within = |name: &str| file.is_none_or(|file| file.info(name).is_some());
        let size = |tensor: &Tensor| size(tensor) as i64;
        let added = self.plan.added.values().filter(|_| file.is_none_or(|file| self.takes_added(file))).map(size);
        let replaced = self.plan.modules_to_save.iter().filter(|(name, _)| within(name));
        let grown = replaced.map(|(name, tensor)| size(tensor) - self.base.tensor(name).map_or(0, |old| size(&old)));
        added.chain(grown).sum()
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
        let more = |size: fn(&Tensor) -> usize| shards.iter().map(|file| self.more(Some(file), size)).sum();
        let more: [(&str, i64); 2] =
            [("total_size", more(|tensor| tensor.bytes().len())), ("total_parameters", more(Tensor::element_count))];
        let holder = shards.iter().find(|file| self.takes_added(file));
        let shard = holder.and_then(|file| file.path().file_name()).and_then(|name| name.to_str());
        let new: Vec<_> = match shard {
            Some(shard) => self.plan.added.keys().map(|name| NewTensor { name, shard }).collect(),
            None => Vec::new(),
        };
        if more[0].1 == 0 && new.is_empty() {
            return Ok(None);
        }
        index(&std::fs::read(path)?, &new, more).map(Some)
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
        Ok(changed)
    }
}

/// An index with these tensors, and with these numbers of its metadata larger. Fields that are not understood stay.
fn index(text: &[u8], new: &[NewTensor<'_>], more: [(&str, i64); 2]) -> Result<Vec<u8>> {
    let mut index: Value = serde_json::from_slice(text)?;
    if let Some(map) = index.get_mut("weight_map").and_then(Value::as_object_mut) {
        map.extend(new.iter().map(|tensor| (tensor.name.to_owned(), json!(tensor.shard))));
    }
    for (name, more) in more {
        let number = index.get_mut("metadata").and_then(|metadata| metadata.get_mut(name));
        if let Some((number, before)) = number.and_then(|number| number.as_i64().map(|before| (number, before))) {
            *number = json!(before + more);
        }
    }
    written(&index)
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
        let text = br#"{"metadata": {"total_size": 10, "x": 1}, "weight_map": {"a": "1"}}"#;
        let more = [("total_size", 6), ("total_parameters", 3)];
        let new = index(text, &[NewTensor { name: "b", shard: "2" }], more).unwrap();
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
