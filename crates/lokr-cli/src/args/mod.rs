//! The command line. The comments on its fields are the program's help.
//!
//! - [`adapters`], [`models`]: the arguments of the commands on adapters, and of those on models.
//! - [`read`], [`output`]: what commands have in common that read adapters, and that write something.
//! - [`values`]: what several arguments take as their value.
//!
//! Nothing else of the program is used here.

mod adapters;
mod models;
mod output;
mod read;
mod values;

use clap::{Args, CommandFactory, Parser, Subcommand};

pub(crate) use adapters::{CheckArgs, CombineArgs, ConvertArgs, ExtractArgs, InspectArgs, ResizeArgs, Target};
pub(crate) use models::{ApplyArgs, ChangeArgs, JoinArgs, MergeArgs, UnmergeArgs, VerifyArgs};
pub(crate) use output::OutputArgs;
pub(crate) use read::ReadArgs;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  2    the command line is wrong, or an output exists and --force is not given
  3    a file is damaged, is not what it should be, or does not fit the others
  4    verify found a difference; check: a program does not read the adapter
  5    the system could not read or write
  130  interrupted

`lokr help COMMAND` shows an example of each command.";

/// Looks into LoKr adapters (W + s·(A ⊗ B)), merges, extracts and converts them, without PyTorch and without the model
/// in memory
#[derive(Debug, Parser)]
#[command(name = "lokr", version, after_help = EXIT_CODES, max_term_width = 80)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Print the report as JSON
    #[arg(long, global = true, display_order = 900)]
    pub(crate) json: bool,
    /// No progress bars, and no report where the result is a file; warnings and errors are still printed
    #[arg(long, short, global = true, display_order = 901)]
    pub(crate) quiet: bool,
}

/// Whether a command has an option of that long name.
pub(crate) fn has_option(command: Option<&str>, long: &str) -> bool {
    let cli = Cli::command();
    let command = command.and_then(|name| cli.find_subcommand(name));
    command.is_some_and(|command| command.get_arguments().any(|option| option.get_long() == Some(long)))
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Inspect(InspectArgs),
    Check(CheckArgs),
    Merge(MergeArgs),
    Unmerge(UnmergeArgs),
    Join(JoinArgs),
    Verify(VerifyArgs),
    Extract(ExtractArgs),
    Convert(ConvertArgs),
    Resize(ResizeArgs),
    Combine(CombineArgs),
    /// Show version, backend, threads and processor features, and measure the rate of matrix products for a second
    ///
    /// The rate is that of square products on all threads: the machine's limit for what takes long here, extraction
    /// above all. Merging is bound by memory and disk instead. The environment variable RAYON_NUM_THREADS sets the
    /// number of threads.
    #[command(after_help = "Examples:\n  lokr doctor\n  RAYON_NUM_THREADS=1 lokr doctor --json")]
    Doctor,
    Completions(CompletionsArgs),
}

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lokr completions bash > ~/.local/share/bash-completion/completions/lokr
  lokr completions zsh > ~/.zfunc/_lokr
  lokr completions fish > ~/.config/fish/completions/lokr.fish
  lokr completions powershell >> $PROFILE")]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}
