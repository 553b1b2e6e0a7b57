//! Some rows of a weight: decoded, adapted, rounded and measured, tile by tile.

use std::ops::Range;

use lokr_core::Scalar;
use pulp::{Arch, Simd, WithSimd};

use super::guard::Expected;
use super::limits::{BLOCK, LANES};
use super::report::Measured;
use super::steps::Steps;
use crate::error::{FileError, JobError, Result};
use crate::file::{FloatType, rows_mut};

/// Sums over some rows.
#[derive(Default)]
pub(in crate::jobs) struct Sums {
    merged: f64,
    delta: f64,
    rounding: f64,
    largest: f64,
    overflows: usize,
    /// Products of the rows with the guard's vectors.
    base_products: Vec<Vec<f64>>,
    merged_products: Vec<f64>,
}

/// The task of one thread.
pub(super) struct MergeRows<'a, T> {
    pub(in crate::jobs) steps: &'a Steps<T>,
    pub(super) expected: &'a Expected<T>,
    pub(super) dtype: FloatType,
    /// The rows of the weight.
    pub(super) rows: Range<usize>,
    /// Their stored bytes.
    pub(super) base: &'a [u8],
    /// Where to put those of the merged rows.
    pub(super) out: &'a mut [u8],
}

impl<T: Scalar> MergeRows<'_, T> {
    /// Applies the steps to the rows, in the widest registers there are. The compiler makes a version of all that is
    /// inlined here for each instruction set; they do the same operations in the same order.
    pub(super) fn run(self) -> Sums {
        Arch::new().dispatch(self)
    }
}

impl<T: Scalar> WithSimd for MergeRows<'_, T> {
    type Output = Sums;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Sums {
        let Self { steps, expected, dtype, rows, base, out } = self;
        let columns = steps.columns;
        let tile = steps.merge_tile_rows();
        let row_bytes = columns * dtype.size();
        let sums = Sums { base_products: vec![Vec::new(); expected.vectors.len()], ..Sums::default() };
        let mut measure = Measure { expected, dtype, norms: Norms::default(), sums };
        let mut merged = vec![T::zero(); tile.min(rows.len()) * columns];
        let tiles = base.chunks(tile * row_bytes).zip(out.chunks_mut(tile * row_bytes));
        for (first, (base, out)) in rows.step_by(tile).zip(tiles) {
            let merged = &mut merged[..base.len() / dtype.size()];
            dtype.decode(base, merged);
            let rows = first..first + base.len() / row_bytes;
            steps.apply(&mut rows_mut(merged, columns), rows);
            let stored = base.chunks_exact(row_bytes).zip(out.chunks_exact_mut(row_bytes));
            for (merged, (base, out)) in merged.chunks_exact(columns).zip(stored) {
                measure.row(base, merged, out);
            }
        }
        let Measure { norms, mut sums, .. } = measure;
        let total = |lanes: [f64; LANES]| lanes.into_iter().sum();
        (sums.merged, sums.delta, sums.rounding) = (total(norms.merged), total(norms.delta), total(norms.rounding));
        sums
    }
}

/// Sums of squares over some rows, each lane its own.
#[derive(Default)]
struct Norms {
    merged: [f64; LANES],
    delta: [f64; LANES],
    rounding: [f64; LANES],
}

/// What is measured row by row.
struct Measure<'a, T> {
    expected: &'a Expected<T>,
    dtype: FloatType,
    norms: Norms,
    sums: Sums,
}

impl<T: Scalar> Measure<'_, T> {
    /// Rounds a row to its type, and measures it block by block, so that all passes after the first find a block in the
    /// cache.
    #[inline(always)]
    fn row(&mut self, base: &[u8], merged: &[T], out: &mut [u8]) {
        let Self { expected, dtype, norms, sums } = self;
        let block_bytes = BLOCK * dtype.size();
        let (mut before, mut rounded) = ([T::zero(); BLOCK], [T::zero(); BLOCK]);
        let mut largest = [T::zero(); LANES];
        let [mut merged_product, mut base_product] = [[0.0; LANES]; 2];
        // There is always one: without DoRA over inputs, the probe.
        let (vector, others) = (&expected.vectors[0], &expected.vectors[1..]);
        let blocks = base.chunks(block_bytes).zip(out.chunks_mut(block_bytes));
        let vectors = expected.probe.chunks(BLOCK).zip(vector.chunks(BLOCK));
        for ((merged, (base, out)), (probe, vector)) in merged.chunks(BLOCK).zip(blocks).zip(vectors) {
            let (before, rounded) = (&mut before[..merged.len()], &mut rounded[..merged.len()]);
            dtype.encode(merged, out);
            dtype.decode(out, rounded);
            dtype.decode(base, before);
            let of_block = sums_of_block([before, merged, rounded], [probe, vector], &mut largest);
            let totals =
                [&mut norms.merged, &mut norms.delta, &mut norms.rounding, &mut merged_product, &mut base_product];
            for (total, lanes) in totals.into_iter().zip(of_block) {
                add(total, lanes);
            }
        }
        sums.merged_products.push(merged_product.into_iter().sum());
        sums.base_products[0].push(base_product.into_iter().sum());
        for (vector, products) in others.iter().zip(&mut sums.base_products[1..]) {
            let blocks = base.chunks(block_bytes).zip(vector.chunks(BLOCK));
            products.push(blocks.map(|(base, vector)| dot(*dtype, base, vector, &mut before)).sum());
        }
        let largest = largest.into_iter().fold(T::zero(), T::max).to_f64_exact();
        sums.largest = sums.largest.max(largest);
        if largest.is_infinite() {
            sums.overflows += overflows(*dtype, merged, out);
        }
    }
}

/// How many finite values have become infinite.
fn overflows<T: Scalar>(dtype: FloatType, merged: &[T], out: &[u8]) -> usize {
    let mut rounded = vec![T::zero(); merged.len()];
    dtype.decode(out, &mut rounded);
    rounded.iter().zip(merged).filter(|(x, y)| x.is_infinite() && y.is_finite()).count()
}

impl Sums {
    /// Joins the sums of the rows that follow.
    pub(super) fn append(&mut self, next: Self) {
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
    pub(super) fn finish<T: Scalar>(self, key: &str, dtype: FloatType, expected: &Expected<T>) -> Result<Measured> {
        if self.overflows > 0 {
            let (key, dtype) = (key.to_owned(), dtype.dtype());
            return Err(FileError::OutOfRange { key, dtype, count: self.overflows, too_large: true }.into());
        }
        // `‖W‖` is no larger than these two.
        let norms = self.merged.sqrt() + self.delta.sqrt();
        let (guard_error, passed) = expected.compare(&self.base_products, &self.merged_products, norms);
        if !passed {
            return Err(JobError::Guard { key: key.to_owned(), error: guard_error }.into());
        }
        let (delta_norm, rounding_norm) = (self.delta.sqrt(), self.rounding.sqrt());
        let lost = if delta_norm == 0.0 { 0.0 } else { rounding_norm / delta_norm };
        Ok(Measured { delta_norm, rounding_norm, lost, largest_error: self.largest, guard_error })
    }
}

/// Sums over a block in the arithmetic's type: of the squares of the weight, of the change and of the rounding; the
/// products of the weight with the probe and of the base weight with the vector. `largest` is kept up to date.
#[inline(always)]
fn sums_of_block<T: Scalar>(values: [&[T]; 3], vectors: [&[T]; 2], largest: &mut [T; LANES]) -> [[T; LANES]; 5] {
    let [mut squares, mut deltas, mut roundings, mut merged_products, mut base_products] = [[T::zero(); LANES]; 5];
    let mut step = |[before, merged, rounded]: [&[T]; 3], [probe, vector]: [&[T]; 2]| {
        for lane in 0..merged.len() {
            let (w, delta, rounding) = (merged[lane], merged[lane] - before[lane], rounded[lane] - merged[lane]);
            squares[lane] += w * w;
            deltas[lane] += delta * delta;
            roundings[lane] += rounding * rounding;
            merged_products[lane] += w * probe[lane];
            base_products[lane] += before[lane] * vector[lane];
            // Without NaN: of two infinities, no value is lost.
            largest[lane] = if rounding.abs() > largest[lane] { rounding.abs() } else { largest[lane] };
        }
    };
    let [before, merged, rounded] = values.map(|x| x.as_chunks::<LANES>());
    let [probe, vector] = vectors.map(|x| x.as_chunks::<LANES>());
    let values = before.0.iter().zip(merged.0).zip(rounded.0);
    for (((before, merged), rounded), (probe, vector)) in values.zip(probe.0.iter().zip(vector.0)) {
        step([before, merged, rounded], [probe, vector]);
    }
    step([before.1, merged.1, rounded.1], [probe.1, vector.1]);
    [squares, deltas, roundings, merged_products, base_products]
}

/// The product of a stored block with a vector, in the arithmetic's type.
fn dot<T: Scalar>(dtype: FloatType, stored: &[u8], vector: &[T], block: &mut [T; BLOCK]) -> f64 {
    dtype.decode(stored, block);
    block.iter().zip(vector).map(|(&w, &x)| w * x).sum::<T>().to_f64_exact()
}

/// Adds to each lane's total.
#[inline(always)]
fn add<T: Scalar>(totals: &mut [f64; LANES], lanes: [T; LANES]) {
    for (total, lane) in totals.iter_mut().zip(lanes) {
        *total += lane.to_f64_exact();
    }
}
