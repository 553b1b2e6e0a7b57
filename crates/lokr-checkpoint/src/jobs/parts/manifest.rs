//! What a part says of itself, beside its files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprints;
use super::part::Part;
use crate::error::{InFile, PartError, Result};
use crate::file::output::paths_below;

/// The file in a part's directory.
const NAME: &str = "lokr_part.json";

/// Which job a part is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::jobs) enum JobName {
    Merge,
    Extract,
}

/// What a part says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::jobs) struct Manifest {
    pub(in crate::jobs) job: JobName,
    number: usize,
    of: usize,
    /// The version of the program, and what the job was given.
    fingerprints: Fingerprints,
    /// Its files by their paths within its directory, and their sizes.
    pub(in crate::jobs) files: BTreeMap<PathBuf, u64>,
}

impl Manifest {
    /// Writes it beside the files that are in `directory`, which are all that the part has.
    pub(in crate::jobs) fn write(
        job: JobName,
        part: Part,
        mut fingerprints: Fingerprints,
        directory: &Path,
    ) -> Result<()> {
        fingerprints.insert("version of lokr".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        let size = |path: PathBuf| {
            let size = std::fs::metadata(directory.join(&path))?.len();
            Ok((path, size))
        };
        let files = paths_below(directory)?.into_iter().map(size).collect::<Result<_>>()?;
        let manifest = Self { job, number: part.number(), of: part.of(), fingerprints, files };
        let text = serde_json::to_vec_pretty(&manifest)?;
        Ok(std::fs::write(directory.join(NAME), text)?)
    }

    /// Those of all parts beside an output, each with its directory, in the order of parts.
    ///
    /// # Errors
    /// [`PartError`] unless they are all parts of one job, and complete.
    pub(in crate::jobs) fn all(out: &Path) -> Result<Vec<(PathBuf, Self)>> {
        let parts = Part::found(out)?;
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return Err(PartError::None.into()) };
        if first.of() != last.of() {
            return Err(PartError::Counts { first: first.of(), second: last.of() }.into());
        }
        let has = |number: &usize| parts.iter().any(|part| part.number() == *number);
        let missing: Vec<usize> = (1..=first.of()).filter(|number| !has(number)).collect();
        if !missing.is_empty() {
            return Err(PartError::Missing { numbers: missing, of: first.of() }.into());
        }
        let mut manifests: Vec<(PathBuf, Self)> = Vec::with_capacity(parts.len());
        for part in parts {
            let directory = part.path(out);
            let manifest = Self::read(&directory, part).in_file(&directory)?;
            if let Some((_, first)) = manifests.first() {
                manifest.check_same(first).in_file(&directory)?;
            }
            manifests.push((directory, manifest));
        }
        Ok(manifests)
    }

    fn read(directory: &Path, part: Part) -> Result<Self> {
        let path = directory.join(NAME);
        let manifest: Self = serde_json::from_slice(&std::fs::read(&path).in_file(&path)?).in_file(&path)?;
        if (manifest.number, manifest.of) != (part.number(), part.of()) {
            return Err(PartError::Renamed { number: manifest.number, of: manifest.of }.into());
        }
        for (file, &expected) in &manifest.files {
            let found = std::fs::metadata(directory.join(file)).map(|found| found.len()).ok();
            if found != Some(expected) || !stays_inside(file) {
                return Err(PartError::File { file: file.clone(), expected, found }.into());
            }
        }
        Ok(manifest)
    }

    /// An error unless both are of one job.
    fn check_same(&self, first: &Self) -> Result<(), PartError> {
        let names = self.fingerprints.keys().chain(first.fingerprints.keys());
        let differ = names.into_iter().find(|name| self.fingerprints.get(*name) != first.fingerprints.get(*name));
        match differ {
            _ if self.job != first.job => Err(PartError::OtherJob { what: "the command".to_owned() }),
            Some(what) => Err(PartError::OtherJob { what: what.clone() }),
            None => Ok(()),
        }
    }
}

fn stays_inside(path: &Path) -> bool {
    path.components().all(|component| matches!(component, std::path::Component::Normal(_)))
}
