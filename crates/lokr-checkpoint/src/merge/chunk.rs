//! Some rows of a weight: decoded, adapted, measured and rounded, tile by tile.

use std::ops::Range;

use lokr_core::Scalar;

use crate::merge::guard::Expected;
use crate::merge::report::Measured;
use crate::merge::steps::{Steps, rows_mut};
use crate::{CheckpointError, FloatType, Result};

/// Sums over some rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sums {
    merged: f64,
    delta: f64,
    rounding: f64,
    largest: f64,
    overflows: usize,
    /// Products of the rows with the guard's vectors.
    base_products: Vec<Vec<f64>>,
    merged_products: Vec<f64>,
}

/// Rows as they are stored, and what was measured.
pub(crate) struct Chunk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) sums: Sums,
}

/// Applies the steps to `rows` of the weight, whose stored bytes are `base`.
pub(crate) fn merge_rows<T: Scalar>(
    steps: &Steps<T>,
    expected: &Expected<T>,
    kind: FloatType,
    base: &[u8],
    rows: Range<usize>,
) -> Chunk {
    let columns = steps.columns;
    let tile = steps.tile_rows();
    let mut bytes = Vec::with_capacity(base.len());
    let mut sums = Sums { base_products: vec![Vec::new(); expected.vectors.len()], ..Sums::default() };
    let (mut before, mut merged, mut rounded) =
        (vec![T::zero(); tile * columns], vec![T::zero(); tile * columns], vec![T::zero(); tile * columns]);
    for (index, tile_bytes) in base.chunks(tile * columns * kind.size()).enumerate() {
        let length = tile_bytes.len() / kind.size();
        let first = rows.start + index * tile;
        let (before, merged, rounded) = (&mut before[..length], &mut merged[..length], &mut rounded[..length]);
        kind.decode(tile_bytes, before);
        merged.copy_from_slice(before);
        steps.apply(&mut rows_mut(merged, columns), first..first + length / columns);
        let start = bytes.len();
        kind.encode(merged, &mut bytes);
        kind.decode(&bytes[start..], rounded);
        sums.measure(before, merged, rounded);
        for (vector, products) in expected.vectors.iter().zip(&mut sums.base_products) {
            products.extend(before.chunks_exact(columns).map(|row| sum(row, vector, |w, x| w * x)));
        }
        let products = merged.chunks_exact(columns).map(|row| sum(row, &expected.probe, |w, x| w * x));
        sums.merged_products.extend(products);
    }
    Chunk { bytes, sums }
}

impl Sums {
    fn measure<T: Scalar>(&mut self, before: &[T], merged: &[T], rounded: &[T]) {
        let square_of_difference = |x: T, y: T| (x - y) * (x - y);
        self.merged += sum(merged, merged, |x, y| x * y);
        self.delta += sum(merged, before, square_of_difference);
        self.rounding += sum(rounded, merged, square_of_difference);
        let largest = largest_difference(rounded, merged);
        self.largest = self.largest.max(largest);
        if largest.is_infinite() {
            let overflows = |(x, y): (&T, &T)| x.is_infinite() && y.is_finite();
            self.overflows += rounded.iter().zip(merged.iter()).filter(|&pair| overflows(pair)).count();
        }
    }

    /// Joins the sums of the rows that follow.
    pub(crate) fn append(&mut self, next: Self) {
        self.merged += next.merged;
        self.delta += next.delta;
        self.rounding += next.rounding;
        self.largest = self.largest.max(next.largest);
        self.overflows += next.overflows;
        self.base_products.resize(next.base_products.len(), Vec::new());
        for (all, next) in self.base_products.iter_mut().zip(next.base_products) {
            all.extend(next);
        }
        self.merged_products.extend(next.merged_products);
    }

    /// The verdict over a whole weight.
    pub(crate) fn finish<T: Scalar>(self, key: &str, kind: FloatType, expected: &Expected<T>) -> Result<Measured> {
        if self.overflows > 0 {
            let (key, dtype) = (key.to_owned(), kind.dtype());
            return Err(CheckpointError::MergeOverflow { key, dtype, count: self.overflows });
        }
        // `‖W‖` is no larger than these two.
        let norms = self.merged.sqrt() + self.delta.sqrt();
        let (guard_error, passed) = expected.compare(&self.base_products, &self.merged_products, norms);
        if !passed {
            return Err(CheckpointError::Guard { key: key.to_owned(), error: guard_error });
        }
        let (delta_norm, rounding_norm) = (self.delta.sqrt(), self.rounding.sqrt());
        let lost = if delta_norm == 0.0 { 0.0 } else { rounding_norm / delta_norm };
        Ok(Measured { delta_norm, rounding_norm, lost, largest_error: self.largest, guard_error })
    }
}

/// As many numbers as are worked on side by side.
const LANES: usize = 8;

/// `Σ f(aᵢ, bᵢ)`: short sums in the arithmetic's type, on lanes, added up in f64.
fn sum<T: Scalar>(a: &[T], b: &[T], f: impl Fn(T, T) -> T) -> f64 {
    let blocks = a.chunks(32 * LANES).zip(b.chunks(32 * LANES));
    blocks.map(|(a, b)| fold(a, b, |sum, a, b| sum + f(a, b)).into_iter().sum::<T>().to_f64_exact()).sum()
}

/// `max |aᵢ − bᵢ|`, without NaN.
fn largest_difference<T: Scalar>(a: &[T], b: &[T]) -> f64 {
    let larger = |max: T, x: T| if x > max { x } else { max };
    fold(a, b, |max, a, b| larger(max, (a - b).abs())).into_iter().fold(T::zero(), larger).to_f64_exact()
}

/// Folds pairs from zero, each lane its own.
fn fold<T: Scalar>(a: &[T], b: &[T], f: impl Fn(T, T, T) -> T) -> [T; LANES] {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [T::zero(); LANES];
    let mut step = |a: &[T], b: &[T]| {
        for (lane, (&a, &b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane = f(*lane, a, b);
        }
    };
    a.iter().zip(b).for_each(|(a, b)| step(a, b));
    step(a_rest, b_rest);
    lanes
}
