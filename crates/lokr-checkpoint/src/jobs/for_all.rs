//! Work on every module of a job, on all threads.

use std::ops::ControlFlow;

use rayon::prelude::*;

use super::progress::Progress;
use crate::error::Result;

/// Modules that a thread takes before the caller can stop the job: a few, so that threads seldom wait for each other.
const PER_THREAD: usize = 2;

/// Does `work` on all items, on all threads, and tells of each in order. The results, and which error is returned, do
/// not depend on the number of threads.
pub(super) fn for_all<I: Sync, R: Send>(
    items: &[I],
    name: impl Fn(&I) -> &str,
    progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    work: impl Fn(&I) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let total = items.len();
    let mut results = Vec::with_capacity(total);
    for turn in items.chunks(PER_THREAD * rayon::current_num_threads()) {
        for (i, item) in turn.iter().enumerate() {
            Progress::Module { done: results.len() + i, total, name: name(item) }.tell(progress)?;
        }
        let done: Vec<_> = turn.par_iter().map(&work).collect();
        for result in done {
            results.push(result?);
        }
    }
    Progress::Module { done: total, total, name: "" }.tell(progress)?;
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{CheckpointError, JobError, ModuleError};

    fn in_pool<R: Send>(threads: usize, job: impl FnOnce() -> R + Send) -> R {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(job)
    }

    #[test]
    fn every_item_is_told_of_and_worked_on_in_order() {
        let names: Vec<_> = (0..17).map(|i| i.to_string()).collect();
        for threads in [1, 2, 5] {
            let mut told = Vec::new();
            let results = in_pool(threads, || {
                let mut progress = |event: Progress<'_>| {
                    if let Progress::Module { done, total, name } = event {
                        told.push((done, total, name.to_owned()));
                    }
                    ControlFlow::Continue(())
                };
                for_all(&names, |name| name, &mut progress, |name| Ok(name.len()))
            });
            assert_eq!(results.unwrap(), names.iter().map(String::len).collect::<Vec<_>>());
            let right = names.iter().cloned().chain([String::new()]).enumerate().map(|(i, name)| (i, 17, name));
            assert_eq!(told, right.collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_error_counts_and_a_break_ends_it() {
        let items: Vec<_> = (0..17).collect();
        let fail = |item: &i32| match item {
            5 | 11 => Err(ModuleError::FactorMissing { module: item.to_string(), factor: "lokr_w1" }.into()),
            _ => Ok(()),
        };
        for threads in [1, 8] {
            let run = |stop_at: usize| {
                in_pool(threads, || {
                    let mut progress = |event: Progress<'_>| match event {
                        Progress::Module { done, .. } if done == stop_at => ControlFlow::Break(()),
                        _ => ControlFlow::Continue(()),
                    };
                    for_all(&items, |_| "", &mut progress, fail)
                })
            };
            assert!(
                matches!(run(17), Err(CheckpointError::Module(ModuleError::FactorMissing { module, .. })) if module == "5")
            );
            assert!(matches!(run(0), Err(CheckpointError::Job(JobError::Interrupted))));
        }
    }
}
