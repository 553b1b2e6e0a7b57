//! What long jobs say while they run.

use std::ops::ControlFlow;

use crate::error::{JobError, Result};

/// How far a job is: `done` of `total` modules, or tensors of two models where those are compared, and which comes next.
/// The last call has `done == total`.
///
/// The caller returns whether to go on; [`ControlFlow::Break`] ends the job with [`JobError::Interrupted`].
///
/// # Examples
/// ```
/// use std::ops::ControlFlow;
///
/// let mut print = |at: lokr_checkpoint::JobProgress<'_>| {
///     println!("{}/{} {}", at.done, at.total, at.name);
///     ControlFlow::<()>::Continue(())
/// };
/// assert!(print(lokr_checkpoint::JobProgress { done: 2, total: 7, name: "layers.0.q_proj" }).is_continue());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobProgress<'a> {
    /// Those finished, or being worked on by other threads.
    pub done: usize,
    /// Those in all.
    pub total: usize,
    /// The one that comes next; empty at the end.
    pub name: &'a str,
}

impl JobProgress<'_> {
    /// Tells the caller; an error if it wants to stop.
    pub(crate) fn tell(self, progress: &mut dyn FnMut(JobProgress<'_>) -> ControlFlow<()>) -> Result<(), JobError> {
        go_on(progress(self))
    }
}

/// What a running job tells its caller, who returns whether to go on.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// Everything is checked; so many tensors and bytes follow.
    Started {
        /// Tensors to come.
        tensors: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// A tensor has been read and handed on.
    Tensor {
        /// Its name.
        name: &'a str,
        /// Its bytes.
        bytes: u64,
    },
    /// All tensors are on their way; the files are being completed.
    Finishing,
}

impl Progress<'_> {
    /// Tells the caller; an error if it wants to stop.
    pub(crate) fn tell(self, progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>) -> Result<(), JobError> {
        go_on(progress(self))
    }
}

/// What a job makes of its caller's answer: an error to stop with.
pub(crate) fn go_on(answer: ControlFlow<()>) -> Result<(), JobError> {
    match answer {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(JobError::Interrupted),
    }
}
