//! What the benchmarks share: the named shapes, their operators and flop counts, the naive way, seeded data.
#![allow(dead_code, unreachable_pub, unused_imports)] // Every benchmark uses a part of it.

mod flops;
mod naive;
mod operator;
mod shape;

pub use flops::{backward_flops, forward_flops};
pub use naive::{NaiveGradients, naive_apply, naive_gradients, naive_merge};
pub use operator::{Gradients, Operator};
pub use shape::Shape;

use lokr::core::{Backend, Scalar};
use lokr::layers::rand::rngs::SmallRng;
use lokr::layers::rand::{Rng, SeedableRng};
use ndarray::Array2;

/// The generator that every benchmark starts from, always with the same seed.
pub fn generator() -> SmallRng {
    SmallRng::seed_from_u64(2024)
}

/// Uniform in (-1, 1), never all zero.
pub fn matrix<T: Scalar>(rng: &mut SmallRng, rows: usize, cols: usize) -> Array2<T> {
    Array2::from_shape_simple_fn((rows, cols), || T::from_f64_lossy(rng.random_range(-1.0..1.0)))
}

/// Makes this thread one of the pool's, so that a call starts at once instead of waking a worker and waiting for it. Not
/// with a BLAS, which is called from outside the pool only.
pub fn join_pool() {
    if lokr::core::backend() == Backend::Embedded {
        let joined = rayon::ThreadPoolBuilder::new().use_current_thread().build_global();
        joined.expect("nothing has used the pool yet");
    }
}

/// One line that says what is measured on: backend and threads.
pub fn machine() -> String {
    format!("backend {}, {} rayon threads", lokr::core::backend(), rayon::current_num_threads())
}
