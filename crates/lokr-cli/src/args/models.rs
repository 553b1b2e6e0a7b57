//! The arguments of the commands on models.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use lokr_checkpoint::{DoraStrength, Part, QuantizedRounding, ScaleRule, Unmatched, WholeTensors};

use super::output::{OutputArgs, out_is};
use super::read::ReadArgs;
use super::values::{FloatArg, finite, scale, unmatched};

/// Merge adapters into a model: W + μ·s·(w1 ⊗ w2), each weight rounded once to its stored type
///
/// The model is streamed, whatever its size; tensors that no adapter changes are copied bit for bit. The output appears
/// whole, after every merged weight was compared on a probe vector with the adapters' own forward pass, or not at all.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lokr merge --base model/ --adapter adapter.safetensors --out merged/
  lokr merge --base model/ --adapter a/ --multiplier 0.8 \\
      --adapter b/ --multiplier 0.5 --out merged/
  lokr merge --base pipeline/ --adapter adapter.safetensors \\
      --exclude conv_in --out merged/
  lokr merge --base fp8.safetensors --adapter adapter.safetensors \\
      --rounding stochastic --out merged.safetensors
  lokr merge --shard $SLURM_ARRAY_TASK_ID/8 --base model/ \\
      --adapter adapter/ --out merged/")]
pub(crate) struct MergeArgs {
    /// The model: a file, an index of shards, a directory, or a pipeline (model_index.json or its directory)
    #[arg(long, value_name = "MODEL")]
    pub(crate) base: PathBuf,
    /// Merge into the weights of this model, which the base was made of, and round to the base's eight bits once: this
    /// keeps the whole change
    #[arg(long, value_name = "MODEL", alias = "from-unquantized")]
    pub(crate) from_unquantised: Option<PathBuf>,
    /// Do part I of N only, for a job array: some of the model's shards, into a directory beside the output; `lokr
    /// join` makes the output of all parts
    #[arg(long, value_name = "I/N", conflicts_with = "dry_run")]
    pub(crate) shard: Option<Part>,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

/// Make the output of a merge or an extraction of its parts, which were done with --shard, and remove them
///
/// All parts must be there, as they were made, and of one job: the same program, models, adapters and options. The
/// output is byte for byte what one process would have written.
#[derive(Debug, Args)]
#[command(
    mut_args(out_is("The output that was given with --shard")),
    after_help = "\
Example:
  lokr merge --shard 1/2 --base model/ --adapter adapter/ --out merged/
  lokr merge --shard 2/2 --base model/ --adapter adapter/ --out merged/
  lokr join --out merged/"
)]
pub(crate) struct JoinArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Take merged adapters out of a model again: W − μ·s·(w1 ⊗ w2)
///
/// Give the adapters as they were given to merge, in the same order. The rounding of the merge stays. DoRA adapters and
/// whole replaced tensors cannot be taken out.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  lokr unmerge --merged merged/ --adapter adapter.safetensors --out model/")]
pub(crate) struct UnmergeArgs {
    /// The model they were merged into
    #[arg(long, value_name = "MODEL")]
    pub(crate) merged: PathBuf,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

/// Compare a merged model with what a base and adapters make together; a difference ends with exit code 4
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  lokr verify --base model/ --adapter adapter.safetensors --merged merged/")]
pub(crate) struct VerifyArgs {
    /// The model without the adapters
    #[arg(long, value_name = "MODEL")]
    pub(crate) base: PathBuf,
    /// The model to check
    #[arg(long, value_name = "MODEL")]
    pub(crate) merged: PathBuf,
    /// How far a value may be off, in units of its type's epsilon times its size; programs that compute in half types
    /// are a few off
    #[arg(long, value_name = "NUMBER", default_value_t = 1.0, allow_negative_numbers = true)]
    pub(crate) tolerance: f64,
    #[command(flatten)]
    pub(crate) apply: ApplyArgs,
}

/// What merging and taking out have in common.
#[derive(Debug, Args)]
#[command(
    mut_args(out_is("The output: a file for a model in one file, a directory for one in a directory")),
    // Right behind `--dry-run`, which has the same number and comes first by name.
    mut_args(|arg| if arg.get_id() == "force" { arg.display_order(3) } else { arg }),
)]
pub(crate) struct ChangeArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Only check and report what would be done
    #[arg(long, display_order = 3)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) quantized: QuantizedArgs,
    #[command(flatten)]
    pub(crate) apply: ApplyArgs,
}

/// What becomes of weights that are stored in eight bits a value.
#[derive(Debug, Args)]
pub(crate) struct QuantizedArgs {
    /// Write weights of eight bits (fp8, int8) that change as this type, without scales; otherwise they stay what they
    /// are
    #[arg(long, value_name = "DTYPE")]
    pub(crate) out_dtype: Option<FloatArg>,
    /// How values are rounded to eight bits
    #[arg(long, value_name = "HOW", default_value = "nearest")]
    pub(crate) rounding: RoundingArg,
    /// The least share of the change in a weight of eight bits that rounding must leave, or nothing is written; 0
    /// allows any
    #[arg(long, value_name = "SHARE", default_value_t = 0.9, allow_negative_numbers = true)]
    pub(crate) min_kept: f64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoundingArg {
    /// To the nearest value: loses changes that are small beside the gaps between values
    Nearest,
    /// To either neighbour, by chance, which keeps every change on average; the same file gives the same bits
    Stochastic,
}

impl From<RoundingArg> for QuantizedRounding {
    fn from(rounding: RoundingArg) -> Self {
        match rounding {
            RoundingArg::Nearest => Self::Nearest,
            RoundingArg::Stochastic => Self::Stochastic,
        }
    }
}

/// Which adapters, and how strongly.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// An adapter: a safetensors file, or a PEFT directory; several are applied in order
    #[arg(long = "adapter", value_name = "ADAPTER", required = true)]
    pub(crate) adapters: Vec<PathBuf>,
    /// The multiplier μ of each adapter, in the same order: none, or as many as adapters
    #[arg(long = "multiplier", value_name = "NUMBER", allow_negative_numbers = true, value_parser = finite)]
    pub(crate) multipliers: Vec<f64>,
    /// The scale s: `trained`, by the rule of the adapter's dialect; `like-lycoris-merge`, its square, which LyCORIS's
    /// merge applies; or a number
    #[arg(long, value_name = "SCALE", default_value = "trained", allow_negative_numbers = true, value_parser = scale)]
    pub(crate) scale: ScaleRule,
    /// What a multiplier does to a DoRA adapter
    #[arg(long, value_name = "FORMULA", default_value = "from-base")]
    pub(crate) dora: DoraArg,
    /// Go on without the modules that the base model does not have; none at all is always an error
    #[arg(long)]
    pub(crate) allow_unmatched: bool,
    /// Also take tensors that an adapter stores whole (PEFT's modules_to_save) where the base model has none of that
    /// name, or one with another number of rows. Heads that PEFT's configuration lists and larger vocabularies are
    /// taken without it
    #[arg(long)]
    pub(crate) take_whole: bool,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

impl ApplyArgs {
    pub(crate) fn whole(&self) -> WholeTensors {
        if self.take_whole { WholeTensors::Any } else { WholeTensors::Known }
    }

    pub(crate) fn unmatched(&self) -> Unmatched {
        unmatched(self.allow_unmatched)
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum DoraArg {
    /// W + μ·(V·g − W): 0 gives the base
    FromBase,
    /// V·(1 + μ·(g − 1)): LyCORIS's own
    Lycoris,
}

impl From<DoraArg> for DoraStrength {
    fn from(dora: DoraArg) -> Self {
        match dora {
            DoraArg::FromBase => Self::FromBase,
            DoraArg::Lycoris => Self::Lycoris,
        }
    }
}
