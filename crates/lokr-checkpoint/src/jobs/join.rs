//! The output of a job that was done in parts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::extract::{ExtractReport, extraction_of_parts};
use super::parts::{JobName, Manifest};
use crate::dialects::Dialect;
use crate::error::{InFile, PartError, Result};
use crate::file::{OutputDirectory, Overwrite, parent};

/// What [`join`] made of parts.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinReport {
    /// How many parts there were.
    pub parts: usize,
    /// The output's files, but for those of an extracted adapter.
    pub files: Vec<String>,
    /// Their bytes.
    pub bytes: u64,
    /// Of an extraction, its report and the dialect written.
    pub extracted: Option<(ExtractReport, Dialect)>,
}

/// Makes the output of a job of the parts that [`merge_part`](crate::merge_part) or
/// [`extract_part`](crate::extract_part) left beside it, byte for byte what one process would have written, and removes
/// the parts.
///
/// Of a merge, only directories and links to files are made, where the system can link; nothing is read. The output
/// appears whole or not at all; the parts stay until then.
///
/// # Errors
/// [`PartError`] unless all parts are there, each as it was made, and all of one job: the same program, model, adapters
/// and options. Those of [`OutputDirectory`], and of writing an adapter.
/// # Examples
/// ```no_run
/// use std::ops::ControlFlow;
/// use lokr_checkpoint::{Adapter, BaseModel, MergeOptions, Overwrite, Part, ReadOptions, Strength, join, merge_part};
///
/// // In each of four processes, on four machines perhaps:
/// let part: Part = "3/4".parse()?;
/// let base = BaseModel::open("model/")?;
/// let adapter = Adapter::read("adapter/", &ReadOptions::default())?;
/// let adapters = [(&adapter, Strength::default())];
/// merge_part(&base, &adapters, "merged/", part, &MergeOptions::default(), &mut |_| ControlFlow::Continue(()))?;
///
/// // When all of them are done:
/// join("merged/", Overwrite::Refuse)?;
/// # Ok::<(), lokr_checkpoint::CheckpointError>(())
/// ```
pub fn join(out: impl AsRef<Path>, overwrite: Overwrite) -> Result<JoinReport> {
    let out = out.as_ref();
    let parts = Manifest::all(out).in_file(out)?;
    let report = match parts.first().map(|(_, manifest)| manifest.job) {
        Some(JobName::Extract) => join_extraction(&parts, out, overwrite)?,
        _ => join_files(&parts, out, overwrite)?,
    };
    for (directory, _) in &parts {
        std::fs::remove_dir_all(directory).in_file(directory)?;
    }
    Ok(report)
}

fn join_files(parts: &[(PathBuf, Manifest)], out: &Path, overwrite: Overwrite) -> Result<JoinReport> {
    let folder = OutputDirectory::create(out, overwrite)?;
    let (mut files, mut bytes) = (BTreeSet::new(), 0);
    for (directory, manifest) in parts {
        for (file, size) in &manifest.files {
            if !files.insert(file.display().to_string()) {
                return Err(PartError::Twice { file: file.clone() }.in_file(directory));
            }
            bytes += size;
            let (from, to) = (directory.join(file), folder.path().join(file));
            std::fs::create_dir_all(parent(&to)).in_file(out)?;
            if std::fs::hard_link(&from, &to).is_err() {
                std::fs::copy(&from, &to).in_file(&from)?;
            }
        }
    }
    folder.finish()?;
    Ok(JoinReport { parts: parts.len(), files: files.into_iter().collect(), bytes, extracted: None })
}

fn join_extraction(parts: &[(PathBuf, Manifest)], out: &Path, overwrite: Overwrite) -> Result<JoinReport> {
    let directories: Vec<_> = parts.iter().map(|(directory, _)| directory.as_path()).collect();
    let (extraction, dialect) = extraction_of_parts(&directories)?;
    let report = extraction.report.clone();
    extraction.into_adapter(dialect).in_file(out)?.write(out, overwrite)?;
    Ok(JoinReport { parts: parts.len(), files: Vec::new(), bytes: 0, extracted: Some((report, dialect)) })
}
