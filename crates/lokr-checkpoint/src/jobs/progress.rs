//! What long jobs say while they run.

use std::ops::ControlFlow;

use crate::error::JobError;

/// What a running job tells its caller.
///
/// The caller returns whether to go on; [`ControlFlow::Break`] ends the job with [`JobError::Interrupted`].
///
/// # Examples
/// ```
/// use std::ops::ControlFlow;
/// use lokr_checkpoint::Progress;
///
/// let mut print = |event: Progress<'_>| {
///     match event {
///         Progress::Started { tensors, .. } => println!("{tensors} tensors"),
///         Progress::Tensor { name, .. } => println!("{name}"),
///         Progress::Module { done, total, name } => println!("{done}/{total} {name}"),
///         _ => {}
///     }
///     ControlFlow::<()>::Continue(())
/// };
/// assert!(print(Progress::Module { done: 2, total: 7, name: "layers.0.q_proj" }).is_continue());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// Of a job on all of a model: everything is checked; so many tensors and bytes follow.
    Started {
        /// Tensors to come.
        tensors: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// Of a job on all of a model: a tensor has been read and handed on.
    Tensor {
        /// Its name.
        name: &'a str,
        /// Its bytes.
        bytes: u64,
    },
    /// Of a job on all of a model: all tensors are on their way; the files are being completed.
    Finishing,
    /// Of a job on modules, or on tensors of two models that are compared: which one comes next. The last event of the
    /// job has `done == total`.
    Module {
        /// Those finished, or being worked on by other threads.
        done: usize,
        /// Those in all.
        total: usize,
        /// The one that comes next; empty at the end.
        name: &'a str,
    },
}

/// The old name of the events of jobs on modules.
#[deprecated(note = "use `Progress`, whose `Module` it was")]
pub type JobProgress<'a> = Progress<'a>;

impl Progress<'_> {
    /// Tells the caller; an error if it wants to stop.
    pub(super) fn tell(self, progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>) -> Result<(), JobError> {
        match progress(self) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(JobError::Interrupted),
        }
    }
}
