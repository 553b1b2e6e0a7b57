//! The program `lokr`: looks into, merges, extracts and converts `LoKr` adapters.
//!
//! [`args`] is the command line and its help, [`commands`] holds one function per subcommand, [`report`] is how results,
//! warnings and progress are shown, [`error`] what can go wrong and the exit code of each.
#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used, clippy::expect_used)]
#![allow(unreachable_pub)] // the modules of a program

mod args;
mod commands;
mod error;
mod interrupt;
mod plot;
mod report;
mod table;

use std::io::Write;
use std::process::ExitCode;

use args::{Cli, Command};
use clap::{CommandFactory, FromArgMatches};
use error::{CliError, hint, one_line};
use report::Reporter;

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has enough of it.
        Err(CliError::Print(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let hint = hint(&error).filter(|(option, _)| args::has_option(matches.subcommand_name(), option));
            let hint = hint.map(|(_, text)| format!(" ({text})")).unwrap_or_default();
            // Nothing is left to be done where even this fails.
            let _ = writeln!(std::io::stderr(), "error: {}{hint}", one_line(&error));
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: &Cli) -> Result<(), CliError> {
    let reporter = Reporter::new(cli.json, cli.quiet);
    match &cli.command {
        Command::Inspect(args) => commands::inspect::run(args, &reporter),
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
