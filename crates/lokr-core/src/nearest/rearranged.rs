//! Van Loan and Pitsianis' rearrangement `R(W)`, multiplied tile by tile and never copied as a whole.

use std::ops::Range;

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayRef2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, s};

use crate::check::count_non_finite;
use crate::error::{KronError, Result};
use crate::gemm::limits::{REARRANGED_TILE, REARRANGED_TILES_PER_TASK, SCAN_TASK};
use crate::gemm::{Blend, Threads, matmul, product, views};
use crate::scalar::Scalar;
use crate::shape::KronShape;

/// What a row of the tall matrix stands for; its columns stand for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// Block `(i, j)` of `W`, read row by row: `R(W)` itself, `m·n ≥ p·q`.
    Blocks,
    /// Position `(k, l)` within all the blocks: the transpose of `R(W)`, `m·n < p·q`.
    Positions,
}

/// `R(W)` or its transpose, whichever has at least as many rows as columns, of `W` scaled by a power of two so that
/// its largest value lies in `[1, 2)`: neither the sums of squares nor the products can then overflow or vanish.
///
/// `R(W)[i·n + j, k·q + l] = W[i·p + k, j·q + l]`, `(m·n, p·q)`. Sums are split and added in an order that depends on
/// the sizes alone, so the bits do not depend on the number of threads.
pub(super) struct Rearranged<'a, T> {
    /// `W`, or its transpose where that has its rows along memory.
    w: ArrayView2<'a, T>,
    /// Sizes of the factors of `w`.
    shape: KronShape,
    transposed: bool,
    rows: Rows,
    exponent: i32,
    norm: f64,
}

impl<'a, T: Scalar> Rearranged<'a, T> {
    /// Scans `w` twice. The shapes must have been checked.
    ///
    /// # Errors
    /// [`KronError::NonFinite`].
    pub(super) fn new(operation: &'static str, w: &'a ArrayRef2<T>, shape: KronShape) -> Result<Self> {
        let transposed = w.strides()[0].unsigned_abs() < w.strides()[1].unsigned_abs();
        let KronShape { m, n, p, q } = shape;
        let (w, shape) = if transposed { (w.t(), KronShape { m: n, n: m, p: q, q: p }) } else { (w.view(), shape) };
        let rows = if m * n >= p * q { Rows::Blocks } else { Rows::Positions };

        // False for an infinity and for what is not a number.
        let finite = |x: T| x.abs() <= T::max_value();
        let largest = scan(w, T::zero(), |largest, x| if finite(x) { largest.max(x.abs()) } else { T::infinity() });
        let largest = largest.into_iter().fold(T::zero(), T::max);
        if largest > T::max_value() {
            KronError::check_all_finite(operation, "w", count_non_finite(&w))?;
        }
        // Two powers away from the ends of the type's range, so that both the scale and its inverse are normal numbers.
        let limit = T::max_value().to_f64_exact().log2() - 2.0;
        let exponent =
            if largest > T::zero() { largest.to_f64_exact().log2().floor().clamp(-limit, limit) } else { 0.0 };
        let scale = (-exponent).exp2();
        let squares = scan(w, 0.0, |sum, x| sum + (x.to_f64_exact() * scale).powi(2));
        let norm = squares.into_iter().sum::<f64>().sqrt();
        Ok(Self { w, shape, transposed, rows, exponent: exponent as i32, norm })
    }

    /// Rows of the tall matrix.
    pub(super) fn height(&self) -> usize {
        let KronShape { m, n, p, q } = self.shape;
        (m * n).max(p * q)
    }

    /// Columns of the tall matrix.
    pub(super) fn width(&self) -> usize {
        let KronShape { m, n, p, q } = self.shape;
        (m * n).min(p * q)
    }

    /// `‖W‖_F` of the scaled matrix.
    pub(super) fn norm(&self) -> f64 {
        self.norm
    }

    /// What the scaled matrix must be multiplied with to give `W`.
    pub(super) fn unit(&self) -> f64 {
        f64::from(self.exponent).exp2()
    }

    /// `RᵀR (width, width)`; `2·width·out·in` flops.
    pub(super) fn gram(&self) -> Array2<f64> {
        let sum = self.sum_of_tiles(0..self.tiles(), (self.width(), self.width()), &|tile, sum| {
            product(Blend::add(), tile.t(), tile, sum, Threads::One);
        });
        sum.mapv(Scalar::to_f64_exact)
    }

    /// `RᵀR v` for every row `v (width)` of `vectors`, in one pass over `W`; `4·rows·out·in` flops.
    pub(super) fn normal(&self, vectors: &Array2<f64>) -> Array2<f64> {
        let vectors = vectors.mapv(T::from_f64_lossy);
        let sum = self.sum_of_tiles(0..self.tiles(), vectors.dim(), &|tile, sum| {
            let image = matmul(vectors.view(), tile.t(), Threads::One);
            product(Blend::add(), image.view(), tile, sum, Threads::One);
        });
        sum.mapv(Scalar::to_f64_exact)
    }

    /// `R v` for every row `v (width)` of `vectors`, as the columns of the result `(height, rows)`.
    pub(super) fn image(&self, vectors: &Array2<f64>) -> Array2<f64> {
        let vectors = vectors.mapv(T::from_f64_lossy);
        let mut image = Array2::zeros((self.height(), vectors.nrows()));
        let parts = image.axis_chunks_iter_mut(Axis(0), self.tile_rows()).into_par_iter().enumerate();
        parts.for_each_init(Vec::new, |buffer, (tile, mut part)| {
            let values = matmul(self.tile(tile, buffer), vectors.t(), Threads::One);
            part.zip_mut_with(&values, |out, value| *out = value.to_f64_exact());
        });
        image
    }

    /// From one left vector `(height)` and one right vector `(width)`: the matrices `A (m, n)` and `B (p, q)` of `W`.
    pub(super) fn factors(&self, tall: ArrayView1<'_, f64>, wide: ArrayView1<'_, f64>) -> (Array2<f64>, Array2<f64>) {
        let (a, b) = match self.rows {
            Rows::Blocks => (tall, wide),
            Rows::Positions => (wide, tall),
        };
        let matrix = |vector: ArrayView1<'_, f64>, rows: usize, cols: usize| {
            let matrix = views::folded(vector, rows, cols);
            if self.transposed { matrix.t().as_standard_layout().into_owned() } else { matrix }
        };
        let KronShape { m, n, p, q } = self.shape;
        (matrix(a, m, n), matrix(b, p, q))
    }

    fn tile_rows(&self) -> usize {
        (REARRANGED_TILE / self.width()).clamp(1, self.height())
    }

    fn tiles(&self) -> usize {
        self.height().div_ceil(self.tile_rows())
    }

    /// The sum over a range of tiles, halved until few are left; the halves are added in their order.
    fn sum_of_tiles(
        &self,
        tiles: Range<usize>,
        dim: (usize, usize),
        add: &(impl Fn(ArrayView2<'_, T>, ArrayViewMut2<'_, T>) + Sync),
    ) -> Array2<T> {
        if tiles.len() > REARRANGED_TILES_PER_TASK {
            let middle = tiles.start + tiles.len() / 2;
            let (mut left, right) = rayon::join(
                || self.sum_of_tiles(tiles.start..middle, dim, add),
                || self.sum_of_tiles(middle..tiles.end, dim, add),
            );
            left += &right;
            return left;
        }
        let (mut sum, mut buffer) = (Array2::zeros(dim), Vec::new());
        tiles.for_each(|tile| add(self.tile(tile, &mut buffer), sum.view_mut()));
        sum
    }

    /// Some rows of the tall matrix, scaled, gathered in `buffer` along the rows of `W`.
    fn tile<'b>(&self, tile: usize, buffer: &'b mut Vec<T>) -> ArrayView2<'b, T> {
        let KronShape { m, n, p, q } = self.shape;
        let (width, start) = (self.width(), tile * self.tile_rows());
        let rows = start..(start + self.tile_rows()).min(self.height());
        let len = rows.len();
        buffer.resize(len * width, T::zero());
        let scale = T::from_f64_lossy((-f64::from(self.exponent)).exp2());
        match self.rows {
            Rows::Blocks => {
                for (i, blocks) in runs(rows, n) {
                    for k in 0..p {
                        let source = self.w.row(i * p + k);
                        for j in blocks.clone() {
                            let target = (i * n + j - start) * width + k * q;
                            copy_scaled(scale, source, j * q, &mut buffer[target..target + q]);
                        }
                    }
                }
                views::view(buffer, width)
            }
            Rows::Positions => {
                for (k, positions) in runs(rows, q) {
                    for i in 0..m {
                        let source = self.w.row(i * p + k);
                        for j in 0..n {
                            let target = (i * n + j) * len + (k * q + positions.start - start);
                            let target = &mut buffer[target..target + positions.len()];
                            copy_scaled(scale, source, j * q + positions.start, target);
                        }
                    }
                }
                views::view(buffer, len).reversed_axes()
            }
        }
    }
}

/// Splits a range of flat indices into runs `(i, j range)` of one leading index, `index = i·length + j`.
fn runs(range: Range<usize>, length: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    (range.start / length..range.end.div_ceil(length)).map(move |i| {
        let first = i * length;
        (i, range.start.saturating_sub(first)..(range.end - first).min(length))
    })
}

fn copy_scaled<T: Scalar>(scale: T, row: ArrayView1<'_, T>, start: usize, target: &mut [T]) {
    match row.to_slice() {
        Some(row) => target.iter_mut().zip(&row[start..]).for_each(|(target, &x)| *target = scale * x),
        None => target.iter_mut().zip(row.slice(s![start..])).for_each(|(target, &x)| *target = scale * x),
    }
}

/// Folds the values of `w`, eight side by side in every fixed group of rows; the results in a fixed order.
fn scan<T: Scalar, S: Copy + Send + Sync>(
    w: ArrayView2<'_, T>,
    start: S,
    fold: impl Fn(S, T) -> S + Send + Sync,
) -> Vec<S> {
    let scan_rows = |rows: ArrayView2<'_, T>| {
        let mut lanes = [start; 8];
        for row in rows.rows() {
            if let Some(row) = row.to_slice() {
                let (chunks, rest) = row.as_chunks::<8>();
                for chunk in chunks {
                    lanes.iter_mut().zip(chunk).for_each(|(lane, &x)| *lane = fold(*lane, x));
                }
                lanes.iter_mut().zip(rest).for_each(|(lane, &x)| *lane = fold(*lane, x));
            } else {
                row.iter().enumerate().for_each(|(i, &x)| lanes[i % 8] = fold(lanes[i % 8], x));
            }
        }
        lanes
    };
    let rows_per_task = (SCAN_TASK / w.ncols()).clamp(1, w.nrows());
    let lanes: Vec<[S; 8]> = w.axis_chunks_iter(Axis(0), rows_per_task).into_par_iter().map(scan_rows).collect();
    lanes.into_flattened()
}
