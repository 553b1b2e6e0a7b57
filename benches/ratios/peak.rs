//! The machine's own limits: the backend's square product, and passes over memory.

use std::hint::black_box;

use lokr::core::{Scalar, matmul_into};
use ndarray::Array2;
use rayon::prelude::*;

use crate::support::measure::{Contender, Effort, Times, interleaved};
use crate::support::{generator, matrix};

/// Side of the square product that defines the peak.
const SIDE: usize = 2048;

/// The square product `C ← A·B`, side 2048.
pub struct SquareProduct<T> {
    a: Array2<T>,
    b: Array2<T>,
    c: Array2<T>,
}

impl<T: Scalar> SquareProduct<T> {
    pub fn new() -> Self {
        let rng = &mut generator();
        Self { a: matrix(rng, SIDE, SIDE), b: matrix(rng, SIDE, SIDE), c: Array2::zeros((SIDE, SIDE)) }
    }

    pub fn flops(&self) -> f64 {
        2.0 * (SIDE as f64).powi(3)
    }

    pub fn run(&mut self) {
        matmul_into(T::one(), &self.a, &self.b, T::zero(), &mut self.c).expect("the shapes fit");
        black_box(&mut self.c);
    }

    pub fn measure(&mut self, effort: Effort) -> Times {
        let [times] = interleaved(effort, [Contender::new(|| self.run())]);
        times
    }
}

/// Values that one thread handles at a time in a pass over memory.
const PIECE: usize = 1 << 16;

/// Reads and writes every value once, in place, on all threads: what a merge does to its weight.
pub fn pass_in_place<T: Scalar>(values: &mut [T], scale: T) {
    values.par_chunks_mut(PIECE).for_each(|piece| piece.iter_mut().for_each(|value| *value *= scale));
    black_box(values);
}

/// Copies all values, on all threads.
pub fn copy<T: Scalar>(from: &[T], to: &mut [T]) {
    to.par_chunks_mut(PIECE).zip(from.par_chunks(PIECE)).for_each(|(to, from)| to.copy_from_slice(from));
    black_box(to);
}
