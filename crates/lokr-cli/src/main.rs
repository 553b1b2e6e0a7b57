//! The program `lokr`, whose code is the library beside it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(lokr_cli::run(std::env::args_os()))
}
