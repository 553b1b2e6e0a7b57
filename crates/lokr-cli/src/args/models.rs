//! The arguments of the commands on models.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use lokr_checkpoint::{Adapter, DoraStrength, Overwrite, ScaleRule, Strength, Unmatched};

use super::read::ReadArgs;
use super::values::{finite, overwrite, scale, unmatched};
use crate::error::CliError;

/// Merge adapters into a model: W + μ·s·(w1 ⊗ w2), each weight rounded once to its stored type
///
/// The model is streamed, whatever its size; tensors that no adapter changes are copied bit for bit. The output appears whole,
/// after every merged weight was compared on a probe vector with the adapters' own forward pass, or not at all.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lokr merge --base model/ --adapter adapter.safetensors --out merged/
  lokr merge --base model.safetensors --adapter a/ --multiplier 0.8 --adapter b/ --multiplier 0.5 --out merged.safetensors")]
pub struct MergeArgs {
    /// The model: a file, an index of shards or a directory
    #[arg(long, value_name = "MODEL")]
    pub base: PathBuf,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub apply: ApplyArgs,
}

/// Take merged adapters out of a model again: W − μ·s·(w1 ⊗ w2)
///
/// Give the adapters as they were given to merge, in the same order. The rounding of the merge stays. DoRA adapters and whole
/// replaced tensors cannot be taken out.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  lokr unmerge --merged merged/ --adapter adapter.safetensors --out model/")]
pub struct UnmergeArgs {
    /// The model they were merged into
    #[arg(long, value_name = "MODEL")]
    pub merged: PathBuf,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub apply: ApplyArgs,
}

/// Compare a merged model with what a base and adapters make together; a difference ends with exit code 4
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  lokr verify --base model/ --adapter adapter.safetensors --merged merged/")]
pub struct VerifyArgs {
    /// The model without the adapters
    #[arg(long, value_name = "MODEL")]
    pub base: PathBuf,
    /// The model to check
    #[arg(long, value_name = "MODEL")]
    pub merged: PathBuf,
    /// How far a value may be off, in units of its type's epsilon times its size; programs that compute in half types are a few off
    #[arg(long, value_name = "NUMBER", default_value_t = 1.0, allow_negative_numbers = true)]
    pub tolerance: f64,
    #[command(flatten)]
    pub apply: ApplyArgs,
}

/// Where the result goes.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// The output: a file for a model in one file, a directory for one in a directory
    #[arg(long, value_name = "PATH")]
    pub out: PathBuf,
    /// Only check and report what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Replace an existing output
    #[arg(long)]
    pub force: bool,
}

impl OutputArgs {
    pub fn overwrite(&self) -> Overwrite {
        overwrite(self.force)
    }
}

/// Which adapters, and how strongly.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// An adapter: a safetensors file, or a PEFT directory; several are applied in order
    #[arg(long = "adapter", value_name = "ADAPTER", required = true)]
    pub adapters: Vec<PathBuf>,
    /// The multiplier μ of each adapter, in the same order: none, or as many as adapters
    #[arg(long = "multiplier", value_name = "NUMBER", allow_negative_numbers = true, value_parser = finite)]
    pub multipliers: Vec<f64>,
    /// The scale s: `trained`, by the rule of the adapter's dialect; `like-lycoris-merge`, its square, which LyCORIS's merge
    /// applies; or a number
    #[arg(long, value_name = "SCALE", default_value = "trained", allow_negative_numbers = true, value_parser = scale)]
    pub scale: ScaleRule,
    /// What a multiplier does to a DoRA adapter
    #[arg(long, value_name = "FORMULA", default_value = "from-base")]
    pub dora: DoraArg,
    /// Go on without the modules that the base model does not have; none at all is always an error
    #[arg(long)]
    pub allow_unmatched: bool,
    #[command(flatten)]
    pub read: ReadArgs,
}

impl ApplyArgs {
    /// Reads the adapters.
    pub fn read(&self) -> Result<Vec<(Adapter, Strength)>, CliError> {
        let (adapters, multipliers) = (self.adapters.len(), self.multipliers.len());
        if multipliers != 0 && multipliers != adapters {
            return Err(CliError::OneForEach { what: "multiplier", adapters, given: multipliers });
        }
        let multipliers = self.multipliers.iter().copied().chain(std::iter::repeat(1.0));
        let (options, dora) = (self.read.options(), self.dora.into());
        let read =
            |(path, multiplier)| Ok((Adapter::read(path, &options)?, Strength { multiplier, scale: self.scale, dora }));
        self.adapters.iter().zip(multipliers).map(read).collect()
    }

    pub fn unmatched(&self) -> Unmatched {
        unmatched(self.allow_unmatched)
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum DoraArg {
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
