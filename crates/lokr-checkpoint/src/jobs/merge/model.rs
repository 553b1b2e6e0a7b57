//! Merging adapters into a base model, and taking them out again.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::options::{MergeOptions, Run};
use super::other_files::OtherFiles;
use super::plan::{Direction, Plan};
use super::report::MergeReport;
use super::weight::merge_weight;
use crate::adapter::Adapter;
use crate::error::{InFile, JobError, Result};
use crate::file::{FloatType, OutputDirectory, Tensor, TensorFile, TensorSpec, TensorWriter, output, parent};
use crate::jobs::progress::Progress;
use crate::model::BaseModel;
use crate::module::Strength;

/// Merges adapters into a base model, one after another: `W ← W + μ·s·(w1 ⊗ w2)` for each, or the formula of DoRA.
///
/// `out` has the form of the base: a file for a model of one file, a directory for a model in a directory or with an
/// index, with the same file names, the index, and the other files of the base's directory such as `config.json` and
/// the tokenizer. A pipeline gives a pipeline: the components that adapters do not adapt are copied whole. Weights keep
/// their types: arithmetic is in f32 (f64 for f64) and each value is rounded once. Tensors that no adapter changes are
/// copied bit for bit, and so are those rows of a fused one that none changes; an adapter's `modules_to_save` take the
/// place of the base's, rounded to its types. [`WholeTensors`](crate::WholeTensors) says which of them may be new to
/// the base or have more rows; the index of shards and the `vocab_size` of `config.json` follow.
///
/// Before the output appears, every merged weight is compared on a probe vector with the base weight and the adapters'
/// own forward pass, which shares no code with the merge. The output appears whole; after any failure, an older one is
/// as it was and nothing else is left. One that takes the place of an older one is safely on disk first.
///
/// `progress` is told of every tensor and can stop the job.
///
/// # Cost
/// One read and one write of the model. Weights are worked on in blocks of rows on all threads, each of which writes
/// what it has computed: memory beyond the adapters' factors is one block per thread, whatever the size of the model.
/// DoRA takes one more pass over the weights it changes. The bytes written do not depend on the number of threads.
///
/// # Errors
/// Before anything is written: those of [`Adapter::resolve`],
/// [`ModuleError::ScaleUnknown`](crate::ModuleError::ScaleUnknown), [`JobError::Option`] for a multiplier that the
/// arithmetic's type cannot hold, [`JobError::ReplacementShape`],
/// [`NameError::DuplicateTarget`](crate::NameError::DuplicateTarget) for a tensor both adapted and replaced,
/// [`OutputError::Exists`](crate::OutputError::Exists), [`OutputError::InTheWay`](crate::OutputError::InTheWay),
/// [`OutputError::DiskSpace`](crate::OutputError::DiskSpace). Later: [`JobError::Guard`],
/// [`FileError::OutOfRange`](crate::FileError::OutOfRange), [`JobError::Interrupted`],
/// [`CheckpointError::Io`](crate::CheckpointError::Io); those of [`OutputDirectory::finish`].
///
/// # Examples
/// ```no_run
/// use std::ops::ControlFlow;
/// use lokr_checkpoint::{Adapter, BaseModel, MergeOptions, ReadOptions, Strength, merge};
///
/// let base = BaseModel::open("model/")?;
/// let adapter = Adapter::read("adapter/", &ReadOptions::default())?;
/// let adapters = [(&adapter, Strength::default())];
/// let report = merge(&base, &adapters, "merged/", &MergeOptions::default(), &mut |_| ControlFlow::Continue(()))?;
/// for weight in &report.weights {
///     println!("{}: {:?}", weight.weight, weight.measured);
/// }
/// # Ok::<(), lokr_checkpoint::CheckpointError>(())
/// ```
pub fn merge(
    base: &BaseModel,
    adapters: &[(&Adapter, Strength)],
    out: impl AsRef<Path>,
    options: &MergeOptions,
    progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<MergeReport> {
    let plan = Plan::new(base, adapters, options.misfits(), Direction::In)?;
    Job { base, plan: &plan, out: out.as_ref(), options }.run(progress)
}

/// Takes merged adapters out of a model again, in the reverse order: `W ← W − μ·s·(w1 ⊗ w2)`.
///
/// `merged` is the model that they were merged into, `adapters` what was given to [`merge`], in the same order.
/// Rounding of the merge stays: in bf16 and f16 the result is the base only up to that.
///
/// # Errors
/// [`JobError::CannotUnmerge`] for adapters with DoRA, which lose the base weight's norms, and with `modules_to_save`,
/// which took the place of the base's tensors; those of [`merge`].
pub fn unmerge(
    merged: &BaseModel,
    adapters: &[(&Adapter, Strength)],
    out: impl AsRef<Path>,
    options: &MergeOptions,
    progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<MergeReport> {
    let reversed: Vec<_> = adapters.iter().rev().copied().collect();
    for (adapter, _) in &reversed {
        check_reversible(adapter).in_file(adapter.path())?;
    }
    let plan = Plan::new(merged, &reversed, options.misfits(), Direction::Out)?;
    Job { base: merged, plan: &plan, out: out.as_ref(), options }.run(progress)
}

/// An error for an adapter whose merge loses what was there.
fn check_reversible(adapter: &Adapter) -> Result<(), JobError> {
    let dora = adapter.modules().values().find(|module| module.dora_scale().is_some());
    let (key, reason) = match (dora, adapter.modules_to_save().keys().next()) {
        (Some(module), _) => (module.name().to_owned(), "has the norms of DoRA, and the base's are lost"),
        (None, Some(name)) => (name.clone(), "took the place of the base's tensor"),
        (None, None) => return Ok(()),
    };
    Err(JobError::CannotUnmerge { key, reason })
}

/// A model to write.
pub(super) struct Job<'a> {
    pub(super) base: &'a BaseModel,
    pub(super) plan: &'a Plan<'a>,
    out: &'a Path,
    options: &'a MergeOptions,
}

impl Job<'_> {
    fn run(&self, progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>) -> Result<MergeReport> {
        let others = OtherFiles::of(self.base)?;
        let texts = self.rewritten(&others)?;
        let shown = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect();
        let mut report = MergeReport {
            adapters: self.plan.adapters.clone(),
            weights: Vec::new(),
            replaced: self.plan.modules_to_save.keys().cloned().collect(),
            resized: self.resized(),
            added: self.plan.added.keys().cloned().collect(),
            unchanged: 0,
            bytes: 0,
            copied_files: shown(&others.copied),
            rewritten_files: texts.keys().map(|path| path.display().to_string()).collect(),
            left_out: shown(&others.left_out),
        };
        let (mut tensors, mut bytes) = (self.plan.added.len(), others.bytes);
        for file in self.base.files() {
            tensors += file.names().len();
            bytes += file.data_bytes() as u64;
        }
        bytes = bytes.saturating_add_signed(self.bytes_more());
        self.check_output(bytes, &others.copied).in_file(self.out)?;
        let mut tell = |event: Progress<'_>| event.tell(progress);
        tell(Progress::Started { tensors, bytes })?;
        if self.options.run == Run::Dry {
            self.describe_all(&mut report)?;
            return Ok(report);
        }
        let Some(directory) = self.base.directory() else {
            self.write_all(&mut report, None, &mut tell)?;
            return Ok(report);
        };
        let folder = OutputDirectory::create(self.out, self.options.overwrite)?;
        self.write_all(&mut report, Some(folder.path()), &mut tell)?;
        for path in others.copied {
            let (from, to) = (directory.join(&path), folder.path().join(&path));
            std::fs::create_dir_all(parent(&to)).in_file(self.out)?;
            match texts.get(&path) {
                Some(text) => std::fs::write(to, text).in_file(self.out)?,
                None => std::fs::copy(&from, to).map(|_| ()).in_file(&from)?,
            }
        }
        folder.finish()?;
        Ok(report)
    }

    fn check_output(&self, bytes: u64, copied: &[PathBuf]) -> Result<()> {
        let is_directory = self.base.directory().is_some();
        match is_directory {
            true => output::check_directory(self.out, self.options.overwrite)?,
            false => output::check_file(self.out, self.options.overwrite)?,
        }
        if is_directory && self.out.exists() {
            let files = self.base.files().iter().map(|file| self.base.relative(file.path()));
            let paths: BTreeSet<_> = files.chain(copied.iter().map(PathBuf::as_path)).collect();
            output::check_others(self.out, |path| paths.contains(path))?;
        }
        output::check_space(output::parent(self.out), bytes)
    }

    /// What would be done to every tensor.
    fn describe_all(&self, report: &mut MergeReport) -> Result<()> {
        for file in self.base.files() {
            for name in file.names() {
                self.one_tensor(None, name, &file.tensor(name)?, report).in_file(file.path())?;
            }
        }
        report.bytes += self.plan.added.values().map(|tensor| tensor.bytes().len() as u64).sum::<u64>();
        Ok(())
    }

    /// Every tensor of every file.
    fn write_all(
        &self,
        report: &mut MergeReport,
        folder: Option<&Path>,
        tell: &mut dyn FnMut(Progress<'_>) -> Result<(), JobError>,
    ) -> Result<()> {
        let mut last: Option<TensorWriter> = None;
        for file in self.base.files() {
            if let Some(complete) = last.take() {
                complete.finish()?;
            }
            let path = match folder {
                Some(folder) => folder.join(self.base.relative(file.path())),
                None => self.out.to_owned(),
            };
            if folder.is_some() {
                std::fs::create_dir_all(parent(&path)).in_file(self.out)?;
            }
            let (specs, overwrite) = (self.specs(file), self.options.overwrite);
            let mut writer = TensorWriter::create_behind(path, file.prefix(), specs, file.metadata(), overwrite)?;
            for TensorSpec { name, .. } in writer.specs().to_vec() {
                if let Some(added) = self.plan.added.get(&name) {
                    writer.write(&name, added.bytes())?;
                    let bytes = added.bytes().len() as u64;
                    report.bytes += bytes;
                    tell(Progress::Tensor { name: &name, bytes })?;
                    continue;
                }
                let tensor = file.tensor(&name)?;
                let bytes = tensor.bytes().len() as u64;
                self.one_tensor(Some(&mut writer), &name, &tensor, report).in_file(file.path())?;
                tell(Progress::Tensor { name: &name, bytes })?;
            }
            last = Some(writer);
        }
        tell(Progress::Finishing)?;
        last.map_or(Ok(()), TensorWriter::finish)
    }

    /// The tensors of a file as they will be.
    fn specs(&self, file: &TensorFile) -> Vec<TensorSpec> {
        let spec =
            |name: &str, dtype, shape: &[usize]| TensorSpec { name: name.to_owned(), dtype, shape: shape.to_vec() };
        let own = file.names().filter_map(|name| {
            let (dtype, shape) = file.info(name)?;
            Some(spec(name, dtype, self.plan.modules_to_save.get(name).map_or(shape, Tensor::shape)))
        });
        let added = self.plan.added.iter().filter(|_| self.takes_added(file));
        own.chain(added.map(|(name, tensor)| spec(name, tensor.dtype(), tensor.shape()))).collect()
    }

    /// Writes one tensor, or in a dry run only describes it.
    fn one_tensor(
        &self,
        mut writer: Option<&mut TensorWriter>,
        name: &str,
        base: &Tensor,
        report: &mut MergeReport,
    ) -> Result<()> {
        report.bytes += self.plan.modules_to_save.get(name).unwrap_or(base).bytes().len() as u64;
        let changes = report.weights.len();
        for (weight, base) in self.plan.pieces(self.base, name, base)? {
            if let Some(applied) = self.plan.applied.get(&weight) {
                let mut described = self.plan.describe(&weight, &base)?;
                if let Some(writer) = &mut writer {
                    let dtype = base.float_type(name)?;
                    described.measured = Some(match dtype {
                        FloatType::F64 => merge_weight::<f64>(writer, name, &base, dtype, applied)?,
                        _ => merge_weight::<f32>(writer, name, &base, dtype, applied)?,
                    });
                }
                report.weights.push(described);
            } else if let Some(writer) = &mut writer {
                writer.write(name, self.plan.modules_to_save.get(name).unwrap_or(&base).bytes())?;
            }
        }
        let changed = report.weights.len() > changes || self.plan.modules_to_save.contains_key(name);
        report.unchanged += usize::from(!changed);
        Ok(())
    }
}
