//! The command line. The comments on its fields are the program's help.

use std::path::PathBuf;

use clap::{ArgGroup, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use lokr_checkpoint::{
    Adapter, Dialect, DoraStrength, FactorSize, FloatType, ForeignTensors, NonFinite, Overwrite, ReadOptions,
    ScaleRule, Strength, Unmatched, ZeroAlpha,
};

use crate::error::CliError;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  2    the command line is wrong, or an output exists and --force is not given
  3    a file is damaged, is not what it should be, or does not fit the others
  4    verify found a difference
  5    the system could not read or write
  130  interrupted

`lokr help COMMAND` shows an example of each command.";

/// Looks into LoKr adapters (W + s·(A ⊗ B)), merges, extracts and converts them, without PyTorch and without the model in memory
#[derive(Debug, Parser)]
#[command(name = "lokr", version, after_help = EXIT_CODES, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Print the report as JSON
    #[arg(long, global = true, display_order = 900)]
    pub json: bool,
    /// No progress bars, and no report where the result is a file; warnings and errors are still printed
    #[arg(long, short, global = true, display_order = 901)]
    pub quiet: bool,
}

/// Whether a command has an option of that long name.
pub fn has_option(command: Option<&str>, long: &str) -> bool {
    let cli = Cli::command();
    let command = command.and_then(|name| cli.find_subcommand(name));
    command.is_some_and(|command| command.get_arguments().any(|option| option.get_long() == Some(long)))
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Inspect(InspectArgs),
    Merge(MergeArgs),
    Unmerge(UnmergeArgs),
    Verify(VerifyArgs),
    Extract(ExtractArgs),
    Convert(ConvertArgs),
    Resize(ResizeArgs),
    Combine(CombineArgs),
    /// Show version, backend, threads and processor features, and measure the rate of matrix products for a second
    ///
    /// The rate is that of square products on all threads: the machine's limit for what takes long here, extraction above all.
    /// Merging is bound by memory and disk instead. The environment variable RAYON_NUM_THREADS sets the number of threads.
    #[command(after_help = "Examples:\n  lokr doctor\n  RAYON_NUM_THREADS=1 lokr doctor --json")]
    Doctor,
    Completions(CompletionsArgs),
}

/// List the modules of an adapter: shapes, rank, scale, and the size of the change each makes
///
/// The norms are those of s·(w1 ⊗ w2), computed from the factors. The base model is not read unless --base is given.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lokr inspect adapter.safetensors
  lokr inspect peft-directory --base model.safetensors --plot norms.png")]
pub struct InspectArgs {
    /// A safetensors file, or a PEFT directory
    pub adapter: PathBuf,
    /// Compare with the weights of this model: a file, an index of shards or a directory
    #[arg(long, value_name = "MODEL")]
    pub base: Option<PathBuf>,
    /// With --base, go on without the modules that it does not have
    #[arg(long, requires = "base")]
    pub allow_unmatched: bool,
    /// Draw the norms by module into this file, a .svg or a .png
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Overwrite an existing picture
    #[arg(long, requires = "plot")]
    pub force: bool,
    #[command(flatten)]
    pub read: ReadArgs,
}

impl InspectArgs {
    pub fn unmatched(&self) -> Unmatched {
        unmatched(self.allow_unmatched)
    }
}

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
    /// How far a value may be off, in units of its type's epsilon times its size; programs that compute in half types need 2
    #[arg(long, value_name = "NUMBER", default_value_t = 1.0, allow_negative_numbers = true)]
    pub tolerance: f64,
    #[command(flatten)]
    pub apply: ApplyArgs,
}

/// Extract the nearest LoKr of what two models differ by, with the share of the difference that it captures
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lokr extract --base model/ --tuned finetuned/ --out adapter/ --exclude embed
  lokr extract --base a.safetensors --tuned b.safetensors --to lycoris --rank 16 --out adapter.safetensors
  lokr extract --base a.safetensors --tuned b.safetensors --to terms --terms 4 --out sums.safetensors")]
pub struct ExtractArgs {
    /// The model before
    #[arg(long, value_name = "MODEL")]
    pub base: PathBuf,
    /// The model after fine-tuning
    #[arg(long, value_name = "MODEL")]
    pub tuned: PathBuf,
    /// The adapter: a directory for PEFT, a file for the other dialects
    #[arg(long, value_name = "PATH")]
    pub out: PathBuf,
    /// The dialect to write
    #[arg(long, default_value = "peft")]
    pub to: DialectArg,
    /// Split sizes by this factor, as PEFT and LyCORIS do; otherwise evenly, or with --energy as needs the fewest values
    #[arg(long)]
    pub factor: Option<i64>,
    #[command(flatten)]
    pub size: SizeArgs,
    /// Capture more by the sum of this many Kronecker products per module, which only `--to terms` holds
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub terms: usize,
    /// Only modules in whose name this regular expression is found; may be repeated
    #[arg(long, value_name = "REGEX")]
    pub include: Vec<String>,
    /// Not the modules in whose name this regular expression is found; may be repeated
    #[arg(long, value_name = "REGEX")]
    pub exclude: Vec<String>,
    /// Take modules for unchanged whose relative change is at most this; 1e-2 passes over rounding to bf16
    #[arg(long, value_name = "CHANGE", default_value_t = 0.0)]
    pub min_change: f64,
    /// The type to store factors in; that of the fine-tuned weight otherwise
    #[arg(long)]
    pub dtype: Option<FloatArg>,
    /// Replace an existing output
    #[arg(long)]
    pub force: bool,
}

impl ExtractArgs {
    pub fn overwrite(&self) -> Overwrite {
        overwrite(self.force)
    }
}

/// Write an adapter in another dialect with the same effect, or as a LoRA
///
/// Underscored names (LyCORIS, kohya) cannot be undone, so converting from them to dotted ones needs --base.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lokr convert peft-directory --to lycoris --out adapter.safetensors
  lokr convert adapter.safetensors --base model.safetensors --to peft --out peft-directory
  lokr convert peft-directory --to lora --rank 16 --out lora-directory")]
pub struct ConvertArgs {
    /// A safetensors file, or a PEFT directory
    pub adapter: PathBuf,
    /// `peft`, `lycoris`, `kohya`, `dotted`, `terms`; or `lora`, PEFT's LoRA
    #[arg(long, value_parser = target)]
    pub to: Target,
    /// The output: a directory for PEFT and LoRA, a file for the others
    #[arg(long, value_name = "PATH")]
    pub out: PathBuf,
    /// The model that the adapter is of
    #[arg(long, value_name = "MODEL")]
    pub base: Option<PathBuf>,
    /// The rank of the LoRA, which is then the best of that rank; the exact one otherwise
    #[arg(long)]
    pub rank: Option<usize>,
    /// What stands before the new names
    #[arg(long, value_name = "PREFIX")]
    pub to_prefix: Option<String>,
    /// The type to round tensors to; their own otherwise
    #[arg(long)]
    pub dtype: Option<FloatArg>,
    /// The scale that the adapter stands for: `trained`, `like-lycoris-merge` or a number; not for LoRA
    #[arg(long, value_name = "SCALE", default_value = "trained", allow_negative_numbers = true, value_parser = scale)]
    pub scale: ScaleRule,
    /// Replace an existing output
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub read: ReadArgs,
}

impl ConvertArgs {
    pub fn overwrite(&self) -> Overwrite {
        overwrite(self.force)
    }
}

/// Make an adapter smaller, or split it otherwise: the nearest LoKr of another rank or factor, in the same dialect
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("change").args(["rank", "energy", "factor", "dtype"]).required(true).multiple(true),
    after_help = "\
Examples:
  lokr resize adapter.safetensors --energy 0.95 --out small.safetensors
  lokr resize peft-directory --base model/ --factor 16 --rank 8 --out other-directory"
)]
pub struct ResizeArgs {
    /// A safetensors file, or a PEFT directory
    pub adapter: PathBuf,
    /// The output: a directory for PEFT, a file for the other dialects
    #[arg(long, value_name = "PATH")]
    pub out: PathBuf,
    #[command(flatten)]
    pub size: SizeArgs,
    /// Split sizes by this factor, as PEFT and LyCORIS do; needs --base, because files do not tell all kernels
    #[arg(long, requires = "base", allow_negative_numbers = true)]
    pub factor: Option<i64>,
    /// The type to store factors in; their own otherwise
    #[arg(long)]
    pub dtype: Option<FloatArg>,
    /// The model that the adapter is of
    #[arg(long, value_name = "MODEL")]
    pub base: Option<PathBuf>,
    /// Replace an existing output
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub read: ReadArgs,
}

impl ResizeArgs {
    pub fn overwrite(&self) -> Overwrite {
        overwrite(self.force)
    }
}

/// How large w2 may be.
#[derive(Debug, Args)]
pub struct SizeArgs {
    /// Hold w2 at this rank where programs hold it low-rank
    #[arg(long)]
    pub rank: Option<usize>,
    /// Hold w2 at the smallest rank that keeps this share of the energy, above 0 and at most 1
    #[arg(long, value_name = "SHARE", conflicts_with = "rank")]
    pub energy: Option<f64>,
}

impl SizeArgs {
    pub fn size(&self) -> Option<FactorSize> {
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
pub struct CombineArgs {
    /// An adapter; all are of one dialect and split each module alike, and the result is named like the first
    #[arg(long = "adapter", value_name = "ADAPTER", required = true)]
    pub adapters: Vec<PathBuf>,
    /// The weight of each adapter, in the same order: none, or as many as adapters
    #[arg(long = "weight", value_name = "NUMBER", allow_negative_numbers = true, value_parser = finite)]
    pub weights: Vec<f64>,
    /// The output: a directory for PEFT, a file for the other dialects
    #[arg(long, value_name = "PATH")]
    pub out: PathBuf,
    #[command(flatten)]
    pub size: SizeArgs,
    /// The model that the adapters are of, which tells the kernels of convolutions where files do not
    #[arg(long, value_name = "MODEL")]
    pub base: Option<PathBuf>,
    /// The type to store sums in; the widest of the summands' otherwise
    #[arg(long)]
    pub dtype: Option<FloatArg>,
    /// Replace an existing output
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub read: ReadArgs,
}

impl CombineArgs {
    pub fn overwrite(&self) -> Overwrite {
        overwrite(self.force)
    }
}

fn overwrite(force: bool) -> Overwrite {
    if force { Overwrite::Replace } else { Overwrite::Refuse }
}

/// What to convert to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Dialect(Dialect),
    Lora,
}

fn target(text: &str) -> Result<Target, String> {
    if text == "lora" {
        return Ok(Target::Lora);
    }
    DialectArg::from_str(text, false)
        .map(|dialect| Target::Dialect(dialect.into()))
        .map_err(|_| "expected peft, lycoris, kohya, dotted, terms or lora".to_owned())
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum FloatArg {
    F16,
    Bf16,
    F32,
    F64,
}

impl From<FloatArg> for FloatType {
    fn from(kind: FloatArg) -> Self {
        match kind {
            FloatArg::F16 => Self::F16,
            FloatArg::Bf16 => Self::Bf16,
            FloatArg::F32 => Self::F32,
            FloatArg::F64 => Self::F64,
        }
    }
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
            return Err(CliError::Multipliers { adapters, multipliers });
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

fn unmatched(allowed: bool) -> Unmatched {
    if allowed { Unmatched::Allow } else { Unmatched::Refuse }
}

fn finite(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err("expected a finite number".to_owned()),
    }
}

fn scale(text: &str) -> Result<ScaleRule, String> {
    match text {
        "trained" => Ok(ScaleRule::Trained),
        "like-lycoris-merge" => Ok(ScaleRule::LikeLycorisMerge),
        _ => finite(text)
            .map(ScaleRule::Fixed)
            .map_err(|_| "expected `trained`, `like-lycoris-merge` or a finite number".to_owned()),
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

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lokr completions bash > ~/.local/share/bash-completion/completions/lokr
  lokr completions zsh > ~/.zfunc/_lokr
  lokr completions fish > ~/.config/fish/completions/lokr.fish
  lokr completions powershell >> $PROFILE")]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// How to read adapters.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reading adapters")]
pub struct ReadArgs {
    /// The dialect, instead of detecting it
    #[arg(long)]
    pub dialect: Option<DialectArg>,
    /// What stands before the names of a LyCORIS file instead of `lycoris_`
    #[arg(long)]
    pub prefix: Option<String>,
    /// PEFT's adapter_config.json, where it is not beside the tensors
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Accept NaN and infinite values in factors
    #[arg(long)]
    pub allow_non_finite: bool,
    /// Leave out tensors of other algorithms instead of refusing them
    #[arg(long)]
    pub skip_foreign: bool,
    /// What an alpha of 0 beside a low-rank factor means: alpha = rank (LyCORIS) or scale 0 (ComfyUI); refused otherwise
    #[arg(long, value_name = "MEANING")]
    pub zero_alpha: Option<ZeroAlphaArg>,
}

impl ReadArgs {
    pub fn options(&self) -> ReadOptions {
        ReadOptions {
            dialect: self.dialect.map(Dialect::from),
            prefix: self.prefix.clone(),
            config: self.config.clone(),
            non_finite: if self.allow_non_finite { NonFinite::Allow } else { NonFinite::Refuse },
            foreign: if self.skip_foreign { ForeignTensors::Skip } else { ForeignTensors::Refuse },
            zero_alpha: match self.zero_alpha {
                None => ZeroAlpha::Refuse,
                Some(ZeroAlphaArg::Rank) => ZeroAlpha::Rank,
                Some(ZeroAlphaArg::Zero) => ZeroAlpha::Zero,
            },
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum DialectArg {
    /// PEFT: a directory, or its tensors alone
    Peft,
    /// LyCORIS's wrapper: `lycoris_` and the path with underscores
    Lycoris,
    /// kohya's scripts and OneTrainer: `lora_unet_`, `lora_te_` and the path with underscores
    Kohya,
    /// ai-toolkit and ComfyUI: the path with dots
    Dotted,
    /// lokr's own, for sums of several products per module: the path with dots, then `.term0`, `.term1`
    Terms,
}

impl From<DialectArg> for Dialect {
    fn from(dialect: DialectArg) -> Self {
        match dialect {
            DialectArg::Peft => Self::Peft,
            DialectArg::Lycoris => Self::Lycoris,
            DialectArg::Kohya => Self::Kohya,
            DialectArg::Dotted => Self::Dotted,
            DialectArg::Terms => Self::Terms,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ZeroAlphaArg {
    Rank,
    Zero,
}
