//! Tensors that an adapter stores whole: PEFT's heads and embeddings.

use std::path::Path;

use serde_json::Value;

use crate::adapter::Adapter;
use crate::dialect::peft::module_of;
use crate::error::{FileError, JobError, Result};
use crate::file::{FloatType, Tensor};
use crate::model::BaseModel;

/// What to do about tensors that an adapter stores whole and that have no counterpart of their shape in the base model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WholeTensors {
    /// Heads that PEFT's `modules_to_save` lists are added, embeddings and output layers of a larger vocabulary take
    /// the place of the base's; others are an error.
    #[default]
    Known,
    /// All others are added too; another number of rows is taken, whatever the tensor is.
    Any,
}

/// What becomes of one of them.
pub(super) enum Whole {
    /// It takes the place of the base's tensor, in that tensor's type.
    Replaces(Tensor),
    /// The base model has none of its name.
    Adds(Tensor),
    /// The base model has none of its name, because it ties it to its embedding, and the adapter has both alike.
    Tied,
    /// The base model has none of its name, and nobody says that it should be added.
    Unknown,
}

impl Whole {
    pub(super) fn of(
        name: &str,
        tensor: &Tensor,
        base: &BaseModel,
        adapter: &Adapter,
        policy: WholeTensors,
    ) -> Result<Self> {
        let Some((dtype, shape)) = base.info(name).filter(|_| base.stores(name)) else {
            let known = policy == WholeTensors::Any || is_listed(adapter, module_of(name));
            return Ok(match known {
                _ if is_tied(base, adapter, name, tensor) => Self::Tied,
                true => Self::Adds(tensor.clone()),
                false => Self::Unknown,
            });
        };
        if tensor.shape() != shape {
            let grown = rows_differ(shape, tensor.shape())
                && (policy == WholeTensors::Any || shape[0] < tensor.shape()[0] && is_vocabulary(base, name, shape[0]));
            if !grown {
                let (key, expected, found) = (name.to_owned(), shape.to_vec(), tensor.shape().to_vec());
                return Err(JobError::ReplacementShape { key, expected, found }.into());
            }
        }
        Ok(Self::Replaces(match FloatType::from_dtype(dtype) {
            _ if tensor.dtype() == dtype => tensor.clone(),
            Some(dtype) if dtype.fp8().is_none() => tensor.scaled(name, 1.0, dtype)?,
            _ => return Err(FileError::TensorDtype { key: name.to_owned(), dtype }.into()),
        }))
    }
}

/// Whether two shapes are those of tensors with different numbers of rows, and nothing else.
fn rows_differ(first: &[usize], second: &[usize]) -> bool {
    first.len() == second.len() && !first.is_empty() && first[1..] == second[1..]
}

/// Whether PEFT's configuration lists a module among those to save, as a name or the end of one.
fn is_listed(adapter: &Adapter, module: &str) -> bool {
    let listed = adapter.config().and_then(|config| config.fields().get("modules_to_save")).and_then(Value::as_array);
    let ends = |name: &str| module.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    listed.is_some_and(|names| names.iter().filter_map(Value::as_str).any(ends))
}

/// Whether a tensor is the same as another of the adapter that the base model has, which says that it ties them.
fn is_tied(base: &BaseModel, adapter: &Adapter, name: &str, tensor: &Tensor) -> bool {
    let ties = base.directory().and_then(configuration).is_some_and(|config| ties_embeddings(&config));
    let same = |(other, twin): (&String, &Tensor)| {
        other != name && twin.shape() == tensor.shape() && twin.bytes() == tensor.bytes() && base.info(other).is_some()
    };
    ties && adapter.modules_to_save().iter().any(same)
}

/// Whether a configuration, or that of a model in it, says `tie_word_embeddings`.
fn ties_embeddings(config: &Value) -> bool {
    let Value::Object(fields) = config else { return false };
    fields.get("tie_word_embeddings") == Some(&Value::Bool(true)) || fields.values().any(ties_embeddings)
}

/// Whether a tensor's rows are the words of the model's vocabulary: as many as its configuration says, or without one
/// by the tensor's name.
fn is_vocabulary(base: &BaseModel, name: &str, rows: usize) -> bool {
    match base.directory().and_then(configuration) {
        Some(config) => vocabulary_sizes(&config).contains(&rows),
        None => ["embed", "wte", "lm_head"].iter().any(|part| module_of(name).contains(part)),
    }
}

fn configuration(directory: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(directory.join("config.json")).ok()?).ok()
}

/// All `vocab_size` of a configuration, also of the models in it.
fn vocabulary_sizes(config: &Value) -> Vec<usize> {
    let Value::Object(fields) = config else { return Vec::new() };
    let own = fields.get("vocab_size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
    own.into_iter().chain(fields.values().flat_map(vocabulary_sizes)).collect()
}
