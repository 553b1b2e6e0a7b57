//! The program `lokr`: looks into, merges, extracts and converts `LoKr` adapters.
//!
//! As a library it is for programs that run it as a part of theirs, as `lokr-mpi` does: [`run`], [`output_of`].
//!
//! What is where, each using only what stands below it:
//!
//! - `commands`: one function per subcommand, with its report.
//! - `args`: the command line and its help.
//! - `plot`: pictures of numbers by module, as SVG or PNG.
//! - `report`: how results, warnings and progress are shown.
//! - `interrupt`: how an interrupt stops a job.
//! - `outputs`: what may be written where, and how.
//! - `error`: what can go wrong, the exit code of each, and the option that helps.
//! - `table`: plain tables.
//! - `text`: how names, counts, numbers and errors are written.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod error;
mod interrupt;
mod outputs;
mod plot;
mod report;
mod table;
mod text;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches};

use crate::args::{Cli, Command};
use crate::error::{CliError, hints};
use crate::report::{Format, Reporter, Verbosity};
use crate::text::one_line;

/// Runs the program with these arguments, the first of which is its name: reports go to standard output, errors to
/// standard error. The exit code.
///
/// # Examples
/// ```
/// assert_eq!(lokr_cli::run(["lokr", "merge", "--no-such-option"]), 2);
/// ```
pub fn run<A: Into<OsString> + Clone>(arguments: impl IntoIterator<Item = A>) -> u8 {
    let cli = match Cli::command().try_get_matches_from(arguments) {
        Ok(matches) => Cli::from_arg_matches(&matches).map(|cli| (cli, matches.subcommand_name().map(str::to_owned))),
        Err(error) => Err(error),
    };
    let (cli, command) = match cli {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors to `clap`, with the code 0.
            let _ = error.print();
            return error.exit_code().try_into().unwrap_or(u8::MAX);
        }
    };
    match execute(&cli) {
        Ok(()) => 0,
        // Whoever read the output has enough of it.
        Err(CliError::Print(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => 0,
        Err(error) => {
            let has = |(option, _): &(&str, _)| args::has_option(command.as_deref(), option);
            let hints: Vec<_> = hints(&error).into_iter().filter(has).map(|(_, text)| text).collect();
            let hint = if hints.is_empty() { String::new() } else { format!(" ({})", hints.join("; or ")) };
            // Nothing is left to be done where even this fails.
            let _ = writeln!(std::io::stderr(), "error: {}{hint}", one_line(&error));
            error.exit_code()
        }
    }
}

/// Where the output of a command goes that can be done in parts, and whether it may replace what is there; nothing for
/// other commands and for a command line that is wrong.
///
/// # Examples
/// ```
/// let arguments = ["lokr", "merge", "--base", "model/", "--adapter", "adapter/", "--out", "merged/"];
/// assert_eq!(lokr_cli::output_of(arguments), Some(("merged/".into(), false)));
/// assert_eq!(lokr_cli::output_of(["lokr", "doctor"]), None);
/// ```
pub fn output_of<A: Into<OsString> + Clone>(arguments: impl IntoIterator<Item = A>) -> Option<(PathBuf, bool)> {
    let matches = Cli::command().try_get_matches_from(arguments).ok()?;
    let output = match Cli::from_arg_matches(&matches).ok()?.command {
        Command::Merge(args) => args.change.output,
        Command::Extract(args) => args.output,
        _ => return None,
    };
    Some((output.out, output.force))
}

fn execute(cli: &Cli) -> Result<(), CliError> {
    let reporter = Reporter {
        format: if cli.json { Format::Json } else { Format::Text },
        verbosity: if cli.quiet { Verbosity::Quiet } else { Verbosity::Normal },
    };
    match &cli.command {
        Command::Inspect(args) => commands::inspect::run(args, &reporter),
        Command::Check(args) => commands::check::run(args, &reporter),
        Command::Merge(args) => commands::merge::run(args, &reporter),
        Command::Unmerge(args) => commands::merge::run_unmerge(args, &reporter),
        Command::Extract(args) => commands::extract::run(args, &reporter),
        Command::Resize(args) => commands::resize::run(args, &reporter),
        Command::Combine(args) => commands::combine::run(args, &reporter),
        Command::Convert(args) => commands::convert::run(args, &reporter),
        Command::Join(args) => commands::join::run(args, &reporter),
        Command::Verify(args) => commands::verify::run(args, &reporter),
        Command::Doctor => commands::doctor::run(&reporter),
        Command::Completions(args) => commands::completions::run(args),
    }
}
