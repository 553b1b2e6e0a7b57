//! Seeded data.

use lokr::core::Scalar;
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
