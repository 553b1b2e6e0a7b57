//! Values that look random and depend on nothing but a seed.

use ndarray::{Array1, Array2, NdFloat};
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::SplitMix64;

use crate::from_f64;

/// A generator of values in `(-1, 1)`.
///
/// # Examples
/// ```
/// let (mut some, mut same) = (lokr_testing::Numbers::new(7), lokr_testing::Numbers::new(7));
/// let (x, y): (f64, f64) = (some.next(), same.next());
/// assert!(x == y && x.abs() < 1.0);
/// ```
#[derive(Debug)]
pub struct Numbers(SplitMix64);

impl Numbers {
    /// The generator of that seed.
    pub fn new(seed: u64) -> Self {
        // Small seeds are spread out, or the streams of two of them would overlap.
        Self(SplitMix64::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03))
    }

    /// The next value, uniform in `(-1, 1)`.
    #[allow(clippy::should_implement_trait)] // An iterator of one type would not do.
    pub fn next<T: NdFloat>(&mut self) -> T {
        from_f64((self.0.next_u64() >> 11) as f64 / (1u64 << 52) as f64 - 1.0)
    }

    /// A matrix of the next values, row by row.
    pub fn matrix<T: NdFloat>(&mut self, rows: usize, cols: usize) -> Array2<T> {
        Array2::from_shape_simple_fn((rows, cols), || self.next())
    }
}

/// A matrix of values in `(-1, 1)`, the same for the same seed.
pub fn matrix<T: NdFloat>(rows: usize, cols: usize, seed: u64) -> Array2<T> {
    Numbers::new(seed).matrix(rows, cols)
}

/// A vector of values in `(-1, 1)`, the same for the same seed.
pub fn vector<T: NdFloat>(length: usize, seed: u64) -> Array1<T> {
    let mut numbers = Numbers::new(seed);
    Array1::from_shape_simple_fn(length, || numbers.next())
}
