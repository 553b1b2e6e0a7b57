//! A job shared out to ranks: each does a part of it, and the first makes the output of them.

use std::fmt::Debug;
use std::path::Path;

use lokr_checkpoint::{CheckpointError, JoinReport, Overwrite, Part, join};
use lokr_layers::{Communicator, LayerError};
use thiserror::Error;

/// Why a job that was shared out has no output.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PartsError<E: Debug> {
    /// This rank could not do its part.
    #[error("{0}")]
    Own(E),
    /// Other ranks could not do theirs.
    #[error("no output, because {} of {size} ranks could not do their parts: {ranks:?}", ranks.len())]
    Others {
        /// Their numbers, from 0.
        ranks: Vec<usize>,
        /// How many ranks there are.
        size: usize,
    },
    /// The ranks could not reach each other.
    #[error(transparent)]
    Communication(#[from] LayerError),
    /// The parts could not be joined.
    #[error(transparent)]
    Join(#[from] CheckpointError),
}

/// Lets each rank do its part of a job whose output is `out`, by `work`, and joins the parts on rank 0, which gets the
/// report. The output appears whole, or if any rank fails not at all; then the parts are removed.
///
/// `work` is [`lokr_checkpoint::merge_part`] or [`lokr_checkpoint::extract_part`], on files that every rank reaches
/// under the same paths; collective, as all that ranks do together.
///
/// # Errors
/// [`PartsError`], on every rank if on one.
/// # Examples
/// ```no_run
/// use std::ops::ControlFlow;
/// use lokr_checkpoint::{Adapter, BaseModel, MergeOptions, Overwrite, ReadOptions, Strength, merge_part};
/// use lokr_mpi::{Threads, in_parts};
///
/// let base = BaseModel::open("model/")?;
/// let adapter = Adapter::read("adapter/", &ReadOptions::default())?;
/// let adapters = [(&adapter, Strength::default())];
/// let options = MergeOptions::default();
/// let done = Threads::run(4, |ranks| {
///     in_parts(ranks, "merged/", Overwrite::Refuse, |part| {
///         merge_part(&base, &adapters, "merged/", part, &options, &mut |_| ControlFlow::Continue(()))
///     })
/// });
/// assert!(done.iter().all(Result::is_ok));
/// # Ok::<(), lokr_checkpoint::CheckpointError>(())
/// ```
pub fn in_parts<R, E: Debug>(
    ranks: &dyn Communicator,
    out: impl AsRef<Path>,
    overwrite: Overwrite,
    work: impl FnOnce(Part) -> Result<R, E>,
) -> Result<(R, Option<JoinReport>), PartsError<E>> {
    let out = out.as_ref();
    let part = Part::new(ranks.rank() + 1, ranks.size())?;
    let done = work(part);
    let failed = who_failed(ranks, done.is_err())?;
    if !failed.is_empty() {
        let removed = match &done {
            Ok(_) => std::fs::remove_dir_all(part.path(out)),
            // Whoever failed has left none, or one of an earlier job that is not this one's to remove.
            Err(_) => Ok(()),
        };
        // Nobody ends the job before all have removed theirs.
        who_failed(ranks, removed.is_err())?;
        removed.map_err(CheckpointError::from)?;
    }
    let done = done.map_err(PartsError::Own)?;
    if !failed.is_empty() {
        return Err(PartsError::Others { ranks: failed, size: ranks.size() });
    }
    let joined = if ranks.rank() == 0 { join(out, overwrite).map(Some) } else { Ok(None) };
    let failed = who_failed(ranks, joined.is_err())?;
    let joined = joined?;
    if !failed.is_empty() {
        return Err(PartsError::Others { ranks: failed, size: ranks.size() });
    }
    Ok((done, joined))
}

/// The ranks that say that they failed.
fn who_failed(ranks: &dyn Communicator, own: bool) -> Result<Vec<usize>, LayerError> {
    let mut all = Vec::new();
    ranks.gather(&[u8::from(own)], &vec![1; ranks.size()], &mut all)?;
    Ok((0..all.len()).filter(|&rank| all[rank] != 0).collect())
}
