//! Ctrl-C, and a request to end from the system: a job is told to stop, so that it takes its temporary files with it.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{CliError, INTERRUPTED};

/// A process may run several jobs, and sets its handler once.
static IS_CAUGHT: AtomicBool = AtomicBool::new(false);

static STOP_REQUESTED: AtomicBool = AtomicBool::new(false);

/// From now on the first interrupt is noted; only a second one ends the program at once.
pub(crate) fn catch() -> Result<(), CliError> {
    if IS_CAUGHT.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let handler = || {
        if STOP_REQUESTED.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED.into());
        }
    };
    ctrlc::set_handler(handler).map_err(CliError::Signal)
}

/// What a job is told whenever it reports its progress: to stop, once an interrupt has been noted.
pub(crate) fn continue_unless_interrupted() -> ControlFlow<()> {
    if STOP_REQUESTED.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}
