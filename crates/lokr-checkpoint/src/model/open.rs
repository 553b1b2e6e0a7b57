//! Finding a model's files: one, shards with their index, or those of a pipeline's components.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::pipeline::{self, Components, holds_safetensors};
use crate::error::{FileError, InFile, Result};
use crate::file::{Fields, TensorFile, other_formats, parent};

/// Names of a model's one file, or of its index with `.index.json` behind.
const NAMES: [&str; 2] = ["model.safetensors", "diffusion_pytorch_model.safetensors"];
const INDEX_SUFFIX: &str = ".index.json";

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: Fields<String>,
}

/// The files of a model, opened.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// The directory it lies in, unless it was opened as one file.
    pub(super) directory: Option<PathBuf>,
    /// The indexes of shards, at most one unless it is a pipeline.
    pub(super) index_paths: Vec<PathBuf>,
    /// The components of a pipeline.
    pub(super) components: Option<Components>,
    pub(super) files: Vec<TensorFile>,
    /// Which file holds a tensor.
    pub(super) index: BTreeMap<String, usize>,
}

impl Opened {
    /// What lies at a path.
    pub(super) fn at(path: &Path) -> Result<Self> {
        let mut opened = Self::default();
        if let Some(directory) = pipeline::directory(path) {
            opened.add_pipeline(&directory)?;
            return Ok(opened);
        }
        let file = if path.is_dir() { find_in(path).in_file(path)? } else { path.to_owned() };
        if path.is_dir() || is_index(&file) {
            opened.directory = Some(parent(&file).to_owned());
        }
        opened.add(&file, "")?;
        Ok(opened)
    }

    /// The components of a pipeline, the names of each one's tensors behind its own: `unet.conv_in.weight`.
    fn add_pipeline(&mut self, directory: &Path) -> Result<()> {
        let components = pipeline::components(directory)?;
        for name in &components.models {
            let component = directory.join(name);
            let file = find_in(&component).in_file(&component)?;
            self.add(&file, &format!("{name}."))?;
        }
        if components.models.is_empty() {
            let expected =
                "component with a safetensors file that could be adapted (unet, transformer, text_encoder …)";
            return Err(FileError::Missing { expected: expected.to_owned() }.in_file(directory));
        }
        (self.components, self.directory) = (Some(components), Some(directory.to_owned()));
        Ok(())
    }

    /// One file, or shards by their index, with `prefix` before the names of all tensors.
    fn add(&mut self, file: &Path, prefix: &str) -> Result<()> {
        if is_index(file) {
            return self.add_shards(file, prefix).in_file(file);
        }
        let file = TensorFile::open_behind(file, prefix)?;
        let number = self.files.len();
        self.index.extend(file.names().map(|name| (name.to_owned(), number)));
        self.files.push(file);
        Ok(())
    }

    fn add_shards(&mut self, index_path: &Path, prefix: &str) -> Result<()> {
        let text = std::fs::read(index_path)?;
        let shards = serde_json::from_slice::<ShardIndex>(&text)?.weight_map.unique()?;
        let directory = parent(index_path);
        let mut opened = BTreeMap::new();
        for (key, shard) in shards {
            let key = format!("{prefix}{key}");
            let error = |key: String, shard: &str, problem| {
                Err(FileError::ShardIndex { key, shard: shard.to_owned(), problem }.into())
            };
            if !pipeline::is_name(&shard) {
                return error(key, &shard, "is not a file name");
            }
            let number = match opened.get(&shard) {
                Some(&number) => number,
                None => {
                    self.files.push(TensorFile::open_behind(directory.join(&shard), prefix)?);
                    opened.insert(shard.clone(), self.files.len() - 1);
                    self.files.len() - 1
                }
            };
            if self.files[number].info(&key).is_none() {
                return error(key, &shard, "does not hold it");
            }
            self.index.insert(key, number);
        }
        self.index_paths.push(index_path.to_owned());
        Ok(())
    }
}

fn is_index(path: &Path) -> bool {
    path.to_string_lossy().ends_with(INDEX_SUFFIX)
}

/// The file or index of the model in a directory.
fn find_in(directory: &Path) -> Result<PathBuf> {
    let known = NAMES.iter().flat_map(|name| [(*name).to_owned(), format!("{name}{INDEX_SUFFIX}")]);
    if let Some(path) = known.map(|name| directory.join(name)).find(|path| path.is_file()) {
        return Ok(path);
    }
    let mut entries = std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    entries.sort();
    let ends_with =
        |suffix: &str| entries.iter().filter(|path| path.to_string_lossy().ends_with(suffix)).collect::<Vec<_>>();
    let indexes = ends_with(&format!(".safetensors{INDEX_SUFFIX}"));
    let files = ends_with(".safetensors");
    match (&indexes[..], &files[..]) {
        ([only], _) | ([], [only]) => Ok((*only).clone()),
        ([], []) => {
            // What the file says of itself comes before its name.
            if let Some(path) = entries.iter().find(|path| other_formats::check_name(path).is_err()) {
                TensorFile::open(path)?;
            }
            let models = entries.iter().filter(|path| path.is_dir() && holds_safetensors(path).unwrap_or_default());
            let directories: Vec<_> = models.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect();
            if !directories.is_empty() {
                return Err(FileError::ModelsBelow { directories }.into());
            }
            Err(FileError::Missing { expected: "safetensors file".to_owned() }.into())
        }
        _ => Err(FileError::Missing {
            expected: format!("{} or {}{INDEX_SUFFIX} among several files", NAMES[0], NAMES[0]),
        }
        .into()),
    }
}
