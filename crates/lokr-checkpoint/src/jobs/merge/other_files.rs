//! The files beside a model's tensors.

use std::path::{Path, PathBuf};

use crate::error::{InFile, Result};
use crate::model::BaseModel;

/// The files beside a model's tensors.
#[derive(Default)]
pub(super) struct OtherFiles {
    pub(super) copied: Vec<PathBuf>,
    pub(super) left_out: Vec<String>,
    pub(super) bytes: u64,
}

/// Endings of files with weights: of this model in another format, which would not be merged.
const WEIGHTS: [&str; 12] = [
    "safetensors",
    "bin",
    "pt",
    "pth",
    "ckpt",
    "pkl",
    "gguf",
    "h5",
    "msgpack",
    "onnx",
    "bin.index.json",
    "safetensors.index.json",
];

/// Sorts the entries of a model's directory: its index and its small files are copied.
pub(super) fn other_files(directory: &Path, base: &BaseModel) -> Result<OtherFiles> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(directory).in_file(directory)? {
        entries.push(entry.in_file(directory)?.path());
    }
    entries.sort();
    let mut others = OtherFiles::default();
    for path in entries {
        let name = file_name(&path);
        if base.files().iter().any(|file| file.path().file_name() == path.file_name()) {
            continue;
        }
        // A link to nowhere has none.
        let Ok(metadata) = std::fs::metadata(&path) else {
            others.left_out.push(name);
            continue;
        };
        let is_index = base.index_path().is_some_and(|index| index.file_name() == path.file_name());
        let is_weights = WEIGHTS.iter().any(|ending| name.ends_with(&format!(".{ending}")));
        if metadata.is_file() && !name.starts_with('.') && (is_index || !is_weights) {
            others.bytes += metadata.len();
            others.copied.push(path);
        } else {
            others.left_out.push(name);
        }
    }
    Ok(others)
}

pub(super) fn file_name(path: impl AsRef<Path>) -> String {
    path.as_ref().file_name().unwrap_or_default().to_string_lossy().into_owned()
}
