//! Where a result goes: what every command that writes an adapter or a model has.

use std::path::PathBuf;

use clap::{Arg, Args};
use lokr_checkpoint::Overwrite;

use super::values::overwrite;

/// Where the result goes. A command whose output is something else says so with [`out_is`].
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// The output: a directory for PEFT, a file for the other dialects
    #[arg(long, value_name = "PATH")]
    pub(crate) out: PathBuf,
    /// Replace an existing output
    #[arg(long, display_order = 800)] // After the command's own options.
    pub(crate) force: bool,
}

impl OutputArgs {
    pub(crate) fn overwrite(&self) -> Overwrite {
        overwrite(self.force)
    }
}

/// Tells of a command what its output is.
pub(super) fn out_is(help: &'static str) -> impl Fn(Arg) -> Arg {
    move |arg| if arg.get_id() == "out" { arg.help(help) } else { arg }
}
