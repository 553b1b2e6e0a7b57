//! How long a step of data-parallel training takes, by a formula.

/// The network of a cluster.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cluster {
    /// Seconds that a message of no length takes from one rank to another.
    pub latency: f64,
    /// Bytes that a rank sends and receives in a second.
    pub bandwidth: f64,
}

/// How much there is to do in a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// Seconds that a step takes on every rank whatever the number of samples: reading the frozen weights, the
    /// optimizer's step.
    pub seconds_per_step: f64,
    /// Seconds that each sample adds.
    pub seconds_per_sample: f64,
    /// Bytes of the gradients, in one message.
    pub bytes: f64,
}

/// Seconds of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepTime {
    /// In computing, on the rank with most samples.
    pub compute: f64,
    /// In adding up the gradients of all ranks.
    pub communication: f64,
}

impl StepTime {
    /// The two together: a step ends when all gradients are added up.
    pub fn total(&self) -> f64 {
        self.compute + self.communication
    }
}

/// How ranks add up what they have: rounds in which each sends to one other and receives as much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AllReduceBy {
    /// Everything in every round: few rounds, for few bytes.
    RecursiveDoubling,
    /// Halves of halves there and back: twice the rounds, for many bytes.
    Rabenseifner,
}

impl AllReduceBy {
    /// The shares of all bytes that go over the network in the rounds of `ranks`, a power of two, each with the
    /// distance of the two ranks.
    pub(crate) fn rounds(self, ranks: usize) -> Vec<(usize, f64)> {
        let distances = (0..ranks.trailing_zeros()).map(|k| 1_usize << k);
        match self {
            Self::RecursiveDoubling => distances.map(|distance| (distance, 1.0)).collect(),
            Self::Rabenseifner => {
                let there: Vec<_> = distances.map(|distance| (distance, 0.5 / distance as f64)).collect();
                there.iter().chain(there.iter().rev()).copied().collect()
            }
        }
    }

    /// Whichever is faster.
    pub(crate) fn best(ranks: usize, bytes: f64, cluster: &Cluster) -> Self {
        let time = |by: Self| by.seconds(ranks, bytes, cluster);
        if time(Self::RecursiveDoubling) <= time(Self::Rabenseifner) {
            Self::RecursiveDoubling
        } else {
            Self::Rabenseifner
        }
    }

    fn seconds(self, ranks: usize, bytes: f64, cluster: &Cluster) -> f64 {
        let (inner, extra) = split(ranks);
        let message = |share: f64| cluster.latency + share * bytes / cluster.bandwidth;
        let rounds: f64 = self.rounds(inner).into_iter().map(|(_, share)| message(share)).sum();
        rounds + if extra > 0 { 2.0 * message(1.0) } else { 0.0 }
    }
}

/// The largest power of two among `ranks`, and how many are left: these give what they have to another before the
/// rounds, and get the sum after them.
pub(crate) fn split(ranks: usize) -> (usize, usize) {
    let inner = 1 << ranks.max(1).ilog2();
    (inner, ranks.max(1) - inner)
}

impl Cluster {
    /// Seconds in which `ranks` add up so many bytes.
    ///
    /// # Method
    /// The faster of recursive doubling, `⌈log₂ p⌉·(α + n/β)`, and Rabenseifner's algorithm, `2·log₂ p·α + 2·(1 −
    /// 1/p)·n/β`, for a latency `α` and a bandwidth `β`; other numbers than powers of two take two messages more.
    /// Adding is not counted: it is faster than any network. Source: Thakur, Rabenseifner & Gropp, *Optimization of
    /// Collective Communication Operations in MPICH* (2005).
    ///
    /// # Examples
    /// ```
    /// use lokr_mpi::Cluster;
    /// let cluster = Cluster { latency: 2e-6, bandwidth: 1e9 };
    /// assert_eq!(cluster.all_reduce(1, 1e6), 0.0);
    /// assert!((cluster.all_reduce(8, 1e3) - 3.0 * (2e-6 + 1e-6)).abs() < 1e-12); // three rounds of everything
    /// assert!(cluster.all_reduce(1024, 1e8) < 0.21); // twice the bytes, whatever the number of ranks
    /// ```
    pub fn all_reduce(&self, ranks: usize, bytes: f64) -> f64 {
        AllReduceBy::best(ranks, bytes, self).seconds(ranks, bytes, self)
    }
}

impl Work {
    /// The time of a step of `batch` samples, shared out to `ranks` as evenly as whole samples can be.
    ///
    /// # Examples
    /// ```
    /// use lokr_mpi::{Cluster, Work};
    /// let work = Work { seconds_per_step: 1e-3, seconds_per_sample: 1e-3, bytes: 4e3 };
    /// let cluster = Cluster { latency: 1e-6, bandwidth: 1e9 };
    /// let time = work.step(32, 5, &cluster);
    /// assert!((time.compute - 8e-3).abs() < 1e-12); // seven samples on the first ranks
    /// assert!(time.communication < 3e-5);
    /// ```
    pub fn step(&self, batch: usize, ranks: usize, cluster: &Cluster) -> StepTime {
        let most = batch.div_ceil(ranks.max(1)) as f64;
        let compute = self.seconds_per_step + self.seconds_per_sample * most;
        StepTime { compute, communication: cluster.all_reduce(ranks, self.bytes) }
    }

    /// How much faster than one rank `ranks` make the same step.
    pub fn speedup(&self, batch: usize, ranks: usize, cluster: &Cluster) -> f64 {
        self.step(batch, 1, cluster).total() / self.step(batch, ranks, cluster).total()
    }

    /// The power of two of ranks, at most `most`, with which a step is fastest; of equally fast ones the smallest. It
    /// stops scaling there.
    pub fn fastest(&self, batch: usize, most: usize, cluster: &Cluster) -> usize {
        let all = std::iter::successors(Some(1_usize), |ranks| ranks.checked_mul(2)).take_while(|&ranks| ranks <= most);
        let time = |ranks: &usize| self.step(batch, *ranks, cluster).total();
        all.min_by(|first, second| time(first).total_cmp(&time(second))).unwrap_or(1)
    }
}
