//! Peak memory of a job.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Looks at this process's anonymous memory every few milliseconds, above what there is at the start.
pub(crate) struct Watch {
    running: Arc<(AtomicBool, AtomicUsize)>,
    before: usize,
}

impl Watch {
    /// From now on.
    pub(crate) fn start() -> Self {
        let running = Arc::new((AtomicBool::new(true), AtomicUsize::new(0)));
        let shared = running.clone();
        std::thread::spawn(move || {
            while shared.0.load(Relaxed) {
                shared.1.fetch_max(anonymous(), Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Self { running, before: anonymous() }
    }

    /// The most there was since, or 0 where the system does not tell.
    pub(crate) fn stop(self) -> usize {
        self.running.0.store(false, Relaxed);
        self.running.1.load(Relaxed).saturating_sub(self.before)
    }
}

/// Bytes of anonymous memory in use, or 0 where the system does not tell.
fn anonymous() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok()).map_or(0, |kib| kib * 1024)
}
