//! The program `lokr`: looks into, merges, extracts and converts `LoKr` adapters.
//!
//! What is where, each using only what stands below it:
//!
//! - [`commands`]: one function per subcommand, with its report.
//! - [`args`]: the command line and its help.
//! - [`plot`]: pictures of numbers by module, as SVG or PNG.
//! - [`report`]: how results, warnings and progress are shown.
//! - [`interrupt`]: how an interrupt stops a job.
//! - [`outputs`]: what may be written where, and how.
//! - [`error`]: what can go wrong, the exit code of each, and the option that helps.
//! - [`table`]: plain tables.
//! - [`text`]: how names, counts, numbers and errors are written.
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

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::args::{Cli, Command};
use crate::error::{CliError, hints};
use crate::report::{Format, Reporter, Verbosity};
use crate::text::one_line;

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has enough of it.
        Err(CliError::Print(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let has = |(option, _): &(&str, _)| args::has_option(matches.subcommand_name(), option);
            let hints: Vec<_> = hints(&error).into_iter().filter(has).map(|(_, text)| text).collect();
            let hint = if hints.is_empty() { String::new() } else { format!(" ({})", hints.join("; or ")) };
            // Nothing is left to be done where even this fails.
            let _ = writeln!(std::io::stderr(), "error: {}{hint}", one_line(&error));
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: &Cli) -> Result<(), CliError> {
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
        Command::Verify(args) => commands::verify::run(args, &reporter),
        Command::Doctor => commands::doctor::run(&reporter),
        Command::Completions(args) => commands::completions::run(args),
    }
}
