//! Timing: contenders take turns, sample by sample, so that a noisy machine hurts all of them alike.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Rounds; every contender gives one sample per round.
    pub samples: usize,
    /// A sample repeats its work until it takes at least this long.
    pub sample_time: Duration,
}

/// Something that is timed.
pub struct Contender<'w> {
    work: Box<dyn FnMut() + 'w>,
    repetitions: u32,
    /// One call takes less than a sample, so that a call for warming up is cheap.
    quick: bool,
}

impl<'w> Contender<'w> {
    pub fn new(work: impl FnMut() + 'w) -> Self {
        Self { work: Box::new(work), repetitions: 1, quick: false }
    }

    fn time(&mut self) -> Duration {
        let start = Instant::now();
        for _ in 0..self.repetitions {
            (self.work)();
        }
        black_box(start.elapsed())
    }

    /// Warms up and finds how many repetitions fill a sample.
    fn calibrate(&mut self, sample_time: Duration) {
        if self.time() >= 10 * sample_time {
            return;
        }
        loop {
            let elapsed = self.time();
            if elapsed >= sample_time {
                return;
            }
            self.quick = true;
            let missing = sample_time.as_secs_f64() / elapsed.as_secs_f64().max(1e-9);
            self.repetitions = (f64::from(self.repetitions) * missing.clamp(1.2, 10.0)).ceil() as u32;
        }
    }

    /// Seconds per call in one sample. A call before it brings back the caches that others have used.
    fn sample(&mut self) -> f64 {
        if self.quick {
            (self.work)();
        }
        self.time().as_secs_f64() / f64::from(self.repetitions)
    }
}

/// Seconds per call of one contender, one value per round.
#[derive(Debug, Clone)]
pub struct Times(Vec<f64>);

impl Times {
    pub fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub fn median(&self) -> f64 {
        median(self.0.clone())
    }

    /// Median over the rounds of `combine(this, other)`: both were measured next to each other.
    pub fn paired(&self, other: &Self, combine: impl Fn(f64, f64) -> f64) -> f64 {
        median(self.0.iter().zip(&other.0).map(|(&this, &other)| combine(this, other)).collect())
    }

    /// Median of `this / other`.
    pub fn ratio(&self, other: &Self) -> f64 {
        self.paired(other, |this, other| this / other)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { 0.5 * (values[half - 1] + values[half]) }
}

/// Samples all contenders in turns, there and back: A B C, C B A, …, so that none profits from its place.
pub fn interleaved<const N: usize>(effort: Effort, contenders: [Contender<'_>; N]) -> [Times; N] {
    let mut contenders = contenders;
    contenders.iter_mut().for_each(|contender| contender.calibrate(effort.sample_time));
    let mut times = contenders.each_ref().map(|_| Times(Vec::with_capacity(effort.samples)));
    for round in 0..effort.samples {
        for turn in 0..N {
            let turn = if round % 2 == 0 { turn } else { N - 1 - turn };
            times[turn].0.push(contenders[turn].sample());
        }
    }
    times
}
