//! Ranks that are threads of one process: for tests, and for a first look without MPI.

use std::any::Any;
use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use lokr_layers::{AllReduce, Communicator, LayerError, Result};

/// A rank that is a thread. What any rank gives is seen by all, and sums are made in the order of ranks.
///
/// Where a rank ends before the others, by an error, a panic or because its program makes fewer calls, those who wait
/// for it get [`LayerError::Communication`].
#[derive(Debug)]
pub struct Threads {
    rank: usize,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    size: usize,
    round: Mutex<Round>,
    changed: Condvar,
}

/// What ranks have given since all of them last had.
#[derive(Debug, Default)]
struct Round {
    number: u64,
    given: Vec<Option<Gift>>,
    /// What all have given in the round before.
    complete: Arc<Vec<Gift>>,
    ended: Option<usize>,
}

type Gift = Box<dyn Any + Send + Sync>;

impl Threads {
    /// Runs `program` on `size` ranks at once; their results, in the order of ranks.
    ///
    /// # Panics
    /// If a rank does, with what it panicked with.
    /// # Examples
    /// ```
    /// use lokr_layers::{AllReduce, Communicator};
    /// use lokr_mpi::Threads;
    ///
    /// let sums = Threads::run(3, |ranks| {
    ///     let mut values = [1.0, ranks.rank() as f64];
    ///     ranks.sum(&mut values).map(|()| values)
    /// });
    /// assert_eq!(sums, [Ok([3.0, 3.0]), Ok([3.0, 3.0]), Ok([3.0, 3.0])]);
    /// ```
    pub fn run<R: Send>(size: usize, program: impl Fn(&Self) -> R + Sync) -> Vec<R> {
        let round = Round { given: (0..size).map(|_| None).collect(), ..Round::default() };
        let shared = Arc::new(Shared { size, round: Mutex::new(round), changed: Condvar::new() });
        let (program, shared) = (&program, &shared);
        thread::scope(|scope| {
            let start = |rank| scope.spawn(move || program(&Self { rank, shared: Arc::clone(shared) }));
            let ranks: Vec<_> = (0..size).map(start).collect();
            ranks.into_iter().map(|rank| rank.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        })
    }

    /// What all ranks give, once all have given something.
    fn exchange(&self, what: &'static str, own: Gift) -> Result<Arc<Vec<Gift>>> {
        let Shared { size, changed, .. } = &*self.shared;
        let mut round = self.shared.lock();
        let number = round.number;
        round.given[self.rank] = Some(own);
        if round.given.iter().all(Option::is_some) {
            round.complete = Arc::new(round.given.iter_mut().filter_map(Option::take).collect());
            round.number += 1;
            changed.notify_all();
        }
        // Nobody can be two rounds ahead: the next one is complete only with what this rank gives to it.
        while round.number == number {
            if let Some(ended) = round.ended {
                let message = format!("rank {ended} of {size} has ended");
                return Err(LayerError::Communication { what, message });
            }
            round = changed.wait(round).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(Arc::clone(&round.complete))
    }
}

impl Shared {
    /// Nothing panics while it is locked, and each change is complete by itself.
    fn lock(&self) -> MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.lock().ended.get_or_insert(self.rank);
        self.shared.changed.notify_all();
    }
}

impl Communicator for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.shared.size
    }

    fn gather(&self, own: &[u8], _: &[usize], all: &mut Vec<u8>) -> Result<()> {
        let given = self.exchange("gather bytes", Box::new(own.to_vec()))?;
        all.clear();
        given.iter().filter_map(|bytes| bytes.downcast_ref::<Vec<u8>>()).for_each(|bytes| all.extend(bytes));
        Ok(())
    }
}

impl<T: Copy + std::ops::AddAssign + Send + Sync + 'static> AllReduce<T> for Threads {
    fn sum(&self, values: &mut [T]) -> Result<()> {
        let given = self.exchange("add up numbers", Box::new(values.to_vec()))?;
        let mut given = given.iter().filter_map(|values| values.downcast_ref::<Vec<T>>());
        if let Some(first) = given.next() {
            values.copy_from_slice(first);
        }
        for others in given {
            values.iter_mut().zip(others).for_each(|(sum, &value)| *sum += value);
        }
        Ok(())
    }
}
