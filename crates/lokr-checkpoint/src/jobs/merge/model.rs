//! Merging adapters into a base model, and taking them out again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::described::{copy_config, copy_index};
use super::options::{MergeOptions, Run};
use super::other_files::{file_name, other_files};
use super::outputs::{Outputs, check_original};
use super::plan::{Direction, Plan};
use super::report::MergeReport;
use super::weight::{Target, merge_weight};
use crate::adapter::Adapter;
use crate::error::{InFile, JobError, Result};
use crate::file::{OutputDirectory, Tensor, TensorFile, TensorSpec, TensorWriter, output, product};
use crate::jobs::progress::Progress;
use crate::model::{BaseModel, CONFIG};
use crate::module::Strength;
use crate::quantized::{Encoding, Scales, Weight};

/// Merges adapters into a base model, one after another: `W ← W + μ·s·(w1 ⊗ w2)` for each, or the formula of DoRA.
///
/// `out` has the form of the base: a file for a model of one file, a directory for a model in a directory or with an
/// index, with the same file names, the index, and the other files of the base's directory such as `config.json` and
/// the tokenizer. Weights keep their types: arithmetic is in f32 (f64 for f64) and each value is rounded once. Tensors
/// that no adapter changes are copied bit for bit, and so are those rows of a fused one that none changes; an adapter's
/// `modules_to_save` take the place of the base's, rounded to its types.
///
/// Weights of eight bits a value (F8_E4M3, F8_E5M2, or integers, with or without scales) keep their layout: scales are
/// made anew, so that the largest value fills the type, and values are rounded as
/// [`QuantizedOptions`](crate::QuantizedOptions) say; so are other rows of a fused tensor that share those scales. A
/// change of which rounding leaves too little is refused.
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
/// DoRA takes one more pass over the weights it changes, and so do scales. The bytes written do not depend on the number of threads.
///
/// # Errors
/// Before anything is written: those of [`Adapter::resolve`],
/// [`ModuleError::ScaleUnknown`](crate::ModuleError::ScaleUnknown), [`JobError::Option`] for a multiplier that the
/// arithmetic's type cannot hold, [`JobError::ReplacementShape`],
/// [`NameError::DuplicateTarget`](crate::NameError::DuplicateTarget) for a tensor both adapted and replaced,
/// [`OutputError::Exists`](crate::OutputError::Exists), [`OutputError::InTheWay`](crate::OutputError::InTheWay),
/// [`OutputError::DiskSpace`](crate::OutputError::DiskSpace), [`JobError::Original`],
/// [`JobError::OriginalQuantized`]. Later: [`JobError::Guard`], [`JobError::ChangeLost`],
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
    options: &MergeOptions<'_>,
    progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<MergeReport> {
    let plan = Plan::new(base, adapters, options.unmatched, Direction::In)?;
    Job::new(base, &plan, out.as_ref(), options)?.run(progress)
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
    options: &MergeOptions<'_>,
    progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<MergeReport> {
    let reversed: Vec<_> = adapters.iter().rev().copied().collect();
    for (adapter, _) in &reversed {
        check_reversible(adapter).in_file(adapter.path())?;
    }
    let plan = Plan::new(merged, &reversed, options.unmatched, Direction::Out)?;
    Job::new(merged, &plan, out.as_ref(), options)?.run(progress)
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

pub(super) struct Job<'a> {
    pub(super) base: &'a BaseModel,
    pub(super) plan: &'a Plan<'a>,
    out: &'a Path,
    pub(super) options: &'a MergeOptions<'a>,
    pub(super) outputs: Outputs,
}

/// What has been done so far.
pub(super) struct Done {
    pub(super) report: MergeReport,
    /// New scales by the names of their weights: in a file, they mostly come before these.
    pub(super) scales: BTreeMap<String, Scales>,
}

impl<'a> Job<'a> {
    fn new(base: &'a BaseModel, plan: &'a Plan<'a>, out: &'a Path, options: &'a MergeOptions<'a>) -> Result<Self> {
        let outputs = Outputs::new(base, plan, &options.quantized)?;
        if let Some(original) = options.quantized.original {
            check_original(base, original, &outputs)?;
        }
        Ok(Self { base, plan, out, options, outputs })
    }

    fn run(&self, progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>) -> Result<MergeReport> {
        let report = MergeReport {
            adapters: self.plan.adapters.clone(),
            weights: Vec::new(),
            replaced: self.plan.modules_to_save.keys().cloned().collect(),
            unchanged: 0,
            dequantized: self.outputs.dequantized.clone(),
            still_quantized: if self.outputs.makes_floats() { self.outputs.still_quantized } else { 0 },
            left_out_tensors: self.outputs.left_out.iter().cloned().collect(),
            bytes: 0,
            copied_files: Vec::new(),
            left_out: Vec::new(),
        };
        let mut done = Done { report, scales: BTreeMap::new() };
        let directory = self.base.directory();
        let others = directory.map(|directory| other_files(directory, self.base)).transpose()?.unwrap_or_default();
        done.report.copied_files = others.copied.iter().map(file_name).collect();
        done.report.left_out = others.left_out;
        let specs: Vec<_> = self.base.files().iter().flat_map(|file| self.specs(file)).collect();
        let (tensors, tensor_bytes) = (specs.len(), specs.iter().map(bytes_of).sum::<u64>());
        let bytes = others.bytes + tensor_bytes;
        self.check_output(directory.is_some(), bytes, &others.copied).in_file(self.out)?;
        let mut tell = |event: Progress<'_>| event.tell(progress);
        tell(Progress::Started { tensors, bytes })?;
        if self.options.run == Run::Dry {
            self.describe_all(&mut done)?;
            return Ok(done.report);
        }
        if directory.is_none() {
            self.write_all(&mut done, None, &mut tell)?;
            return Ok(done.report);
        }
        let folder = OutputDirectory::create(self.out, self.options.overwrite)?;
        self.write_all(&mut done, Some(folder.path()), &mut tell)?;
        for path in others.copied {
            let copy = folder.path().join(path.file_name().unwrap_or_default());
            self.copy_file(&path, &copy, tensor_bytes)?;
        }
        folder.finish()?;
        Ok(done.report)
    }

    /// Copies one of the files beside the tensors; one that describes them fits those that are written.
    fn copy_file(&self, path: &Path, copy: &Path, bytes: u64) -> Result<()> {
        let outputs = &self.outputs;
        let floats = outputs.makes_floats();
        let is_index = self.base.index_path().is_some_and(|index| index.file_name() == path.file_name());
        let is_config = self.base.is_quantized_by_config() && path.file_name().is_some_and(|name| name == CONFIG);
        match () {
            () if floats && is_index => copy_index(path, copy, &outputs.left_out, bytes),
            () if floats && is_config && outputs.none_left => copy_config(path, copy),
            () => std::fs::copy(path, copy).map(drop).in_file(path),
        }
    }

    /// The tensors of the output in place of a file of the base.
    fn specs(&self, file: &TensorFile) -> Vec<TensorSpec> {
        file.names().filter_map(|name| self.outputs.spec(file, name)).collect()
    }

    fn check_output(&self, is_directory: bool, bytes: u64, copied: &[PathBuf]) -> Result<()> {
        match is_directory {
            true => output::check_directory(self.out, self.options.overwrite)?,
            false => output::check_file(self.out, self.options.overwrite)?,
        }
        if is_directory && self.out.exists() {
            let files = self.base.files().iter().map(|file| file.path());
            let names: BTreeSet<_> =
                files.chain(copied.iter().map(|path| &**path)).filter_map(Path::file_name).collect();
            output::check_others(self.out, |name| names.contains(name.as_os_str()))?;
        }
        output::check_space(output::parent(self.out), bytes)
    }

    /// What would be done to every tensor.
    fn describe_all(&self, done: &mut Done) -> Result<()> {
        for file in self.base.files() {
            for spec in self.specs(file) {
                self.one_tensor(None, &spec, &file.tensor(&spec.name)?, done).in_file(file.path())?;
            }
        }
        Ok(())
    }

    /// Every tensor of every file.
    fn write_all(
        &self,
        done: &mut Done,
        folder: Option<&Path>,
        tell: &mut dyn FnMut(Progress<'_>) -> Result<(), JobError>,
    ) -> Result<()> {
        let mut last: Option<TensorWriter> = None;
        for file in self.base.files() {
            if let Some(complete) = last.take() {
                complete.finish()?;
            }
            let path = match folder {
                Some(folder) => folder.join(file.path().file_name().unwrap_or_default()),
                None => self.out.to_owned(),
            };
            let metadata = self.outputs.metadata(file);
            let mut writer = TensorWriter::create(path, self.specs(file), &metadata, self.options.overwrite)?;
            for spec in writer.specs().to_vec() {
                let tensor = file.tensor(&spec.name)?;
                self.one_tensor(Some(&mut writer), &spec, &tensor, done).in_file(file.path())?;
                tell(Progress::Tensor { name: &spec.name, bytes: bytes_of(&spec) })?;
            }
            last = Some(writer);
        }
        tell(Progress::Finishing)?;
        last.map_or(Ok(()), TensorWriter::finish)
    }

    /// Writes one tensor, or in a dry run only describes it.
    fn one_tensor(
        &self,
        mut writer: Option<&mut TensorWriter>,
        spec: &TensorSpec,
        base: &Tensor,
        done: &mut Done,
    ) -> Result<()> {
        let name = &spec.name;
        done.report.bytes += bytes_of(spec);
        if let Some(weight) = self.outputs.scales.get(name) {
            return writer.map_or(Ok(()), |writer| self.write_scales(writer, name, weight, done));
        }
        if let Some(rewritten) = self.outputs.weights.get(name) {
            return self.rewrite(writer, spec, rewritten, done);
        }
        let changes = done.report.weights.len();
        for (weight, base) in self.plan.pieces(self.base, name, base)? {
            if let Some(applied) = self.plan.applied.get(&weight) {
                let mut described = self.plan.describe(&weight, &base)?;
                if let Some(writer) = &mut writer {
                    let encoding = Encoding::plain(base.float_type(name)?);
                    let target = Target { writer, name, dtype: spec.dtype, encoding: &encoding };
                    let base = Weight { tensor: base, encoding: encoding.clone() };
                    described.measured = Some(merge_weight(target, &base, applied)?);
                }
                done.report.weights.push(described);
            } else if let Some(writer) = &mut writer {
                writer.write(name, self.plan.modules_to_save.get(name).unwrap_or(&base).bytes())?;
            }
        }
        let changed = done.report.weights.len() > changes || self.plan.modules_to_save.contains_key(name);
        done.report.unchanged += usize::from(!changed);
        Ok(())
    }
}

fn bytes_of(spec: &TensorSpec) -> u64 {
    (product(&spec.shape) * spec.dtype.bitsize() / 8) as u64
}
