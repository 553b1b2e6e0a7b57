//! Ctrl-C, and a request to end from the system: a job is told to stop, so that it takes its temporary files with it.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{CliError, INTERRUPTED as INTERRUPTED_CODE};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on the first interrupt is noted; only a second one ends the program at once.
pub fn catch() -> Result<(), CliError> {
    let handler = || {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED_CODE.into());
        }
    };
    ctrlc::set_handler(handler).map_err(CliError::Signal)
}

pub fn happened() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
