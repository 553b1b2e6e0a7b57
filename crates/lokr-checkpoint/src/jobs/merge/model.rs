//! Merging adapters into a base model, and taking them out again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::options::{MergeOptions, Run};
use super::other_files::OtherFiles;
use super::outputs::{Outputs, check_original};
use super::plan::{Direction, Plan};
use super::report::MergeReport;
use super::weight::{Target, merge_weight};
use crate::adapter::Adapter;
use crate::error::{InFile, JobError, Result};
use crate::file::{OutputDirectory, Tensor, TensorFile, TensorSpec, TensorWriter, output, parent, product};
use crate::jobs::parts::fingerprint::{self, Fingerprints};
use crate::jobs::parts::{JobName, Manifest, Part};
use crate::jobs::progress::Progress;
use crate::model::BaseModel;
use crate::module::{AnyModule, Strength};
use crate::quantized::{Encoding, Scales, Weight};

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
/// DoRA takes one more pass over the weights it changes, and so do scales. The bytes written do not depend on the
/// number of threads.
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
    let plan = Plan::new(base, adapters, options.misfits(), Direction::In)?;
    Job::new(base, &plan, out.as_ref(), options)?.run(progress)
}

/// One part of [`merge`], for [`join`](crate::join) to put together with the others: some of the model's shards, dealt
/// out by their sizes, in a directory beside `out`, [`Part::path`]. The first part has the index and the other files
/// too. A part for which there is no shard has none, and is needed all the same.
///
/// Each part plans the whole merge, which reads headers and adapters only, and streams its own shards. The report is of
/// its own shards.
///
/// # Errors
/// Those of [`merge`]; [`JobError::Option`] for a model in one file, which one process writes.
pub fn merge_part(
    base: &BaseModel,
    adapters: &[(&Adapter, Strength)],
    out: impl AsRef<Path>,
    part: Part,
    options: &MergeOptions<'_>,
    progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<MergeReport> {
    if base.directory().is_none() {
        let expected = "nothing for a model in one file, which one process writes";
        return Err(JobError::Option { option: "shard", expected, found: part.to_string() }.in_file(base.path()));
    }
    let plan = Plan::new(base, adapters, options.misfits(), Direction::In)?;
    let sizes: Vec<_> = base.files().iter().map(|file| file.data_bytes() as u64).collect();
    let (path, chosen) = (part.path(out), options.chosen());
    let of_original = options.quantized.original.map(fingerprint::model).unwrap_or_default();
    let fingerprints = BTreeMap::from([
        ("the base model".to_owned(), fingerprint::model(base)),
        ("the model before it was quantised".to_owned(), of_original),
        ("an adapter".to_owned(), fingerprint::adapters(adapters)?),
        ("an option".to_owned(), fingerprint::options(&chosen)),
    ]);
    let mut job = Job::new(base, &plan, &path, options)?;
    job.part = Some((part, part.turn(&sizes), fingerprints));
    job.run(progress)
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
    let plan = Plan::new(merged, &reversed, options.misfits(), Direction::Out)?;
    Job::new(merged, &plan, out.as_ref(), options)?.run(progress)
}

/// An error for an adapter whose merge loses what was there.
fn check_reversible(adapter: &Adapter) -> Result<(), JobError> {
    let lokr = adapter.modules().values().map(AnyModule::Lokr);
    let mut modules = lokr.chain(adapter.others().iter().map(AnyModule::Other));
    let dora = modules.find(|module| module.dora_scale().is_some());
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
    pub(super) options: &'a MergeOptions<'a>,
    pub(super) outputs: Outputs,
    /// Of a part of the job: which one, which files of the base are its turn, and what the job was given.
    part: Option<(Part, Vec<bool>, Fingerprints)>,
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
        Ok(Self { base, plan, out, options, outputs, part: None })
    }

    /// The files of the base in whose place this job writes one.
    fn files(&self) -> impl Iterator<Item = &'a TensorFile> {
        let turn = |i: usize| self.part.as_ref().is_none_or(|(_, turns, _)| turns[i]);
        self.base.files().iter().enumerate().filter(move |(i, _)| turn(*i)).map(|(_, file)| file)
    }

    /// The files beside the tensors: of several parts, the first has them.
    fn other_files(&self) -> Result<OtherFiles> {
        match &self.part {
            Some((part, ..)) if part.number() > 1 => Ok(OtherFiles::default()),
            _ => OtherFiles::of(self.base),
        }
    }

    fn run(&self, progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>) -> Result<MergeReport> {
        let others = self.other_files()?;
        let shown = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect();
        let texts = self.rewritten(&others)?;
        let report = MergeReport {
            adapters: self.plan.adapters.clone(),
            weights: Vec::new(),
            replaced: self.plan.modules_to_save.keys().cloned().collect(),
            resized: self.resized(),
            added: self.plan.added.keys().cloned().collect(),
            unchanged: 0,
            dequantized: self.outputs.dequantized.clone(),
            still_quantized: if self.outputs.makes_floats() { self.outputs.still_quantized } else { 0 },
            left_out_tensors: self.outputs.left_out.iter().cloned().collect(),
            bytes: 0,
            copied_files: shown(&others.copied),
            rewritten_files: texts.keys().map(|path| path.display().to_string()).collect(),
            left_out: shown(&others.left_out),
        };
        let mut done = Done { report, scales: BTreeMap::new() };
        let specs: Vec<_> = self.files().flat_map(|file| self.specs(file)).collect();
        let (tensors, bytes) = (specs.len(), others.bytes + specs.iter().map(bytes_of).sum::<u64>());
        self.check_output(bytes, &others.copied).in_file(self.out)?;
        let mut tell = |event: Progress<'_>| event.tell(progress);
        tell(Progress::Started { tensors, bytes })?;
        if self.options.run == Run::Dry {
            self.describe_all(&mut done)?;
            return Ok(done.report);
        }
        let Some(directory) = self.base.directory() else {
            self.write_all(&mut done, None, &mut tell)?;
            return Ok(done.report);
        };
        let folder = OutputDirectory::create(self.out, self.options.overwrite)?;
        self.write_all(&mut done, Some(folder.path()), &mut tell)?;
        for path in others.copied {
            let (from, to) = (directory.join(&path), folder.path().join(&path));
            std::fs::create_dir_all(parent(&to)).in_file(self.out)?;
            match texts.get(&path) {
                Some(text) => std::fs::write(to, text).in_file(self.out)?,
                None => std::fs::copy(&from, to).map(|_| ()).in_file(&from)?,
            }
        }
        if let Some((part, _, fingerprints)) = &self.part {
            Manifest::write(JobName::Merge, *part, fingerprints.clone(), folder.path()).in_file(self.out)?;
        }
        folder.finish()?;
        Ok(done.report)
    }

    /// The tensors of the output in place of a file of the base.
    pub(super) fn specs(&self, file: &TensorFile) -> Vec<TensorSpec> {
        let own = file.names().filter_map(|name| {
            let spec = self.outputs.spec(file, name)?;
            let replacement = self.plan.modules_to_save.get(name);
            Some(TensorSpec { shape: replacement.map_or(spec.shape, |tensor| tensor.shape().to_vec()), ..spec })
        });
        let added = self.plan.added.iter().filter(|_| self.takes_added(file)).map(|(name, tensor)| TensorSpec {
            name: name.clone(),
            dtype: tensor.dtype(),
            shape: tensor.shape().to_vec(),
        });
        own.chain(added).collect()
    }

    fn check_output(&self, bytes: u64, copied: &[PathBuf]) -> Result<()> {
        let is_directory = self.base.directory().is_some();
        match is_directory {
            true => output::check_directory(self.out, self.options.overwrite)?,
            false => output::check_file(self.out, self.options.overwrite)?,
        }
        // A part holds nothing but what its manifest lists, and is replaced as a whole.
        if is_directory && self.part.is_none() && self.out.exists() {
            let files = self.base.files().iter().map(|file| self.base.relative(file.path()));
            let paths: BTreeSet<_> = files.chain(copied.iter().map(PathBuf::as_path)).collect();
            output::check_others(self.out, |path| paths.contains(path))?;
        }
        output::check_space(output::parent(self.out), bytes)
    }

    /// What would be done to every tensor.
    fn describe_all(&self, done: &mut Done) -> Result<()> {
        for file in self.files() {
            for spec in self.specs(file) {
                self.one_of(file, None, &spec, done)?;
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
        for file in self.files() {
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
            let (specs, overwrite, metadata) = (self.specs(file), self.options.overwrite, self.outputs.metadata(file));
            let mut writer = TensorWriter::create_behind(path, file.prefix(), specs, &metadata, overwrite)?;
            for spec in writer.specs().to_vec() {
                self.one_of(file, Some(&mut writer), &spec, done)?;
                tell(Progress::Tensor { name: &spec.name, bytes: bytes_of(&spec) })?;
            }
            last = Some(writer);
        }
        tell(Progress::Finishing)?;
        last.map_or(Ok(()), TensorWriter::finish)
    }

    /// Writes one tensor in place of one of a file's, or one that is new there; in a dry run only describes it.
    fn one_of(
        &self,
        file: &TensorFile,
        writer: Option<&mut TensorWriter>,
        spec: &TensorSpec,
        done: &mut Done,
    ) -> Result<()> {
        let Some(added) = self.plan.added.get(&spec.name) else {
            return self.one_tensor(writer, spec, &file.tensor(&spec.name)?, done).in_file(file.path());
        };
        done.report.bytes += bytes_of(spec);
        writer.map_or(Ok(()), |writer| writer.write(&spec.name, added.bytes()))
    }

    /// Writes one tensor of the base, or in a dry run only describes it.
    fn one_tensor(
        &self,
        writer: Option<&mut TensorWriter>,
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
        if let Some(applied) = self.plan.applied.get(name) {
            let mut described = self.plan.describe(name, base)?;
            if let Some(writer) = writer {
                let encoding = Encoding::plain(base.float_type(name)?);
                let target = Target { writer, name, dtype: spec.dtype, encoding: &encoding };
                let base = Weight { tensor: base.clone(), encoding: encoding.clone() };
                described.measured = Some(merge_weight(target, &base, applied)?);
            }
            done.report.weights.push(described);
            return Ok(());
        }
        let replacement = self.plan.modules_to_save.get(name);
        done.report.unchanged += usize::from(replacement.is_none());
        match writer {
            Some(writer) => writer.write(name, replacement.unwrap_or(base).bytes()),
            None => Ok(()),
        }
    }
}

pub(super) fn bytes_of(spec: &TensorSpec) -> u64 {
    (product(&spec.shape) * spec.dtype.bitsize() / 8) as u64
}
