//! A step of data-parallel training, played through message by message: what a formula leaves out is that no two ranks
//! are equally fast.

use lokr_layers::rand::{Rng, SeedableRng, rngs::SmallRng};

use super::step_time::{AllReduceBy, Cluster, Work, split};

/// What [`simulate`] finds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Simulated {
    /// Mean seconds of a step.
    pub step: f64,
    /// Of these, in which the ranks on average compute.
    pub compute: f64,
}

/// Plays `steps` steps of a batch of `batch` samples on `ranks` ranks, each as late as the messages that it waits for.
///
/// The time of computing is that of [`Work`], longer by a random share on each rank in each step, of mean `noise` and
/// exponentially distributed: other programs, page faults, clock rates. The sum is made by the algorithm that
/// [`Cluster::all_reduce`] takes; ranks start a step when they have the sum of the one before.
///
/// # Examples
/// ```
/// use lokr_mpi::{Cluster, Work, simulate};
/// let work = Work { seconds_per_step: 1e-3, seconds_per_sample: 1e-4, bytes: 4e3 };
/// let cluster = Cluster { latency: 1e-6, bandwidth: 1e9 };
/// let quiet = simulate(&work, 64, 8, &cluster, 0.0, 10, 1);
/// assert!((quiet.step / work.step(64, 8, &cluster).total() - 1.0).abs() < 1e-9); // the formula
/// assert!(simulate(&work, 64, 8, &cluster, 0.1, 100, 1).step > 1.1 * quiet.step); // all wait for the slowest
/// ```
pub fn simulate(
    work: &Work,
    batch: usize,
    ranks: usize,
    cluster: &Cluster,
    noise: f64,
    steps: usize,
    seed: u64,
) -> Simulated {
    let ranks = ranks.max(1);
    let mut rng = SmallRng::seed_from_u64(seed);
    let by = AllReduceBy::best(ranks, work.bytes, cluster);
    let (inner, extra) = split(ranks);
    let rounds = by.rounds(inner);
    let message = |share: f64| cluster.latency + share * work.bytes / cluster.bandwidth;
    let share = |rank: usize| batch / ranks + usize::from(rank < batch % ranks);
    let (mut clocks, mut computed) = (vec![0.0_f64; ranks], 0.0);
    let mut before = vec![0.0; inner];
    for _ in 0..steps {
        for (rank, clock) in clocks.iter_mut().enumerate() {
            let plain = work.seconds_per_step + work.seconds_per_sample * share(rank) as f64;
            let late = -noise * (1.0 - rng.random::<f64>()).ln();
            let time = plain * (1.0 + late);
            computed += time;
            *clock += time;
        }
        // Those beyond the power of two give what they have to the first ones.
        for i in 0..extra {
            clocks[i] = clocks[i].max(clocks[inner + i]) + message(1.0);
        }
        for &(distance, share) in &rounds {
            before.copy_from_slice(&clocks[..inner]);
            for (rank, clock) in clocks[..inner].iter_mut().enumerate() {
                *clock = before[rank].max(before[rank ^ distance]) + message(share);
            }
        }
        for i in 0..extra {
            clocks[inner + i] = clocks[i] + message(1.0);
        }
    }
    let steps = steps.max(1) as f64;
    let end = clocks.iter().copied().fold(0.0, f64::max);
    Simulated { step: end / steps, compute: computed / (steps * ranks as f64) }
}
