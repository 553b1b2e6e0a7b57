//! What is wrong with a file, or with what is to be stored in one.

use safetensors::Dtype;
use thiserror::Error;

use super::list::list;

/// What is wrong with a file, or with what is to be stored in one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// A directory, pipe or device where a file should be.
    #[error("this is {found}, not a file")]
    NotAFile {
        /// What is there.
        found: &'static str,
    },
    /// The file is a pickle, which runs code when it is loaded, or is named like one.
    #[error(
        "this is a {format}, which can run code when loaded; save it as safetensors in the program that it is for, or find \
         the model in that format"
    )]
    Pickle {
        /// The format recognised.
        format: &'static str,
    },
    /// The file is of another format, by its content or its name.
    #[error("this is {found}; {instead}")]
    OtherFormat {
        /// What it is.
        found: &'static str,
        /// What to do with it.
        instead: &'static str,
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
    /// A directory without what was looked for.
    #[error("no {expected} here")]
    Missing {
        /// The files that would do.
        expected: String,
    },
    /// A directory without PEFT's tensors, where an adapter was looked for.
    #[error("no adapter_model.safetensors here; {found}")]
    NotAnAdapter {
        /// What is there.
        found: String,
    },
    /// A directory without a model of its own, and without `model_index.json`, that has directories with models.
    #[error(
        "no model here, and no model_index.json, but one in each of its directories {}; give one of them",
        list(directories)
    )]
    ModelsBelow {
        /// Their names.
        directories: Vec<String>,
    },
    /// JSON text in place of tensors, which is no index of shards and not that of a pipeline.
    #[error(
        "this is JSON text, not tensors; give a safetensors file, or of a model its directory, the index of its shards \
         (….safetensors.index.json) or that of a pipeline (model_index.json)"
    )]
    NotTensors,
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
    /// A tensor of an adapter, or one to compute with, that is no float.
    #[error("{key}: {dtype} is not an adapter dtype; expected F16, BF16, F32, F64, F8_E4M3 or F8_E5M2")]
    TensorDtype {
        /// The tensor.
        key: String,
        /// Its type.
        dtype: Dtype,
    },
    /// A base weight in a layout that is not read.
    #[error(
        "{key}: its values are stored as {format}, which is not read. Merge into the model before it was quantised and \
         quantise the result; for a program that loads adapters beside a quantised model, such as llama.cpp, convert the \
         adapter to a LoRA instead"
    )]
    QuantizedBase {
        /// The weight.
        key: String,
        /// How it is stored.
        format: String,
    },
    /// A weight of eight bits without the scale that it is said to have.
    #[error("{key}: {dtype} without a scale, but {told_by} says that there is one; expected {expected} beside it")]
    ScaleMissing {
        /// The weight.
        key: String,
        /// Its element type.
        dtype: Dtype,
        /// Names of scales.
        expected: &'static str,
        /// What says so.
        told_by: String,
    },
    /// A weight with two scales.
    #[error("{key}: both {first} and {second} are there; expected one of them")]
    ScalesTwice {
        /// The weight.
        key: String,
        /// A scale.
        first: String,
        /// Another.
        second: String,
    },
    /// Scales of a type that is not read.
    #[error("{key}: scales in {dtype}; expected F32, BF16, F16, F64 or F8_E8M0")]
    ScaleDtype {
        /// The scales.
        key: String,
        /// Their type.
        dtype: Dtype,
    },
    /// Scales that do not fit their weight.
    #[error(
        "{key}: scales {shape:?} do not fit a weight {weight:?}; expected one, one per row, or one per block{}",
        block.map(|[rows, columns]| format!(" of {rows}x{columns}, as config.json says")).unwrap_or_default()
    )]
    ScaleShape {
        /// The scales.
        key: String,
        /// Their shape.
        shape: Vec<usize>,
        /// The weight's.
        weight: Vec<usize>,
        /// The size of blocks, where the model tells it.
        block: Option<[usize; 2]>,
    },
    /// A scale that no value can be multiplied by.
    #[error("{key}: scale {number} is {found}; expected a positive finite number")]
    ScaleValue {
        /// The scales.
        key: String,
        /// Which of them, in row-major order.
        number: usize,
        /// What it is.
        found: f64,
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
    /// A file of another kind than the one that is read.
    #[error("this is no file of that kind: its header says {found}, expected lokr_format {expected:?}")]
    OtherKind {
        /// What the header should say.
        expected: &'static str,
        /// What it says.
        found: String,
    },
    /// A tensor that must be of one type, so that every bit is kept, and is of another.
    #[error("{key}: {found}, expected {expected}")]
    OtherType {
        /// The tensor.
        key: String,
        /// The type it must have.
        expected: Dtype,
        /// The type it has.
        found: Dtype,
    },
    /// A tensor's bytes were given when it was not its turn.
    #[error("{key} was to be written, but {} comes next", expected.as_deref().unwrap_or("the end"))]
    WriteOrder {
        /// The tensor given.
        key: String,
        /// The one whose turn it is; none after the last.
        expected: Option<String>,
    },
}
