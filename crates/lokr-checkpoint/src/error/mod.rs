//! What can go wrong with a file, said in names and shapes.

use std::path::{Path, PathBuf};

use safetensors::Dtype;
use thiserror::Error;

use crate::Dialect;

/// Result of the operations of this crate.
pub type Result<T> = std::result::Result<T, CheckpointError>;

/// An error of reading, resolving or applying an adapter.
///
/// An error that belongs to a file arrives as [`CheckpointError::InFile`]; [`CheckpointError::cause`] looks behind it.
/// Keys are full tensor names, so they name the module as well.
///
/// # Examples
/// ```
/// use lokr_checkpoint::{CheckpointError, TensorFile};
///
/// let error = TensorFile::from_bytes("empty.safetensors", Vec::new()).unwrap_err();
/// assert!(matches!(error.cause(), CheckpointError::NoHeader { length: 0 }));
/// assert_eq!(error.to_string(), "empty.safetensors: not a safetensors file: it has 0 bytes, fewer than the 8 of a header length");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// An error in the file at `path`.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<CheckpointError>,
    },
    /// The system refused to read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// An error of the Kronecker mathematics.
    #[error(transparent)]
    Kron(#[from] lokr_core::KronError),

    // The container.
    /// A directory, pipe or device where a file should be.
    #[error("this is {found}, not a file")]
    NotAFile {
        /// What is there.
        found: &'static str,
    },
    /// The file is a pickle, which runs code when it is loaded, or is named like one.
    #[error("this is a {format}, which can run code when loaded; convert it to safetensors first")]
    Pickle {
        /// The format recognised.
        format: &'static str,
    },
    /// The file is too short to hold the length of a header.
    #[error("not a safetensors file: it has {length} bytes, fewer than the 8 of a header length")]
    NoHeader {
        /// Length of the file.
        length: usize,
    },
    /// The header is said to be longer than the file, or than any sane header.
    #[error(
        "not a safetensors file, or damaged: its header would have {found} bytes, but at most {limit} are possible here"
    )]
    HeaderLength {
        /// The length stated.
        found: u64,
        /// What the file's length or the cap of 100 MB allows.
        limit: u64,
    },
    /// Invalid JSON, in a header, an index or a configuration.
    #[error("invalid JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A key appears twice in one JSON object.
    #[error("the key {key:?} appears twice")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// The header names an element type that no version of the format has.
    #[error("{key}: unknown dtype {dtype:?}")]
    UnknownDtype {
        /// The tensor.
        key: String,
        /// What the header says.
        dtype: String,
    },
    /// A shape whose size does not fit in memory addresses.
    #[error("{key}: the shape {shape:?} overflows")]
    ShapeOverflow {
        /// The tensor.
        key: String,
        /// The shape.
        shape: Vec<usize>,
    },
    /// A tensor's bytes are not as many as its shape and type need.
    #[error("{key}: shape {shape:?} of {dtype} needs {expected} bytes, but {found} are given")]
    TensorSize {
        /// The tensor.
        key: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its element type.
        dtype: Dtype,
        /// Bytes that these need.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// A tensor's bytes do not start where those of the one before end (a gap or an overlap), or end before they begin.
    #[error("{key}: bytes {start}..{end} leave a gap or overlap; they should start at {expected} and not end before")]
    TensorRange {
        /// The tensor.
        key: String,
        /// Where the previous tensor ends.
        expected: usize,
        /// Where it starts.
        start: usize,
        /// Where it ends.
        end: usize,
    },
    /// The data section is truncated, or bytes trail behind the last tensor.
    #[error("the tensors take {expected} bytes, but {found} bytes follow the header")]
    DataLength {
        /// Bytes the header describes.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },

    // A base model's files.
    /// A directory without what was looked for.
    #[error("no {expected} here")]
    FileMissing {
        /// The files that would do.
        expected: String,
    },
    /// A shard index that does not fit its shards.
    #[error("the index places {key} in {shard:?}, which {problem}")]
    ShardIndex {
        /// The tensor.
        key: String,
        /// The shard's file name.
        shard: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// No tensor of that name.
    #[error("there is no tensor {key}")]
    TensorMissing {
        /// The name.
        key: String,
    },
    /// A base weight of a type that a delta cannot be added to without loss.
    #[error(
        "{key}: the base weight is quantised ({dtype}); a delta added to it would be lost to rounding. Merge into the \
         unquantised model"
    )]
    QuantizedBase {
        /// The weight.
        key: String,
        /// Its element type, or the quantised tensor found in its place.
        dtype: String,
    },

    // One module's tensors.
    /// A tensor of an adapter, or one to compute with, that is not f16, bf16, f32 or f64.
    #[error("{key}: {dtype} is not an adapter dtype; expected F16, BF16, F32 or F64")]
    TensorDtype {
        /// The tensor.
        key: String,
        /// Its type.
        dtype: Dtype,
    },
    /// One half of a pair without the other.
    #[error("{module}: {present} is there, but {missing} is not")]
    HalfMissing {
        /// The module.
        module: String,
        /// The key present.
        present: &'static str,
        /// The key missing.
        missing: &'static str,
    },
    /// A factor that is given in no form.
    #[error("{module}: neither {factor} nor {factor}_a and {factor}_b are there")]
    FactorMissing {
        /// The module.
        module: String,
        /// `lokr_w1` or `lokr_w2`.
        factor: &'static str,
    },
    /// A factor that is given both in full and in halves.
    #[error("{module}: {factor} is given in full and as {half} too")]
    FactorTwice {
        /// The module.
        module: String,
        /// `lokr_w1` or `lokr_w2`.
        factor: &'static str,
        /// A key of the other form.
        half: &'static str,
    },
    /// A tensor with a wrong number of axes.
    #[error("{module}.{key}: shape {found:?}, expected {expected}")]
    Axes {
        /// The module.
        module: String,
        /// The tensor.
        key: &'static str,
        /// What is expected, in words.
        expected: &'static str,
        /// The shape found.
        found: Vec<usize>,
    },
    /// A tensor with an axis of length 0.
    #[error("{module}.{key}: shape {found:?} has an axis of length 0")]
    ZeroAxis {
        /// The module.
        module: String,
        /// The tensor.
        key: &'static str,
        /// The shape found.
        found: Vec<usize>,
    },
    /// The halves of one factor do not multiply, or the two factors have different ranks.
    #[error(
        "{module}: {first} {first_shape:?} has rank {first_rank}, but {second} {second_shape:?} has rank {second_rank}"
    )]
    InnerRank {
        /// The module.
        module: String,
        /// A key.
        first: &'static str,
        /// Its shape.
        first_shape: Vec<usize>,
        /// Its inner size.
        first_rank: usize,
        /// Another key.
        second: &'static str,
        /// Its shape.
        second_shape: Vec<usize>,
        /// Its inner size.
        second_rank: usize,
    },
    /// A Tucker core that is not `(r, r, kernel…)`.
    #[error("{module}.lokr_t2: shape {found:?}, expected ({rank}, {rank}, kernel…) as lokr_w2_a and lokr_w2_b say")]
    TuckerCore {
        /// The module.
        module: String,
        /// The rank of the halves.
        rank: usize,
        /// The core's shape.
        found: Vec<usize>,
    },
    /// A Tucker core for a weight without kernel axes.
    #[error("{module}.lokr_t2: a Tucker core, but the weight {weight:?} is that of a linear layer")]
    TuckerOnLinear {
        /// The module.
        module: String,
        /// The weight's shape.
        weight: Vec<usize>,
    },
    /// The kernel of a factor is not that of the weight.
    #[error("{module}.{key}: kernel {found:?}, expected {expected:?} as the base weight has")]
    Kernel {
        /// The module.
        module: String,
        /// The tensor.
        key: &'static str,
        /// The weight's kernel.
        expected: Vec<usize>,
        /// The factor's kernel.
        found: Vec<usize>,
    },
    /// The factors do not build the weight.
    #[error("{module}: w1 {w1:?} and w2 {w2:?} build a weight of {found:?}, expected {expected:?} (flattened){hint}")]
    WeightShape {
        /// The module.
        module: String,
        /// The first factor, multiplied out.
        w1: (usize, usize),
        /// The second factor, multiplied out and flattened.
        w2: (usize, usize),
        /// The base weight, `(out, in·K)`.
        expected: (usize, usize),
        /// What the factors build.
        found: (usize, usize),
        /// A likely reason, or nothing.
        hint: &'static str,
    },
    /// NaN or infinite values in a factor or in `dora_scale`.
    #[error("{module}.{key}: {count} values are NaN or infinite")]
    NonFinite {
        /// The module.
        module: String,
        /// The tensor.
        key: &'static str,
        /// How many.
        count: usize,
    },
    /// An `alpha` that is NaN, or infinite next to a low-rank factor.
    #[error("{module}.alpha: {alpha} is not finite")]
    AlphaNotFinite {
        /// The module.
        module: String,
        /// The value.
        alpha: f64,
    },
    /// An `alpha` of 0 next to a low-rank factor: some programs read it as the rank, others as 0.
    #[error("{module}.alpha: 0 means alpha = rank to some programs and no effect to others; say which")]
    AlphaZero {
        /// The module.
        module: String,
    },
    /// `dora_scale` fits neither `(out, 1, …)` nor `(1, in, 1, …)`, or fits both.
    #[error("{module}.dora_scale: shape {found:?} {problem} the weight {weight:?}")]
    DoraShape {
        /// The module.
        module: String,
        /// Its shape.
        found: Vec<usize>,
        /// How it fails to say its axis.
        problem: &'static str,
        /// The weight's shape.
        weight: Vec<usize>,
    },
    /// A PEFT conv1d adapter with a full `lokr_w2`, whose layout is no Kronecker product.
    #[error("{module}: a PEFT conv1d adapter with a full lokr_w2 is no Kronecker product outside PEFT")]
    NotKronecker {
        /// The module.
        module: String,
    },
    /// The scale is in a configuration that was not found.
    #[error("{module}: the scale is in adapter_config.json, which was not found; give the scale or the file")]
    ScaleUnknown {
        /// The module.
        module: String,
    },

    // Names.
    /// A tensor that belongs to another kind of adapter.
    #[error("{key}: a tensor of {algorithm}, not of LoKr")]
    OtherAlgorithm {
        /// The tensor.
        key: String,
        /// The kind.
        algorithm: &'static str,
    },
    /// A Tucker core of the first factor, which LyCORIS has a name for and no program writes.
    #[error("{key}: no program writes a lokr_t1, and what it would mean is not known")]
    TuckerFirstFactor {
        /// The tensor.
        key: String,
    },
    /// The state of a live PEFT model with several adapters.
    #[error("{first} and {second} belong to two adapters; save them one by one")]
    SeveralAdapters {
        /// A key of one.
        first: String,
        /// A key of another.
        second: String,
    },
    /// A tensor that no dialect has.
    #[error("{key}: not a key of the {dialect} dialect")]
    UnknownKey {
        /// The tensor.
        key: String,
        /// The dialect read.
        dialect: Dialect,
    },
    /// A file without a single LoKr tensor.
    #[error("no lokr tensors in this file")]
    NotLokr,
    /// Tensors of two dialects in one file.
    #[error("mixed dialects: {first} is {first_dialect}, {second} is {second_dialect}")]
    MixedDialects {
        /// A key.
        first: String,
        /// Its dialect.
        first_dialect: Dialect,
        /// Another key.
        second: String,
        /// Its dialect.
        second_dialect: Dialect,
    },
    /// `alpha` or `dora_scale` in a PEFT adapter, whose scale is in its configuration and which has no DoRA.
    #[error("mixed dialects: {key} in a PEFT adapter; PEFT ignores it")]
    NotPeft {
        /// The tensor.
        key: String,
    },
    /// Dotted names without any `alpha`: PEFT without its configuration, or a file whose scale is 1.
    #[error("{key} fits the dialects {first} and {second}, which differ in scale; say which")]
    DialectUnclear {
        /// An example.
        key: String,
        /// A dialect that fits.
        first: Dialect,
        /// Another one.
        second: Dialect,
    },
    /// Two keys that mean one tensor.
    #[error("{first} and {second} both mean {target}")]
    DuplicateTarget {
        /// A key or module.
        first: String,
        /// Another one.
        second: String,
        /// What both mean.
        target: String,
    },
    /// A name that several modules of the base model have.
    #[error("{module} matches several modules of the base model: {}", list(candidates))]
    AmbiguousModule {
        /// The name in the adapter.
        module: String,
        /// The modules it matches.
        candidates: Vec<String>,
    },
    /// Modules that the base model does not have.
    #[error("{} of {total} modules are not in the base model: {}", modules.len(), list(modules))]
    UnmatchedModules {
        /// The modules.
        modules: Vec<String>,
        /// How many modules the adapter has.
        total: usize,
    },
    /// Not a single module is in the base model.
    #[error("none of the {total} modules is in the base model (the first is {example}): is it the right one?")]
    NothingMatches {
        /// How many modules the adapter has.
        total: usize,
        /// One of them.
        example: String,
    },

    // PEFT's configuration.
    /// A field with a wrong value.
    #[error("{field}: {found}, expected {expected}")]
    ConfigField {
        /// The field.
        field: String,
        /// What is expected, in words.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A pattern that is no regular expression here.
    #[error("{field}: {pattern:?} is not a regular expression: {source}")]
    ConfigPattern {
        /// The field.
        field: &'static str,
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: Box<regex::Error>,
    },
    /// Patterns that match one module and give it different scales.
    #[error(
        "{module}: the patterns {} match and give different scales; PEFT's choice depends on their lost order",
        list(patterns)
    )]
    AmbiguousPattern {
        /// The module.
        module: String,
        /// The patterns.
        patterns: Vec<String>,
    },
    /// The configuration's rank is not that of the tensors.
    #[error("{module}: {field} gives rank {expected}, but the tensors have rank {found}")]
    ConfigRank {
        /// The module.
        module: String,
        /// `r` or `rank_pattern`.
        field: &'static str,
        /// The configuration's rank.
        expected: usize,
        /// The tensors' rank.
        found: usize,
    },

    // Outputs.
    /// The output is there already.
    #[error("already there; it is replaced only when asked for")]
    OutputExists,
    /// A file where a directory should be written, or the reverse.
    #[error("{found} is in the way of {expected}")]
    OutputKind {
        /// What should be written.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A directory to replace holds more than the new one would.
    #[error("the directory also holds {}, which would be lost; remove or move them first", list(names))]
    OutputOthers {
        /// The names the new directory does not have.
        names: Vec<String>,
    },
    /// Too little space for an output.
    #[error("{needed} bytes are needed, but only {available} are free")]
    DiskSpace {
        /// Bytes the output takes.
        needed: u64,
        /// Bytes free where it should go.
        available: u64,
    },
    /// A tensor's bytes were given when it was not its turn.
    #[error("{key} was to be written, but {} comes next", expected.as_deref().unwrap_or("the end"))]
    WriteOrder {
        /// The tensor given.
        key: String,
        /// The one whose turn it is; none after the last.
        expected: Option<String>,
    },

    // Jobs on base models.
    /// A tensor of `modules_to_save` that is not of the shape of the one it replaces.
    #[error("{key}: the adapter's modules_to_save have shape {found:?}, expected {expected:?} as in the base model")]
    ReplacementShape {
        /// The tensor.
        key: String,
        /// The base model's shape.
        expected: Vec<usize>,
        /// The adapter's.
        found: Vec<usize>,
    },
    /// A merged weight does not do what base and adapters do together.
    #[error(
        "{key}: the merged weight differs from base and adapter together by {error:e} (relative) on a probe vector; \
         nothing was written"
    )]
    Guard {
        /// The weight.
        key: String,
        /// The relative error.
        error: f64,
    },
    /// Values that the type to store cannot hold: too large for it, or all so small that nothing is left.
    #[error("{key}: {count} of its values {} {dtype}", if *too_large { "are too large for" } else { "are too small for" })]
    OutOfRange {
        /// The tensor.
        key: String,
        /// The type to store.
        dtype: Dtype,
        /// How many.
        count: usize,
        /// Whether they became infinite; else all became zero.
        too_large: bool,
    },
    /// An adapter that cannot be taken out of a model again.
    #[error("{key} cannot be taken out again: it {reason}")]
    CannotUnmerge {
        /// The module or tensor.
        key: String,
        /// Why not.
        reason: &'static str,
    },
    /// The caller stopped the job.
    #[error("interrupted")]
    Interrupted,

    // Jobs on factors.
    /// An option of a job that makes no sense.
    #[error("{option}: {found}, expected {expected}")]
    JobOption {
        /// The option.
        option: &'static str,
        /// What is expected, in words.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// Two models without a tensor of the same name.
    #[error("the two models have no tensor name in common ({example} is only here): are they of one kind?")]
    NothingShared {
        /// A tensor of the second model.
        example: String,
    },
    /// Two models without a weight that differs and can be adapted.
    #[error(
        "no weight that can be adapted differs between the two models ({compared} compared; {others} tensors differ that \
         cannot be adapted or were left out)"
    )]
    NothingChanged {
        /// Weights compared value by value.
        compared: usize,
        /// Tensors that differ otherwise: in shape, in one model only, excluded, no weights.
        others: usize,
    },
    /// A weighted sum of modules whose factors have different shapes.
    #[error(
        "{module}: w1 {first_w1:?} with w2 {first_w2:?} cannot be combined with w1 {w1:?} and w2 {w2:?}; resize one"
    )]
    CombineShapes {
        /// The module.
        module: String,
        /// `w1` in the first adapter that has the module.
        first_w1: (usize, usize),
        /// `w2` there, flattened.
        first_w2: (usize, usize),
        /// `w1` in another.
        w1: (usize, usize),
        /// `w2` there, flattened.
        w2: (usize, usize),
    },
    /// Adapters whose modules are named in different ways.
    #[error("a {first} adapter cannot be combined with a {second} one: their names differ; convert one")]
    CombineDialects {
        /// A dialect.
        first: Dialect,
        /// Another one.
        second: Dialect,
    },
    /// A job on a DoRA module that is possible without its norms only.
    #[error("{module}: a DoRA module, which depends on the base weight, cannot be {operation}")]
    Dora {
        /// The module.
        module: String,
        /// What was to be done with it.
        operation: &'static str,
    },
    /// A job on a weight's change that is possible for a single Kronecker product only.
    #[error("{module}: a sum of several Kronecker products cannot be {operation}; combine it into the best single one")]
    SeveralTerms {
        /// The module.
        module: String,
        /// What was to be done with it.
        operation: &'static str,
    },
    /// A tensor stored whole in several adapters, with different values, or with a weight that is not 1.
    #[error("{key} is stored whole, not as a change, and cannot be weighted or summed")]
    CombineWhole {
        /// The tensor.
        key: String,
    },
    /// Names that mean modules only together with a base model.
    #[error("{module}: a {dialect} name says what it adapts only together with the base model; give it")]
    BaseNeeded {
        /// The first module.
        module: String,
        /// The dialect.
        dialect: Dialect,
    },
    /// A low-rank factor stored flat whose sizes PEFT would not make for a linear layer: it is a convolution's, and the base
    /// model tells its kernel.
    #[error(
        "{module}: the low-rank factors are those of a convolution, whose kernel only the base model tells; give it"
    )]
    KernelUnknown {
        /// The module.
        module: String,
    },

    // Writing and converting.
    /// What a module or tensor holds, and the dialect has no place for.
    #[error("{module}: the {dialect} dialect cannot hold it: {reason}")]
    CannotHold {
        /// The module or tensor.
        module: String,
        /// The dialect to write.
        dialect: Dialect,
        /// What stands against it.
        reason: &'static str,
    },
    /// Factors that PEFT would not make: it takes their shapes from the layer's and one `decompose_factor`, not from the file.
    #[error(
        "{module}: no decompose_factor makes PEFT split ({}, {}) into w1 {w1:?} and w2 {w2:?}, and the modules before it \
         as they are",
        w1.0 * w2.0, w1.1 * w2.1
    )]
    PeftFactors {
        /// The first module that does not fit.
        module: String,
        /// The shape `(m, n)` of w1.
        w1: (usize, usize),
        /// The shape `(p, q)` of w2, without its kernel.
        w2: (usize, usize),
    },
    /// An error of a layer.
    #[error(transparent)]
    Layer(#[from] lokr_layers::LayerError),
}

impl CheckpointError {
    /// This error, said to be in the file at `path`. An error that names a file already stays as it is.
    pub(crate) fn in_file(self, path: &Path) -> Self {
        match self {
            Self::InFile { .. } => self,
            source => Self::InFile { path: path.to_owned(), source: Box::new(source) },
        }
    }

    /// The error itself, without the file it is in.
    #[must_use]
    pub fn cause(&self) -> &Self {
        match self {
            Self::InFile { source, .. } => source.cause(),
            other => other,
        }
    }

    /// The file it is in, where known.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::InFile { path, .. } => Some(path),
            _ => None,
        }
    }
}

/// The first few of some names.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}

#[cfg(test)]
mod tests;
