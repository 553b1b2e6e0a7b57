//! Pipelines as diffusers writes them: a directory with `model_index.json`, and a directory for each component.
//!
//! The index names components and what they are: `"unet": ["diffusers", "UNet2DConditionModel"]`. Source: diffusers'
//! `DiffusionPipeline.save_pretrained`.

use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::error::{InFile, Result};
use crate::file::{Fields, parent};

/// The file that makes a directory a pipeline.
const INDEX: &str = "model_index.json";

/// What the classes of components are called that no adapter adapts. Their weights are copied as files.
const NOT_ADAPTED: [&str; 5] = ["Autoencoder", "VQModel", "SafetyChecker", "Vocoder", "ImageProcessor"];

/// The components of a pipeline that are there, in the order of their names.
#[derive(Debug)]
pub(super) struct Components {
    /// Those that may be adapted.
    pub(super) models: Vec<String>,
    /// The others: tokenizers, schedulers, autoencoders, and weights in formats that are not read.
    pub(super) others: Vec<String>,
}

/// The directory of a pipeline, if one is meant: itself, or its `model_index.json`.
pub(super) fn directory(path: &Path) -> Option<PathBuf> {
    let is_index = path.file_name().is_some_and(|name| name == INDEX);
    let directory = if is_index { parent(path) } else { path };
    directory.join(INDEX).is_file().then(|| directory.to_owned())
}

/// Reads the index, and looks at the directories it names.
///
/// # Errors
/// Those of reading the index.
pub(super) fn components(pipeline: &Path) -> Result<Components> {
    let index = pipeline.join(INDEX);
    let read = || -> Result<_> { Ok(serde_json::from_slice::<Fields<Value>>(&std::fs::read(&index)?)?.unique()?) };
    let mut components = Components { models: Vec::new(), others: Vec::new() };
    for (name, value) in read().in_file(&index)? {
        let directory = pipeline.join(&name);
        if name.starts_with('_') || !value.is_array() || !is_name(&name) || !directory.is_dir() {
            continue;
        }
        let class = value.get(1).and_then(Value::as_str).unwrap_or_default();
        let adapted = !NOT_ADAPTED.iter().any(|part| class.contains(part)) && holds_safetensors(&directory)?;
        if adapted { &mut components.models } else { &mut components.others }.push(name);
    }
    Ok(components)
}

/// Whether a directory holds a file of tensors that is read here.
pub(super) fn holds_safetensors(directory: &Path) -> Result<bool> {
    for entry in std::fs::read_dir(directory).in_file(directory)? {
        let path = entry.in_file(directory)?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a text is the plain name of a directory entry.
pub(super) fn is_name(text: &str) -> bool {
    let mut components = Path::new(text).components();
    matches!((components.next(), components.next()), (Some(Component::Normal(_)), None))
}
