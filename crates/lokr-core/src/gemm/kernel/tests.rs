//! The kernels against three plain loops, on every small size, with NaN around and under the result.

use lokr_testing::Numbers;

use super::*;
use crate::gemm::blend::Blend;
use crate::gemm::limits::LONG_SUM;
use crate::scalar::Scalar;

/// Values in `(-1/2, 1/2)`.
fn numbers<T: Scalar>(count: usize, seed: usize) -> Vec<T> {
    let mut numbers = Numbers::new(seed as u64);
    (0..count).map(|_| numbers.next::<T>() * T::from_f64_lossy(0.5)).collect()
}

#[track_caller]
fn close<T: Scalar>(got: T, want: f64, length: usize, what: &str) {
    let epsilon = T::epsilon().to_f64_exact();
    let difference = (got.to_f64_exact() - want).abs();
    assert!(difference <= 4.0 * epsilon * (length + 2) as f64, "{what}: got {got}, want {want}");
}

/// Sizes around the widths of registers and of tiles, in every way that rows are divided into tiles.
const M: [usize; 10] = [1, 2, 3, 5, 8, 13, 14, 21, 28, 30];
const N: [usize; 12] = [1, 2, 3, 4, 7, 8, 9, 16, 17, 31, 33, 50];
const K: [usize; 7] = [1, 2, 7, 19, 33, 40, LONG_SUM + 1];

/// Two products; A stored by columns or by rows, with a gap, C with one value of padding per row, one B or two.
fn outer_equals_loops<T: Scalar>(a_by_rows: bool, one_b: bool) {
    for m in M {
        for n in N {
            for k in K {
                let (a, b) = (numbers::<T>(2 * (m + 1) * (k + 1), m), numbers::<T>(2 * k * n, n));
                for (alpha, beta) in [(1.0, 0.0), (0.5, 1.0), (-2.0, 0.25)] {
                    let c_row = n + 1;
                    let before = numbers::<T>(2 * m * c_row, k);
                    let mut c = before.clone();
                    if beta == 0.0 {
                        c.fill(T::nan());
                    }
                    let (row, col) = if a_by_rows { (k + 1, 1) } else { (1, m + 1) };
                    let a = Strided { data: &a, row, col, step: (m + 1) * k };
                    let b = Strided { data: &b, row: n, col: 1, step: if one_b { 0 } else { k * n } };
                    let blend = Blend { alpha: T::from_f64_lossy(alpha), beta: T::from_f64_lossy(beta) };
                    // The last row's padding does not belong to C.
                    let used = 2 * m * c_row - 1;
                    let result = StridedMut { data: &mut c[..used], row: c_row, step: m * c_row };
                    outer(Sizes { m, n, k }, 2, blend, a, b, result);
                    for (t, row, col) in (0..2).flat_map(|t| (0..m).flat_map(move |r| (0..=n).map(move |c| (t, r, c))))
                    {
                        let at = t * m * c_row + row * c_row + col;
                        let what = format!("{} {m}×{n}×{k}, α {alpha}, β {beta}, ({t}, {row}, {col})", T::NAME);
                        if col == n {
                            let untouched =
                                if beta == 0.0 { c[at].is_nan() || at >= used } else { c[at] == before[at] };
                            assert!(untouched, "{what}: written outside");
                            continue;
                        }
                        let sum: f64 = (0..k)
                            .map(|l| {
                                let a = a.data[t * a.step + row * a.row + l * a.col].to_f64_exact();
                                a * b.data[t * b.step + l * n + col].to_f64_exact()
                            })
                            .sum();
                        let old = if beta == 0.0 { 0.0 } else { beta * before[at].to_f64_exact() };
                        close(c[at], alpha * sum + old, k, &what);
                    }
                }
            }
        }
    }
}

fn dot_equals_loops<T: Scalar>() {
    for m in [1, 2, 3, 4, 6, 9] {
        for n in [1, 2, 3, 4, 5, 7, 10] {
            for k in N {
                let (a, b) = (numbers::<T>(3 * m * (k + 2), m), numbers::<T>(3 * n * k, n + 1));
                for (alpha, beta) in [(1.0, 0.0), (0.5, 1.0), (-2.0, 0.25)] {
                    let c_row = n + 2;
                    let before = numbers::<T>(m * c_row, k);
                    let mut c = before.clone();
                    if beta == 0.0 {
                        c.fill(T::nan());
                    }
                    let a = Strided { data: &a, row: k + 2, col: 1, step: m * (k + 2) };
                    let b = Strided { data: &b, row: k, col: 1, step: n * k };
                    let blend = Blend { alpha: T::from_f64_lossy(alpha), beta: T::from_f64_lossy(beta) };
                    dot(Sizes { m, n, k }, 3, blend, a, b, StridedMut::rows(&mut c, c_row));
                    for (row, col) in (0..m).flat_map(|r| (0..c_row).map(move |c| (r, c))) {
                        let at = row * c_row + col;
                        let what = format!("{} {m}×{n}×{k}, α {alpha}, β {beta}, ({row}, {col})", T::NAME);
                        if col >= n {
                            let untouched = if beta == 0.0 { c[at].is_nan() } else { c[at] == before[at] };
                            assert!(untouched, "{what}: written outside");
                            continue;
                        }
                        let product = |t: usize, l: usize| {
                            let a = a.data[t * a.step + row * a.row + l].to_f64_exact();
                            a * b.data[t * b.step + col * b.row + l].to_f64_exact()
                        };
                        let sum: f64 =
                            (0..3).flat_map(|t| (0..k).map(move |l| (t, l))).map(|(t, l)| product(t, l)).sum();
                        let old = if beta == 0.0 { 0.0 } else { beta * before[at].to_f64_exact() };
                        close(c[at], alpha * sum + old, 3 * k, &what);
                    }
                }
            }
        }
    }
}

#[test]
fn outer_products_equal_plain_loops() {
    for (a_by_rows, one_b) in [(false, false), (true, false), (true, true)] {
        outer_equals_loops::<f32>(a_by_rows, one_b);
        outer_equals_loops::<f64>(a_by_rows, one_b);
    }
}

#[test]
fn dot_products_equal_plain_loops() {
    dot_equals_loops::<f32>();
    dot_equals_loops::<f64>();
}

#[test]
fn nothing_happens_without_rows_columns_or_products() {
    let a = Strided::rows(&[1.0f64; 4], 2);
    let (mut c, overwrite) = ([7.0; 4], Blend::overwrite());
    outer(Sizes { m: 0, n: 2, k: 2 }, 1, overwrite, a, a, StridedMut::rows(&mut c, 2));
    outer(Sizes { m: 2, n: 2, k: 2 }, 0, overwrite, a, a, StridedMut::rows(&mut c, 2));
    dot(Sizes { m: 2, n: 0, k: 2 }, 1, overwrite, a, a, StridedMut::rows(&mut c, 2));
    assert_eq!(c, [7.0; 4]);
    outer(Sizes { m: 2, n: 2, k: 0 }, 1, overwrite.with_beta(0.5), a, a, StridedMut::rows(&mut c, 2));
    assert_eq!(c, [3.5; 4]);
}

#[test]
#[should_panic(expected = "operands of a small product")]
fn operands_that_end_too_early_are_refused_before_anything_is_read() {
    let a = Strided::rows(&[1.0f32; 5], 2);
    outer(Sizes { m: 3, n: 2, k: 2 }, 1, Blend::overwrite(), a, a, StridedMut::rows(&mut [0.0; 6], 2));
}

#[test]
#[should_panic(expected = "result of a small product")]
fn results_that_end_too_early_are_refused_before_anything_is_written() {
    let a = Strided::rows(&[1.0f32; 6], 2);
    dot(Sizes { m: 3, n: 3, k: 2 }, 1, Blend::overwrite(), a, a, StridedMut::rows(&mut [0.0; 8], 3));
}

fn narrow_products_equal_loops<T: Scalar>() {
    for (d, n) in (2..=4).flat_map(|d| (1..=16).map(move |n| (d, n))) {
        for count in [0, 1, 5, 40] {
            let (a, b) = (numbers::<T>(d * d, d), numbers::<T>(count * d * n, n));
            for (alpha, beta) in [(1.0, 0.0), (0.5, 1.0), (-2.0, 0.25)] {
                let before = numbers::<T>(b.len(), count);
                for by_rows in [true, false] {
                    let mut c = if beta == 0.0 { vec![T::nan(); b.len()] } else { before.clone() };
                    let matrix = if by_rows { Strided::rows(&a, d) } else { Strided::rows(&a, d).transposed() };
                    let blend = Blend { alpha: T::from_f64_lossy(alpha), beta: T::from_f64_lossy(beta) };
                    assert!(is_narrow(d, n, d));
                    narrow(d, n, blend, matrix, &b, &mut c);
                    for (at, &found) in c.iter().enumerate() {
                        let (piece, i, column) = (at / (d * n), at / n % d, at % n);
                        let product = |j: usize| {
                            let a = a[i * matrix.row + j * matrix.col].to_f64_exact();
                            a * b[piece * d * n + j * n + column].to_f64_exact()
                        };
                        let old = if beta == 0.0 { 0.0 } else { beta * before[at].to_f64_exact() };
                        let want = alpha * (0..d).map(product).sum::<f64>() + old;
                        close(found, want, d, &format!("{} {d}×{d}×{n}, {count}, α {alpha}, β {beta}", T::NAME));
                    }
                }
            }
        }
    }
    assert!(!is_narrow(5, 1, 5) && !is_narrow(1, 1, 1) && !is_narrow(2, 1, 3) && !is_narrow(2, 17, 2));
}

#[test]
fn narrow_products_equal_plain_loops() {
    narrow_products_equal_loops::<f32>();
    narrow_products_equal_loops::<f64>();
}

#[test]
fn scaling_begins_again_with_the_factors_when_they_end() {
    let x: Vec<f64> = (1..=7).map(f64::from).collect();
    let mut y = [f64::NAN; 7];
    scale(Blend::overwrite(), &[1.0, 10.0, 100.0], &x, &mut y);
    assert_eq!(y, [1.0, 20.0, 300.0, 4.0, 50.0, 600.0, 7.0]);
    scale(Blend { alpha: 2.0, beta: -1.0 }, &[1.0, 10.0, 100.0], &x, &mut y);
    assert_eq!(y, [1.0, 20.0, 300.0, 4.0, 50.0, 600.0, 7.0]);
    scale(Blend { alpha: 0.5, beta: 0.0 }, &[4.0], &x, &mut y);
    assert_eq!(y, [2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0]);
    scale(Blend { alpha: 1.0, beta: 0.5 }, &[-1.0], &x, &mut y);
    assert_eq!(y, [0.0; 7]);
}

fn rows_become_columns_of<T: Scalar>() {
    for rows in [1, 7, 8, 9, 12, 23, 24] {
        for depth in [1, 5, 8, 17, 32] {
            for (gap, beside) in [(0, 0), (3, 0), (0, 2)] {
                let (stride, width) = (depth + gap, rows + beside);
                // The last row ends where the memory does.
                let from = numbers::<T>((rows - 1) * stride + depth, rows);
                let mut to = vec![T::nan(); depth * width];
                transpose(&from, stride, rows, &mut to, width);
                for (l, to) in to.chunks_exact(width).enumerate() {
                    let column: Vec<T> = (0..rows).map(|row| from[row * stride + l]).collect();
                    assert_eq!(to[..rows], column, "{rows} rows of {depth} values, {gap} apart, {beside} beside");
                    assert!(to[rows..].iter().all(|value| value.is_nan()));
                }
            }
        }
    }
}

#[test]
fn rows_become_columns() {
    rows_become_columns_of::<f32>();
    rows_become_columns_of::<f64>();
}
