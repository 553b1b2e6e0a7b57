//! What a job did, for people and programs.

use serde::Serialize;

/// What a merge did, or in a dry run would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MergeReport {
    /// The adapters in order.
    pub adapters: Vec<AdapterReport>,
    /// The weights that adapters change, in the order written.
    pub weights: Vec<WeightReport>,
    /// Tensors of the base model whose place an adapter's `modules_to_save` take.
    pub replaced: Vec<String>,
    /// Those of them that have another number of rows, such as the embedding of a larger vocabulary.
    pub resized: Vec<ResizedTensor>,
    /// Tensors of an adapter's `modules_to_save` that the base model does not have.
    pub added: Vec<String>,
    /// How many tensors are the base model's, bit for bit.
    pub unchanged: usize,
    /// Weights of eight bits that no adapter changes and that are written as floats all the same.
    pub dequantized: Vec<String>,
    /// How many weights of eight bits stay as they are, where others are written as floats.
    pub still_quantized: usize,
    /// Tensors of the base that are left out: scales and marks of weights that are floats now.
    pub left_out_tensors: Vec<String>,
    /// Bytes of all tensors written.
    pub bytes: u64,
    /// Other files copied into an output directory.
    pub copied_files: Vec<String>,
    /// Those of them that were written anew, because they list tensors or state the size of the vocabulary.
    pub rewritten_files: Vec<String>,
    /// Entries of the base model's directory that were not copied: weights in other formats, hidden files, directories
    /// and links to nowhere.
    pub left_out: Vec<String>,
}

/// A tensor that has another number of rows than the base model's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResizedTensor {
    /// Its name.
    pub tensor: String,
    /// Rows in the base model.
    pub from: usize,
    /// Rows in the result.
    pub to: usize,
}

/// How one adapter was understood.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdapterReport {
    /// Where it was read from.
    pub path: String,
    /// The dialect.
    pub dialect: String,
    /// The convention applied, in a line: the formula and where its scale comes from.
    pub convention: String,
    /// The multiplier `μ`.
    pub multiplier: f64,
    /// How many modules were applied.
    pub modules: usize,
    /// Modules and tensors left out because the base model does not have them.
    pub unmatched: Vec<String>,
    /// Modules left out because they change nothing, beside others that change the same rows.
    pub placeholders: Vec<String>,
    /// Modules and tensors left out by name, as the options of reading ask.
    pub left_out: Vec<String>,
    /// Tensors stored whole that the model does not have because it ties them to others, which are as they are.
    pub tied: Vec<String>,
    /// What the reader warned of.
    pub warnings: Vec<String>,
}

/// What happened to one weight.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WeightReport {
    /// Its name in the base model.
    pub weight: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The type it is stored in; both, if it is stored in another one than the base's.
    pub dtype: String,
    /// The modules applied, in order.
    pub applied: Vec<AppliedModule>,
    /// What was measured; nothing in a dry run.
    pub measured: Option<Measured>,
}

/// One module applied to a weight.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AppliedModule {
    /// The number of the adapter, from 0.
    pub adapter: usize,
    /// The module's name in it.
    pub module: String,
    /// Its algorithm: `LoKr`, `LoRA`, `LoCon`, `LoHa`, `difference`, `norm`.
    pub algorithm: &'static str,
    /// The scale `s` before its product, without the multiplier; 1 for differences.
    pub scale: f64,
    /// Whether it has the norms of DoRA.
    pub dora: bool,
    /// The rows of the weight that it changes, the first and the one after the last; nothing for all of them.
    pub rows: Option<(usize, usize)>,
}

/// Norms and errors of one merged weight, before and after it was rounded to its type. Norms are Frobenius norms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measured {
    /// The change that the adapters make.
    pub delta_norm: f64,
    /// What rounding to the stored type adds to the weight: `‖rounded − exact‖`.
    pub rounding_norm: f64,
    /// The share of the change lost: `‖rounded − exact‖ / ‖exact − base‖`; above 1 the change drowns in rounding. 0
    /// where nothing changes.
    pub lost: f64,
    /// Of a weight that is, was or becomes one of eight bits: the share of the change that is in it, by least squares;
    /// below 1 where values stay what they were, because the next one is too far away. Nothing for other weights, and
    /// where nothing changes.
    pub kept: Option<f64>,
    /// The largest error of rounding in one value.
    pub largest_error: f64,
    /// The guard: how far the merged weight (before rounding) times a probe vector is from the base weight times it
    /// plus the adapters' own forward pass, relative to the norms involved. NaN where no row of the weight is finite.
    pub guard_error: f64,
}
