//! Products of large matrices, both laid out piece by piece for the kernel.
//!
//! The inner dimension is cut into pieces. Of each, a block of columns of `B` is laid out in strips that stay in the
//! second-level cache, and the panels of `A`'s rows go past them, each of which stays in the first-level cache while it
//! meets all strips. See Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34
//! (2008).

use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;

use super::blend::Blend;
use super::kernel::{Panel, Strided, Strips, panels, piece, prefetch, transpose};
use super::limits::{
    PANEL_ROWS, PANELS_TOGETHER, ROWS_AHEAD, ROWS_TURNED, STRIP_COLUMNS, TURNED_COLUMNS, block_columns, turned_rows,
};
use super::scratch::{LINE, with_scratch};
use super::strips::rows_lie;
use super::threads::Threads;
use super::views;
use crate::scalar::Scalar;

/// `C ← α·A·B + β·C` if this is a job for this file: contiguous rows in `C`, contiguous rows or columns in `A` and
/// `B`, and a strip of columns at least. Says whether it was.
///
/// Every element is summed by itself, in an order that depends on the inner dimension only.
pub(super) fn product<T: Scalar>(
    blend: Blend<T>,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    c: &mut ArrayViewMut2<'_, T>,
    threads: Threads,
) -> bool {
    let (k, n) = b.dim();
    if !rows_lie(c) || n < STRIP_COLUMNS {
        return false;
    }
    let (Some(a), Some(b)) = (Strided::one(a), Strided::one(b)) else { return false };
    if b.row == 1 && c.nrows() <= turned_rows() {
        turned(blend, a, b, k, c, threads);
    } else {
        in_chunks(blend, a, Right::Lying(b), k, c, threads);
    }
    true
}

/// The same for a `B (k, n)` that is in strips already.
pub(super) fn with_strips<T: Scalar>(
    blend: Blend<T>,
    a: Strided<'_, T>,
    strips: &[T],
    k: usize,
    c: &mut ArrayViewMut2<'_, T>,
    threads: Threads,
) {
    in_chunks(blend, a, Right::Strips(strips), k, c, threads);
}

/// `B`.
#[derive(Clone, Copy)]
enum Right<'a, T> {
    /// As it lies.
    Lying(Strided<'a, T>),
    /// All of it in strips.
    Strips(&'a [T]),
}

/// How the work is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    /// Rows of `C` whose panels are laid out together.
    rows: usize,
    /// Columns of `C` in a block.
    columns: usize,
    /// Who takes the chunks of so many rows, and who the blocks of columns of each. Never all threads on both.
    chunks: Threads,
    blocks: Threads,
}

impl Cut {
    /// Of a result `m × n`, so that so many threads find work. None of it shows in the result.
    fn new((m, n): (usize, usize), threads: usize) -> Self {
        let share = n.div_ceil(threads).next_multiple_of(STRIP_COLUMNS);
        let columns = share.clamp(2 * STRIP_COLUMNS, block_columns());
        let chunks = m.div_ceil(PANELS_TOGETHER);
        let rows = |chunks| m.div_ceil(chunks).next_multiple_of(PANEL_ROWS);
        if threads == 1 {
            Self { rows: rows(chunks), columns, chunks: Threads::One, blocks: Threads::One }
        } else if n.div_ceil(columns) >= threads {
            Self { rows: rows(chunks), columns, chunks: Threads::One, blocks: Threads::All }
        } else {
            // Too few columns to share out: rows.
            Self { rows: rows(chunks.max(threads)), columns, chunks: Threads::All, blocks: Threads::One }
        }
    }
}

fn in_chunks<T: Scalar>(
    blend: Blend<T>,
    a: Strided<'_, T>,
    b: Right<'_, T>,
    k: usize,
    c: &mut ArrayViewMut2<'_, T>,
    threads: Threads,
) {
    let cut = Cut::new(c.dim(), threads.count());
    let chunk = |(chunk, c): (usize, ArrayViewMut2<'_, T>)| {
        let a = a.from(chunk * cut.rows * a.row);
        let rows = c.nrows().next_multiple_of(PANEL_ROWS);
        with_scratch(rows * k, |memory: &mut [T]| {
            lay_out_panels(a, c.nrows(), memory, cut.blocks);
            in_blocks(blend, memory, b, k, c, cut);
        });
    };
    let chunks = c.axis_chunks_iter_mut(Axis(0), cut.rows);
    match cut.chunks {
        Threads::All => chunks.into_par_iter().enumerate().for_each(chunk),
        Threads::One => chunks.enumerate().for_each(chunk),
    }
}

/// Where the pieces of an inner dimension begin, and how long they are.
fn pieces<T>(k: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..k).step_by(piece::<T>()).map(move |start| (start, piece::<T>().min(k - start)))
}

/// Lays `m` rows of `a` out: piece after piece of its columns, in each the panels one after the other. Whatever is in
/// rows that the last panel is filled up with is not used.
fn lay_out_panels<T: Scalar>(a: Strided<'_, T>, m: usize, memory: &mut [T], threads: Threads) {
    let rows = m.next_multiple_of(PANEL_ROWS);
    for (number, to) in memory.chunks_mut(rows * piece::<T>()).enumerate() {
        let a = a.from(number * piece::<T>() * a.col);
        let depth = to.len() / rows;
        let panel = |(panel, to): (usize, &mut [T])| {
            let first = panel * PANEL_ROWS;
            let (a, count) = (a.from(first * a.row), PANEL_ROWS.min(m - first));
            if a.col == 1 {
                transpose(a.data, a.row, count, to, PANEL_ROWS);
            } else {
                let columns = to.chunks_exact_mut(PANEL_ROWS).zip(a.data.chunks(a.col));
                columns.for_each(|(to, from)| to[..count].copy_from_slice(&from[..count]));
            }
        };
        match threads {
            Threads::All => to.par_chunks_exact_mut(PANEL_ROWS * depth).enumerate().for_each(panel),
            Threads::One => to.chunks_exact_mut(PANEL_ROWS * depth).enumerate().for_each(panel),
        }
    }
}

/// All rows of `c` from their `panels`, a block of columns at a time.
fn in_blocks<T: Scalar>(
    blend: Blend<T>,
    panels_of_a: &[T],
    b: Right<'_, T>,
    k: usize,
    mut c: ArrayViewMut2<'_, T>,
    cut: Cut,
) {
    let rows = c.nrows().next_multiple_of(PANEL_ROWS);
    let panels_from = |start: usize| (Panel::ByColumns, &panels_of_a[start * rows..]);
    let block = |(block, mut c): (usize, ArrayViewMut2<'_, T>)| {
        let (first, n) = (block * cut.columns, c.ncols());
        match b {
            Right::Strips(strips) => {
                // Blocks are made of whole strips.
                let data = &strips[first * k..][..n * k];
                for (start, depth) in pieces::<T>(k) {
                    let strips = Strips { data, depth: k, start };
                    panels(blend.piece(start), panels_from(start), strips, depth, &mut c);
                }
            }
            Right::Lying(b) => with_scratch(piece::<T>().min(k) * n, |memory: &mut [T]| {
                let b = b.from(first * b.col);
                for (start, depth) in pieces::<T>(k) {
                    let data = &mut memory[..depth * n];
                    lay_out_strips(b.from(start * b.row), depth, n, data);
                    let strips = Strips { data, depth, start: 0 };
                    panels(blend.piece(start), panels_from(start), strips, depth, &mut c);
                }
            }),
        }
    };
    let blocks = c.axis_chunks_iter_mut(Axis(1), cut.columns);
    match cut.blocks {
        Threads::All => blocks.into_par_iter().enumerate().for_each(block),
        Threads::One => blocks.enumerate().for_each(block),
    }
}

/// Lays `n` columns of `depth` rows of `b` out, strip after strip.
fn lay_out_strips<T: Scalar>(b: Strided<'_, T>, depth: usize, n: usize, strips: &mut [T]) {
    if b.col == 1 {
        // Whole rows, which lie far apart.
        for (l, from) in b.data.chunks(b.row).take(depth).enumerate() {
            let (whole, rest) = from[..n].as_chunks::<STRIP_COLUMNS>();
            let later = from.as_ptr().wrapping_add(ROWS_AHEAD * b.row);
            (0..n).step_by(LINE / size_of::<T>()).for_each(|i| prefetch::<T, true>(later.wrapping_add(i)));
            for (strip, from) in whole.iter().enumerate() {
                strips[(strip * depth + l) * STRIP_COLUMNS..][..STRIP_COLUMNS].copy_from_slice(from);
            }
            let to = whole.len() * STRIP_COLUMNS * depth + l * rest.len();
            strips[to..to + rest.len()].copy_from_slice(rest);
        }
    } else {
        for (strip, to) in strips.chunks_mut(STRIP_COLUMNS * depth).enumerate() {
            let width = to.len() / depth;
            transpose(b.from(strip * STRIP_COLUMNS * b.col).data, b.col, width, to, width);
        }
    }
}

/// The same product as `Cᵀ = Bᵀ·Aᵀ`, for contiguous columns of `B`: a weight as layers have it. Its rows then are
/// panels as they lie, and only the few rows of `A` have to be laid out the other way.
fn turned<T: Scalar>(
    blend: Blend<T>,
    a: Strided<'_, T>,
    b: Strided<'_, T>,
    k: usize,
    c: &mut ArrayViewMut2<'_, T>,
    threads: Threads,
) {
    let (m, n) = c.dim();
    let columns = n.div_ceil(threads.count()).next_multiple_of(PANEL_ROWS).clamp(PANEL_ROWS, TURNED_COLUMNS);
    with_scratch(m * k, |strips: &mut [T]| {
        let one_piece = |(number, strips): (usize, &mut [T])| {
            let a = a.from(number * piece::<T>() * a.col).transposed();
            lay_out_strips(a, strips.len() / m, m, strips);
        };
        match threads {
            Threads::All => strips.par_chunks_mut(m * piece::<T>()).enumerate().for_each(one_piece),
            Threads::One => strips.chunks_mut(m * piece::<T>()).enumerate().for_each(one_piece),
        }
        let strips = &*strips;
        let block = |(block, c): (usize, ArrayViewMut2<'_, T>)| {
            let (b, n) = (b.from(block * columns * b.col), c.ncols());
            with_scratch(n * m + PANEL_ROWS * piece::<T>(), |memory: &mut [T]| {
                let (panel, turned) = memory.split_at_mut(PANEL_ROWS * piece::<T>());
                for (start, depth) in pieces::<T>(k) {
                    let strips = Strips { data: &strips[start * m..][..depth * m], depth, start: 0 };
                    for (group, turned) in turned.chunks_mut(PANEL_ROWS * m).enumerate() {
                        let rows = b.data[group * PANEL_ROWS * b.col + start..].chunks(b.col);
                        for (to, row) in panel.chunks_exact_mut(piece::<T>()).zip(rows).take(turned.len() / m) {
                            to[..depth].copy_from_slice(&row[..depth]);
                        }
                        let mut turned = views::view_mut(turned, m);
                        panels(
                            blend.with_beta(T::zero()).piece(start),
                            (Panel::ByRows, panel),
                            strips,
                            depth,
                            &mut turned,
                        );
                    }
                }
                turn_back(turned, blend.beta, c);
            });
        };
        let blocks = c.axis_chunks_iter_mut(Axis(1), columns);
        match threads {
            Threads::All => blocks.into_par_iter().enumerate().for_each(block),
            Threads::One => blocks.enumerate().for_each(block),
        }
    });
}

/// `C ← Rᵀ + β·C` for a result row after row; some rows of `C` at a time, which then are contiguous on both sides.
fn turn_back<T: Scalar>(result: &[T], beta: T, mut c: ArrayViewMut2<'_, T>) {
    let (m, n) = c.dim();
    with_scratch(ROWS_TURNED * n, |rows: &mut [T]| {
        for (group, c) in c.axis_chunks_iter_mut(Axis(0), ROWS_TURNED).enumerate() {
            let rows = &mut rows[..c.len()];
            transpose(&result[group * ROWS_TURNED..], m, n, rows, n);
            views::put(views::view(rows, n), beta, c);
        }
    });
}

#[cfg(test)]
mod tests {
    use lokr_testing::Numbers;
    use ndarray::{Array2, s};

    use super::*;
    use crate::gemm::strips;

    fn numbers<T: Scalar>(dim: (usize, usize), seed: u64) -> Array2<T> {
        let mut numbers = Numbers::new(seed);
        Array2::from_shape_simple_fn(dim, || numbers.next::<T>())
    }

    /// Whether a product into a part of a larger matrix is right, with NaN around it and, where `β = 0`, under it.
    #[track_caller]
    fn check<T: Scalar>(a: &ArrayView2<'_, T>, b: &ArrayView2<'_, T>, threads: Threads, what: &str) {
        let ((m, k), n) = (a.dim(), b.ncols());
        let wide = |matrix: &ArrayView2<'_, T>| matrix.mapv(T::to_f64_exact);
        let want = wide(a).dot(&wide(b));
        for (alpha, beta) in [(1.0, 0.0), (-0.5, 2.0)] {
            let mut around = Array2::from_elem((m + 2, n + 3), T::nan());
            let mut c = around.slice_mut(s![1..=m, 2..n + 2]);
            if beta != 0.0 {
                c.fill(T::one());
            }
            let blend = Blend { alpha: T::from_f64_lossy(alpha), beta: T::from_f64_lossy(beta) };
            assert!(product(blend, a.view(), b.view(), &mut c, threads), "{what} {m}×{k}×{n}: not taken");
            let mut strips = vec![T::nan(); k * n];
            strips::lay_out(Strided::one(b.view()).unwrap(), k, n, &mut strips);
            let (a, b) = (Strided::one(a.view()).unwrap(), Strided::one(b.view()).unwrap());
            let mut again = Array2::ones((m, n));
            with_strips(blend, a, &strips, k, &mut again.view_mut(), threads);
            // As machines with other registers make it.
            let mut otherwise = Array2::ones((m, n));
            if b.row == 1 {
                turned(blend, a, b, k, &mut otherwise.view_mut(), threads);
            } else {
                otherwise.assign(&again);
            }
            for (((&got, &again), &otherwise), want) in c.iter().zip(&again).zip(&otherwise).zip(&want) {
                let want = alpha * want + beta;
                let bound = 4.0 * (k + 2) as f64 * T::epsilon().to_f64_exact();
                for got in [got, again, otherwise] {
                    let error = (got.to_f64_exact() - want).abs();
                    assert!(error <= bound, "{what} {m}×{k}×{n}, β {beta}: got {got}, want {want}");
                }
                // Where it is added to shows at which time that was done.
                let same = got == again && got == otherwise;
                assert!(beta != 0.0 || same, "{what} {m}×{k}×{n}: from strips {again}, turned {otherwise}, else {got}");
            }
            let inside = c.len();
            assert_eq!(around.iter().filter(|value| value.is_nan()).count(), around.len() - inside, "{what}");
        }
    }

    fn in_every_layout<T: Scalar>(m: usize, k: usize, n: usize) {
        let (a, b) = (numbers::<T>((m, k), 1), numbers::<T>((k, n), 2));
        let (a_columns, b_columns) = (a.t().as_standard_layout().into_owned(), b.t().as_standard_layout().into_owned());
        for threads in [Threads::One, Threads::All] {
            check(&a.view(), &b.view(), threads, "rows, rows");
            check(&a.view(), &b_columns.t(), threads, "rows, columns");
            check(&a_columns.t(), &b.view(), threads, "columns, rows");
            check(&a_columns.t(), &b_columns.t(), threads, "columns, columns");
        }
    }

    #[test]
    fn equals_dense_arithmetic_in_every_layout() {
        for (m, k, n) in [(1, 1, 32), (2, 3, 33), (11, 385, 40), (13, 200, 97), (25, 769, 67), (30, 64, 600)] {
            in_every_layout::<f32>(m, k, n);
            in_every_layout::<f64>(m, k, n);
        }
        // Beyond what is turned anywhere, and beyond the rows that are laid out together.
        in_every_layout::<f32>(517, 7, 35);
        in_every_layout::<f64>(PANELS_TOGETHER + 14, 3, 32);
    }

    #[test]
    fn the_cut_does_not_show() {
        let (a, b) = (numbers::<f32>((37, 400), 3), numbers::<f32>((400, 333), 4));
        for b in [b.view(), b.t().as_standard_layout().t()] {
            let results: Vec<_> = [1, 2, 5]
                .into_iter()
                .map(|threads| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let mut c = Array2::zeros((37, 333));
                    let blend = Blend::overwrite();
                    assert!(pool.install(|| product(blend, a.view(), b, &mut c.view_mut(), Threads::All)));
                    c
                })
                .collect();
            assert!(results.iter().all(|c| *c == results[0]));
        }
        for (dim, threads) in [((4096, 4096), 2), ((10, 64), 8), ((100_000, 64), 16), ((1, 32), 3)] {
            let cut = Cut::new(dim, threads);
            assert!(cut.rows > 0 && cut.rows.is_multiple_of(PANEL_ROWS) && cut.columns.is_multiple_of(STRIP_COLUMNS));
            assert!(cut.chunks == Threads::One || cut.blocks == Threads::One, "{cut:?}");
        }
    }

    #[test]
    fn what_lies_otherwise_is_left_to_others() {
        let (a, b) = (Array2::<f64>::ones((4, 6)), Array2::<f64>::ones((6, 40)));
        let mut c = Array2::zeros((4, 40));
        let every_second = a.slice(s![.., ..;2]);
        let (blend, few) = (Blend::overwrite(), b.slice(s![..3, ..]));
        assert!(!product(blend, every_second, few, &mut c.view_mut(), Threads::One));
        let mut columns = Array2::zeros((40, 4));
        let mut turned = columns.view_mut().reversed_axes();
        assert!(!product(blend, a.view(), b.view(), &mut turned, Threads::One));
        assert!(c.iter().chain(&columns).all(|&value| value == 0.0));
    }
}
