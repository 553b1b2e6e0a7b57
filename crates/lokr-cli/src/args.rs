//! The command line. The comments on its fields are the program's help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lokr_checkpoint::{Dialect, ForeignTensors, NonFinite, ReadOptions, ZeroAlpha};

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  2    the command line is wrong, or an output exists and --force is not given
  3    a file is damaged, is not what it should be, or does not fit the others
  5    the system could not read or write

`lokr help COMMAND` shows an example of each command.";

/// Looks into LoKr adapters (W + s·(A ⊗ B)) without PyTorch and without ever forming a product as large as the weight
#[derive(Debug, Parser)]
#[command(name = "lokr", version, after_help = EXIT_CODES, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Print the report as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress bars; warnings and errors are still printed
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Inspect(InspectArgs),
    /// Show version, backend, threads and processor features, and measure the rate of matrix products for a second
    #[command(after_help = "Example:\n  lokr doctor")]
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
  lokr inspect peft-directory --base model.safetensors --plot norms.svg")]
pub struct InspectArgs {
    /// A safetensors file, or a PEFT directory
    pub adapter: PathBuf,
    /// Compare with the weights of this model: a file, an index of shards or a directory
    #[arg(long, value_name = "MODEL")]
    pub base: Option<PathBuf>,
    /// With --base, go on without the modules that it does not have
    #[arg(long, requires = "base")]
    pub allow_unmatched: bool,
    /// Draw the norms by module into this SVG file
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Overwrite an existing picture
    #[arg(long, requires = "plot")]
    pub force: bool,
    #[command(flatten)]
    pub read: ReadArgs,
}

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  lokr completions bash > ~/.local/share/bash-completion/completions/lokr")]
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
}

impl From<DialectArg> for Dialect {
    fn from(dialect: DialectArg) -> Self {
        match dialect {
            DialectArg::Peft => Self::Peft,
            DialectArg::Lycoris => Self::Lycoris,
            DialectArg::Kohya => Self::Kohya,
            DialectArg::Dotted => Self::Dotted,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ZeroAlphaArg {
    Rank,
    Zero,
}
