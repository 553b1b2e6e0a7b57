//! The product of two dense matrices, as users call it.

use ndarray::ArrayRef2;

use super::blend::Blend;
use super::dispatch::product;
use super::threads::Threads;
use crate::error::{KronError, Result};
use crate::scalar::Scalar;

/// `C ← α·A·B + β·C` for whole matrices, by BLAS where one is linked, else by the embedded kernels on all threads of
/// the current rayon pool.
///
/// # Shapes
/// `a`: `m × k`; `b`: `k × n`; `c`: `m × n`; any strides. With `beta = 0`, `c` is overwritten and may hold anything,
/// NaN included. `k = 0` and `alpha = 0` give `β·C`; as in BLAS, `alpha = 0` does not read `a` and `b`.
/// # Cost
/// `2·m·n·k` flops.
/// # Reproducibility
/// On the embedded backend the bits do not depend on the number of threads.
/// # Errors
/// [`KronError::Shape`]; `c` is then untouched.
/// # Examples
/// ```
/// use ndarray::{Array2, array};
/// let mut c = Array2::from_elem((1, 1), f64::NAN);
/// lokr_core::matmul_into(2.0, &array![[1.0, 2.0]], &array![[3.0], [4.0]], 0.0, &mut c)?;
/// assert_eq!(c, array![[22.0]]);
/// # Ok::<(), lokr_core::KronError>(())
/// ```
pub fn matmul_into<T: Scalar>(
    alpha: T,
    a: &ArrayRef2<T>,
    b: &ArrayRef2<T>,
    beta: T,
    c: &mut ArrayRef2<T>,
) -> Result<()> {
    let (m, k) = a.dim();
    let n = b.ncols();
    KronError::check_shape("matmul", "b", (k, n), b.dim())?;
    KronError::check_shape("matmul", "c", (m, n), c.dim())?;
    product(Blend { alpha, beta }, a.view(), b.view(), c.view_mut(), Threads::All);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::KronError;
    use lokr_testing::{LAYOUTS, Layout, with_layout};
    use ndarray::{Array2, s};

    /// Values in `(-1/2, 1/2)`.
    fn matrix<T: Scalar>(rows: usize, cols: usize, seed: u64) -> Array2<T> {
        lokr_testing::matrix(rows, cols, seed) * T::from_f64_lossy(0.5)
    }

    /// Three loops in f64. Sizes on both sides of every threshold, among them few rows and few columns.
    fn equals_loops<T: Scalar>() {
        let sizes = [
            (1, 1, 1),
            (1, 300, 700),
            (3, 70, 600),
            (64, 130, 520),
            (65, 40, 30),
            (200, 90, 5),
            (300, 260, 1),
            (5, 0, 4),
        ];
        for (m, k, n) in sizes {
            let (a, b, c) = (matrix::<T>(m, k, 1), matrix::<T>(k, n, 2), matrix::<T>(m, n, 3));
            for (alpha, beta) in [(1.0, 0.0), (-0.5, 2.0)] {
                let want = Array2::from_shape_fn((m, n), |(i, j)| {
                    let sum: f64 = (0..k).map(|l| a[[i, l]].to_f64_exact() * b[[l, j]].to_f64_exact()).sum();
                    alpha * sum + beta * c[[i, j]].to_f64_exact()
                });
                let tolerance = 4.0 * T::epsilon().to_f64_exact() * (k + 4) as f64;
                let mut wide = Array2::from_elem((m, 2 * n + 1), T::nan());
                let check = |found: &ArrayRef2<T>, what: &str| {
                    for (found, want) in found.iter().zip(&want) {
                        let difference = (found.to_f64_exact() - want).abs();
                        assert!(difference <= tolerance, "{} {m}×{k}×{n}, {what}: {found} {want}", T::NAME);
                    }
                };
                let product = |a: &ArrayRef2<T>, b: &ArrayRef2<T>, c: &mut ArrayRef2<T>| {
                    if beta == 0.0 {
                        c.fill(T::nan());
                    }
                    matmul_into(T::from_f64_lossy(alpha), a, b, T::from_f64_lossy(beta), c).unwrap();
                };
                for (of_a, of_b) in LAYOUTS.into_iter().flat_map(|a| LAYOUTS.map(|b| (a, b))) {
                    with_layout(&a, of_a, |a| {
                        with_layout(&b, of_b, |b| {
                            for of_c in [Layout::RowMajor, Layout::ColumnMajor] {
                                with_layout(&c, of_c, |c| {
                                    product(a, b, c);
                                    check(c, &format!("{of_a:?}, {of_b:?}, {of_c:?}"));
                                });
                            }
                            let mut gaps = wide.slice_mut(s![.., 1..=n]);
                            gaps.assign(&c);
                            product(a, b, &mut gaps);
                            check(&gaps, &format!("{of_a:?}, {of_b:?}, gaps"));
                            assert!(wide.column(0).iter().all(|v| v.is_nan()) && wide[[0, n + 1]].is_nan());
                        });
                    });
                }
            }
        }
    }

    #[test]
    fn products_equal_plain_loops_f32() {
        equals_loops::<f32>();
    }

    #[test]
    fn products_equal_plain_loops_f64() {
        equals_loops::<f64>();
    }

    #[test]
    fn wrong_shapes_leave_the_result_alone() {
        let mut c = Array2::from_elem((2, 2), 7.0);
        let (a, b) = (Array2::ones((2, 3)), Array2::ones((4, 2)));
        assert!(matches!(matmul_into(1.0, &a, &b, 0.0, &mut c), Err(KronError::Shape { argument: "b", .. })));
        let b = Array2::ones((3, 5));
        assert!(matches!(matmul_into(1.0, &a, &b, 0.0, &mut c), Err(KronError::Shape { argument: "c", .. })));
        assert_eq!(c, Array2::from_elem((2, 2), 7.0));
    }
}
