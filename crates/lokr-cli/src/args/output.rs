//! Where a result goes: what every command that writes an adapter or a model has.

use std::path::PathBuf;

use clap::Args;
use lokr_checkpoint::Overwrite;

use super::values::overwrite;

/// Where the result goes. A command says by `mut_arg` what else its `--out` is.
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
