//! What long jobs say while they run.

/// How far a job is: `done` of `total` modules, and which comes next. The last call has `done == total`.
///
/// # Examples
/// ```
/// let mut print = |at: lokr_checkpoint::JobProgress<'_>| println!("{}/{} {}", at.done, at.total, at.name);
/// print(lokr_checkpoint::JobProgress { done: 2, total: 7, name: "layers.0.q_proj" });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobProgress<'a> {
    /// Modules finished.
    pub done: usize,
    /// Modules in all.
    pub total: usize,
    /// The module that comes next; empty at the end.
    pub name: &'a str,
}
