//! The files beside a model's tensors.

use std::path::{Path, PathBuf};

use crate::error::{InFile, Result};
use crate::file::output::paths_below;
use crate::model::BaseModel;

/// The files beside a model's tensors, by their paths within its directory.
#[derive(Default)]
pub(super) struct OtherFiles {
    pub(super) copied: Vec<PathBuf>,
    pub(super) left_out: Vec<PathBuf>,
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

impl OtherFiles {
    /// Sorts the entries of a model's directory: its indexes and its small files are copied. Of a pipeline, so are
    /// those of the components that are adapted, and everything of the other components.
    pub(super) fn of(base: &BaseModel) -> Result<Self> {
        let mut others = Self::default();
        let Some(directory) = base.directory() else { return Ok(others) };
        let components: Vec<_> = base.components().chain(base.other_components()).map(PathBuf::from).collect();
        others.add_entries(directory, Path::new(""), base, &components)?;
        for component in base.components() {
            others.add_entries(directory, Path::new(component), base, &[])?;
        }
        for component in base.other_components() {
            others.add_all(directory, Path::new(component))?;
        }
        others.copied.sort();
        Ok(others)
    }

    /// The entries of one directory, but for `elsewhere`.
    fn add_entries(&mut self, root: &Path, place: &Path, base: &BaseModel, elsewhere: &[PathBuf]) -> Result<()> {
        let directory = root.join(place);
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(&directory).in_file(&directory)? {
            entries.push(place.join(entry.in_file(&directory)?.file_name()));
        }
        entries.sort();
        for relative in entries {
            let (path, name) = (root.join(&relative), file_name(&relative));
            if elsewhere.contains(&relative) || base.files().iter().any(|file| base.relative(file.path()) == relative) {
                continue;
            }
            // A link to nowhere has none.
            let Ok(metadata) = std::fs::metadata(&path) else {
                self.left_out.push(relative);
                continue;
            };
            let is_weights = WEIGHTS.iter().any(|ending| name.ends_with(&format!(".{ending}")));
            if metadata.is_file() && !name.starts_with('.') && (base.is_index(&path) || !is_weights) {
                self.bytes += metadata.len();
                self.copied.push(relative);
            } else {
                self.left_out.push(relative);
            }
        }
        Ok(())
    }

    /// Everything in one directory and below, but for links to nowhere.
    fn add_all(&mut self, root: &Path, place: &Path) -> Result<()> {
        let directory = root.join(place);
        for path in paths_below(&directory).in_file(&directory)? {
            let relative = place.join(path);
            match std::fs::metadata(root.join(&relative)) {
                Ok(metadata) if metadata.is_file() => {
                    self.bytes += metadata.len();
                    self.copied.push(relative);
                }
                _ => self.left_out.push(relative),
            }
        }
        Ok(())
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
