//! What is allocated, counted by the allocator itself.
#![allow(unsafe_code)] // A global allocator is unsafe by nature; this one forwards every call.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard};

thread_local! {
    // Of one thread: the test harness reports the previous test, and allocates, while the next one runs.
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

/// Counts the calls of each thread, the bytes of all threads, and the largest number of bytes alive at once.
///
/// The counters are shared, so tests that use it hold [`CountingAllocator::alone`], or are one.
///
/// # Examples
/// ```
/// use lokr_testing::CountingAllocator;
///
/// #[global_allocator]
/// static ALLOCATOR: CountingAllocator = CountingAllocator::new();
///
/// let _alone = ALLOCATOR.alone();
/// let (calls, peak) = ALLOCATOR.count(|| drop(std::hint::black_box(vec![0u8; 1 << 20])));
/// assert!(calls >= 1 && peak >= 1 << 20);
/// ```
#[derive(Debug)]
pub struct CountingAllocator {
    live: AtomicUsize,
    peak: AtomicUsize,
    lock: Mutex<()>,
}

impl CountingAllocator {
    /// One that has counted nothing yet.
    #[allow(clippy::new_without_default)] // Only a static of it is of use.
    pub const fn new() -> Self {
        Self { live: AtomicUsize::new(0), peak: AtomicUsize::new(0), lock: Mutex::new(()) }
    }

    /// One test at a time, for as long as the guard lives.
    pub fn alone(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Calls of the allocator by this thread while `work` runs, and the most bytes alive above those alive before.
    pub fn count(&self, work: impl FnOnce()) -> (usize, usize) {
        let (calls, live) = (CALLS.get(), self.live.load(SeqCst));
        self.peak.store(live, SeqCst);
        work();
        (CALLS.get() - calls, self.peak.load(SeqCst).saturating_sub(live))
    }
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        let live = self.live.fetch_add(layout.size(), SeqCst) + layout.size();
        self.peak.fetch_max(live, SeqCst);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.live.fetch_sub(layout.size(), SeqCst);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}
