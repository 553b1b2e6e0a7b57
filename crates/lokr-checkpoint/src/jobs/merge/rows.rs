//! Some rows of a weight: decoded, adapted, rounded and measured, tile by tile.

use std::ops::Range;

use lokr_core::Scalar;
use pulp::{Arch, Simd, WithSimd};
use safetensors::Dtype;

use super::guard::Expected;
use super::limits::{BLOCK, LANES};
use super::report::Measured;
use super::steps::Steps;
use crate::error::{FileError, JobError, Result};
use crate::file::rows_mut;
use crate::quantized::Codec;

/// Sums over some rows.
#[derive(Default)]
pub(in crate::jobs) struct Sums {
    merged: f64,
    delta: f64,
    rounding: f64,
    /// Products of the change with the rounding, where it is coarse.
    overlap: f64,
    largest: f64,
    overflows: usize,
    /// Products of the rows with the guard's vectors.
    base_products: Vec<Vec<f64>>,
    merged_products: Vec<f64>,
}

/// The task of one thread.
pub(super) struct MergeRows<'a, T, C> {
    pub(in crate::jobs) steps: &'a Steps<T>,
    pub(super) expected: &'a Expected<T>,
    /// How the base's values are stored, and how the merged ones are to be.
    pub(super) from: &'a C,
    pub(super) to: &'a C,
    /// The rows of the weight.
    pub(super) rows: Range<usize>,
    /// Their stored bytes.
    pub(super) base: &'a [u8],
    /// Where to put those of the merged rows.
    pub(super) out: &'a mut [u8],
}

impl<T: Scalar, C: Codec> MergeRows<'_, T, C> {
    /// Applies the steps to the rows, in the widest registers there are. The compiler makes a version of all that is
    /// inlined here for each instruction set; they do the same operations in the same order.
    pub(super) fn run(self) -> Sums {
        Arch::new().dispatch(self)
    }
}

impl<T: Scalar, C: Codec> WithSimd for MergeRows<'_, T, C> {
    type Output = Sums;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Sums {
        let Self { steps, expected, from, to, rows, base, out } = self;
        let columns = steps.columns;
        let tile = steps.merge_tile_rows();
        let (row_bytes, out_bytes) = (columns * from.size(), columns * to.size());
        let sums = Sums { base_products: vec![Vec::new(); expected.vectors.len()], ..Sums::default() };
        let mut measure = Measure { expected, from, to, norms: Norms::default(), sums };
        let mut merged = vec![T::zero(); tile.min(rows.len()) * columns];
        let tiles = base.chunks(tile * row_bytes).zip(out.chunks_mut(tile * out_bytes));
        for (first, (base, out)) in rows.step_by(tile).zip(tiles) {
            let merged = &mut merged[..base.len() / from.size()];
            from.decode(first * columns, base, merged);
            let rows = first..first + base.len() / row_bytes;
            steps.apply(&mut rows_mut(merged, columns), rows.clone());
            let stored = base.chunks_exact(row_bytes).zip(out.chunks_exact_mut(out_bytes));
            for (row, (merged, (base, out))) in rows.zip(merged.chunks_exact(columns).zip(stored)) {
                measure.row((row * columns, steps.change(row)), base, merged, out);
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
struct Measure<'a, T, C> {
    expected: &'a Expected<T>,
    from: &'a C,
    to: &'a C,
    norms: Norms,
    sums: Sums,
}

impl<T: Scalar, C: Codec> Measure<'_, T, C> {
    /// Rounds a row to its type, and measures it block by block, so that all passes after the first find a block in the
    /// cache. `first` is the number of its first element; a row may be one that no adapter changes.
    #[inline(always)]
    fn row(&mut self, (first, changes): (usize, bool), base: &[u8], merged: &[T], out: &mut [u8]) {
        let Self { expected, from, to, norms, sums } = self;
        let (mut before, mut rounded) = ([T::zero(); BLOCK], [T::zero(); BLOCK]);
        let mut largest = [T::zero(); LANES];
        let [mut merged_product, mut base_product] = [[0.0; LANES]; 2];
        // There is always one: without DoRA over inputs, the probe.
        let (vector, others) = (&expected.vectors[0], &expected.vectors[1..]);
        let blocks = base.chunks(BLOCK * from.size()).zip(out.chunks_mut(BLOCK * to.size()));
        let vectors = expected.probe.chunks(BLOCK).zip(vector.chunks(BLOCK));
        let starts = (first..).step_by(BLOCK);
        for (((first, merged), (base, out)), (probe, vector)) in
            starts.zip(merged.chunks(BLOCK)).zip(blocks).zip(vectors)
        {
            let (before, rounded) = (&mut before[..merged.len()], &mut rounded[..merged.len()]);
            match changes {
                true => to.encode(first, merged, out),
                false => to.encode_unchanged(first, merged, out),
            }
            to.decode(first, out, rounded);
            from.decode(first, base, before);
            let of_block = sums_of_block([before, merged, rounded], [probe, vector], &mut largest);
            let totals =
                [&mut norms.merged, &mut norms.delta, &mut norms.rounding, &mut merged_product, &mut base_product];
            for (total, lanes) in totals.into_iter().zip(of_block) {
                add(total, lanes);
            }
            if C::COARSE {
                sums.overlap += overlap([before, merged, rounded]);
                sums.overflows += overflows(rounded, merged);
            }
        }
        sums.merged_products.push(merged_product.into_iter().sum());
        sums.base_products[0].push(base_product.into_iter().sum());
        for (vector, products) in others.iter().zip(&mut sums.base_products[1..]) {
            let blocks = base.chunks(BLOCK * from.size()).zip(vector.chunks(BLOCK)).zip((first..).step_by(BLOCK));
            products.push(blocks.map(|((base, vector), first)| dot(*from, first, base, vector, &mut before)).sum());
        }
        let largest = largest.into_iter().fold(T::zero(), T::max).to_f64_exact();
        sums.largest = sums.largest.max(largest);
        if !C::COARSE && largest.is_infinite() {
            let mut rounded = vec![T::zero(); merged.len()];
            to.decode(first, out, &mut rounded);
            sums.overflows += overflows(&rounded, merged);
        }
    }
}

/// How many values have become infinite or NaN, or have ceased to be.
pub(super) fn overflows<T: Scalar>(rounded: &[T], merged: &[T]) -> usize {
    rounded.iter().zip(merged).filter(|(x, y)| x.is_finite() != y.is_finite()).count()
}

impl Sums {
    /// Joins the sums of the rows that follow.
    pub(super) fn append(&mut self, next: Self) {
        self.merged += next.merged;
        self.delta += next.delta;
        self.rounding += next.rounding;
        self.overlap += next.overlap;
        self.largest = self.largest.max(next.largest);
        self.overflows += next.overflows;
        self.base_products.resize(next.base_products.len(), Vec::new());
        for (all, next) in self.base_products.iter_mut().zip(next.base_products) {
            all.extend(next);
        }
        self.merged_products.extend(next.merged_products);
    }

    /// The verdict over a whole weight.
    pub(super) fn finish<T: Scalar, C: Codec>(
        self,
        key: &str,
        dtype: Dtype,
        expected: &Expected<T>,
    ) -> Result<Measured> {
        if self.overflows > 0 {
            let key = key.to_owned();
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
        let kept = (C::COARSE && delta_norm > 0.0).then(|| 1.0 + self.overlap / self.delta);
        Ok(Measured { delta_norm, rounding_norm, lost, kept, largest_error: self.largest, guard_error })
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

/// The product of a block's change with its rounding.
#[inline(always)]
fn overlap<T: Scalar>([before, merged, rounded]: [&[T]; 3]) -> f64 {
    let values = before.iter().zip(merged).zip(rounded);
    values.map(|((&before, &merged), &rounded)| (merged - before) * (rounded - merged)).sum::<T>().to_f64_exact()
}

/// The product of a stored block with a vector, in the arithmetic's type.
fn dot<T: Scalar, C: Codec>(from: &C, first: usize, stored: &[u8], vector: &[T], block: &mut [T; BLOCK]) -> f64 {
    from.decode(first, stored, &mut block[..vector.len()]);
    block.iter().zip(vector).map(|(&w, &x)| w * x).sum::<T>().to_f64_exact()
}

/// Adds to each lane's total.
#[inline(always)]
fn add<T: Scalar>(totals: &mut [f64; LANES], lanes: [T; LANES]) {
    for (total, lane) in totals.iter_mut().zip(lanes) {
        *total += lane.to_f64_exact();
    }
}
