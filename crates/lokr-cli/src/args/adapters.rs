//! The arguments of the commands on adapters.

use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{ArgGroup, Args, ValueEnum};
use lokr_checkpoint::{FactorSize, LoraLayout, Overwrite, Part, Program, ScaleRule, Unmatched};

use super::output::{OutputArgs, out_is};
use super::read::{DialectArg, ReadArgs};
use super::values::{FloatArg, finite, overwrite, programs, scale, unmatched};

/// List the modules of an adapter: shapes, rank, scale, and the size of the change each makes
///
/// The norms are those of s·(w1 ⊗ w2), computed from the factors. The base model is not read unless --base is given.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("drawn").args(["plot", "html"]).multiple(true),
    after_help = "\
Examples:
  lokr inspect adapter.safetensors
  lokr inspect peft-directory --base model.safetensors --plot norms.png
  lokr inspect adapter.safetensors --html adapter.html"
)]
pub(crate) struct InspectArgs {
    /// A safetensors file, or a PEFT directory
    pub(crate) adapter: PathBuf,
    /// Compare with the weights of this model: a file, an index of shards or a directory
    #[arg(long, value_name = "MODEL")]
    pub(crate) base: Option<PathBuf>,
    /// With --base, go on without the modules that it does not have
    #[arg(long, requires = "base")]
    pub(crate) allow_unmatched: bool,
    /// Draw the norms by module into this file, a .svg or a .png
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// Write all of it as one page for a browser: norms, singular values, ranks, and which programs read it
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Overwrite an existing picture or page
    #[arg(long, requires = "drawn")]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

impl InspectArgs {
    pub(crate) fn overwrite(&self) -> Overwrite {
        overwrite(self.force)
    }

    pub(crate) fn unmatched(&self) -> Unmatched {
        unmatched(self.allow_unmatched)
    }
}

/// Tell whether another program reads an adapter as it was trained, module by module, and the command that makes it so
///
/// What each program reads is known from its own sources; it is not run. If one of them does not read all of the file,
/// the exit code is 4.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lokr check adapter.safetensors --for comfyui
  lokr check adapter.safetensors --base model/ --for diffusers --for peft")]
pub(crate) struct CheckArgs {
    /// A safetensors file, or a PEFT directory
    pub(crate) adapter: PathBuf,
    /// The program; may be repeated
    #[arg(long = "for", value_name = "PROGRAM", required = true, value_parser = programs())]
    pub(crate) programs: Vec<Program>,
    /// Look for the modules in this model too
    #[arg(long, value_name = "MODEL")]
    pub(crate) base: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

/// Extract the nearest LoKr of what two models differ by, with the share of the difference that it captures
#[derive(Debug, Args)]
#[command(
    mut_args(out_is("The adapter: a directory for PEFT, a file for the other dialects")),
    after_help = "\
Examples:
  lokr extract --base model/ --tuned finetuned/ --out adapter/ --exclude embed
  lokr extract --base a/ --tuned b/ --to lycoris --rank 16 --out c.safetensors
  lokr extract --base a/ --tuned b/ --to terms --terms 4 --out c.safetensors"
)]
pub(crate) struct ExtractArgs {
    /// The model before
    #[arg(long, value_name = "MODEL")]
    pub(crate) base: PathBuf,
    /// The model after fine-tuning
    #[arg(long, value_name = "MODEL")]
    pub(crate) tuned: PathBuf,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// The dialect to write
    #[arg(long, default_value = "peft")]
    pub(crate) to: DialectArg,
    /// Split sizes by this factor, as PEFT and LyCORIS do; otherwise evenly, or with --energy and another dialect than
    /// PEFT, whose splits all follow one factor, as needs the fewest values
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) factor: Option<i64>,
    #[command(flatten)]
    pub(crate) size: SizeArgs,
    /// Capture more by the sum of this many Kronecker products per module, which only `--to terms` holds
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) terms: usize,
    /// Only modules in whose name this regular expression is found; may be repeated
    #[arg(long, value_name = "REGEX")]
    pub(crate) include: Vec<String>,
    /// Not the modules in whose name this regular expression is found; may be repeated
    #[arg(long, value_name = "REGEX")]
    pub(crate) exclude: Vec<String>,
    /// Take modules for unchanged whose relative change is at most this; 1e-2 passes over rounding to bf16
    #[arg(long, value_name = "CHANGE", default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) min_change: f64,
    /// The type to store factors in; that of the fine-tuned weight otherwise
    #[arg(long)]
    pub(crate) dtype: Option<FloatArg>,
    /// Do part I of N only, for a job array: some of the weights, into a directory beside the output; `lokr join` makes
    /// the adapter of all parts
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Part>,
}

/// Write an adapter in another dialect with the same effect, or as a LoRA
///
/// Underscored names (LyCORIS, kohya) cannot be undone, so converting from them to dotted ones needs --base.
#[derive(Debug, Args)]
#[command(
    mut_args(out_is("The output: a directory for `peft` and `lora`, a file for the others")),
    after_help = "\
Examples:
  lokr convert peft-directory --to lycoris --out adapter.safetensors
  lokr convert adapter.safetensors --base model/ --to peft --out peft-directory
  lokr convert peft-directory --to lora --rank 16 --out lora-directory
  lokr convert a.safetensors --to kohya-lora --rank 64 --out b.safetensors"
)]
pub(crate) struct ConvertArgs {
    /// A safetensors file, or a PEFT directory
    pub(crate) adapter: PathBuf,
    /// The dialect to write, or the programs that a LoRA is for
    #[arg(long)]
    pub(crate) to: Target,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// The model that the adapter is of
    #[arg(long, value_name = "MODEL")]
    pub(crate) base: Option<PathBuf>,
    /// Of a LoRA, its rank: the best one of that rank; the exact one otherwise
    #[arg(long)]
    pub(crate) rank: Option<usize>,
    /// What stands before the new names
    #[arg(long, value_name = "PREFIX")]
    pub(crate) to_prefix: Option<String>,
    /// The type to round tensors to; their own otherwise
    #[arg(long)]
    pub(crate) dtype: Option<FloatArg>,
    /// The scale that the adapter stands for: `trained`, `like-lycoris-merge` or a number
    #[arg(long, value_name = "SCALE", default_value = "trained", allow_negative_numbers = true, value_parser = scale)]
    pub(crate) scale: ScaleRule,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

/// What to convert to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    Dialect(DialectArg),
    Lora(LoraLayout),
}

impl ValueEnum for Target {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Dialect(DialectArg::Peft),
            Self::Dialect(DialectArg::Lycoris),
            Self::Dialect(DialectArg::Kohya),
            Self::Dialect(DialectArg::Dotted),
            Self::Dialect(DialectArg::Terms),
            Self::Lora(LoraLayout::Peft),
            Self::Lora(LoraLayout::Kohya),
            Self::Lora(LoraLayout::Dotted),
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self {
            Self::Dialect(dialect) => return dialect.to_possible_value(),
            Self::Lora(LoraLayout::Peft) => ("lora", "PEFT's LoRA, a directory: for PEFT, llama.cpp, vLLM"),
            Self::Lora(LoraLayout::Kohya) => {
                ("kohya-lora", "kohya's LoRA, a file of `lora_unet_…` names: for most image programs, diffusers too")
            }
            Self::Lora(LoraLayout::Dotted) => {
                ("dotted-lora", "ai-toolkit's LoRA, a file of `diffusion_model.…` names: for ComfyUI and diffusers")
            }
        };
        Some(PossibleValue::new(name).help(help))
    }
}

/// Make an adapter smaller, or split it otherwise: the nearest LoKr of another rank or factor, in the same dialect
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("change").args(["rank", "energy", "factor", "dtype"]).required(true).multiple(true),
    override_usage = "lokr resize <ADAPTER> --out <PATH> <--rank|--energy|--factor|--dtype>",
    after_help = "\
Examples:
  lokr resize adapter.safetensors --energy 0.95 --out small.safetensors
  lokr resize peft-directory --base model/ --factor 16 --rank 8 --out smaller"
)]
pub(crate) struct ResizeArgs {
    /// A safetensors file, or a PEFT directory
    pub(crate) adapter: PathBuf,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) size: SizeArgs,
    /// Split sizes by this factor, as PEFT and LyCORIS do; needs --base, because files do not tell all kernels
    #[arg(long, requires = "base", allow_negative_numbers = true)]
    pub(crate) factor: Option<i64>,
    /// The type to store factors in; their own otherwise
    #[arg(long)]
    pub(crate) dtype: Option<FloatArg>,
    /// The model that the adapter is of
    #[arg(long, value_name = "MODEL")]
    pub(crate) base: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

/// How large w2 may be.
#[derive(Debug, Args)]
pub(crate) struct SizeArgs {
    /// Hold w2 at this rank where programs hold it low-rank
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) rank: Option<usize>,
    /// Hold w2 at the smallest rank that keeps this share of the energy, above 0 and at most 1
    #[arg(long, value_name = "SHARE", conflicts_with = "rank", allow_negative_numbers = true)]
    pub(crate) energy: Option<f64>,
}

impl SizeArgs {
    pub(crate) fn size(&self) -> Option<FactorSize> {
        self.rank.map(FactorSize::Rank).or(self.energy.map(FactorSize::Energy))
    }
}

/// Make the best single LoKr of a weighted sum of adapters, without forming a weight
///
/// The sum of Kronecker products is in general none; the report says what share of it the best one holds.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  lokr combine --adapter a/ --weight 0.7 --adapter b/ --weight 0.3 --out both/")]
pub(crate) struct CombineArgs {
    /// An adapter; all are of one dialect and split each module alike, and the result is named like the first
    #[arg(long = "adapter", value_name = "ADAPTER", required = true)]
    pub(crate) adapters: Vec<PathBuf>,
    /// The weight of each adapter, in the same order: none, or as many as adapters
    #[arg(long = "weight", value_name = "NUMBER", allow_negative_numbers = true, value_parser = finite)]
    pub(crate) weights: Vec<f64>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) size: SizeArgs,
    /// The model that the adapters are of, which tells the kernels of convolutions where files do not
    #[arg(long, value_name = "MODEL")]
    pub(crate) base: Option<PathBuf>,
    /// The type to store sums in; the widest of the summands' otherwise. What one adapter alone has keeps its own
    #[arg(long)]
    pub(crate) dtype: Option<FloatArg>,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}
