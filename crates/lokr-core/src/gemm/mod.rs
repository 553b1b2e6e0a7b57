//! The one place where a matrix product is dispatched: to BLAS, or to the embedded kernels.

mod backend;
pub(crate) mod kernel;
mod packed;
pub(crate) mod scratch;
pub(crate) mod strips;
pub(crate) mod views;

use ndarray::{ArrayRef2, ArrayView2, ArrayViewMut2};

use crate::error::{KronError, Result};
use crate::scalar::Scalar;

pub use backend::{Backend, backend};
pub use packed::PackedMatrix;

/// Below this many flops a product is not worth waking other threads for (about 20 µs of one core).
const PARALLEL_FLOPS: usize = 2_000_000;

/// Who may work on one product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The calling thread alone: the product is a tile inside a parallel loop.
    One,
    /// BLAS where one is linked, else the threads of the current rayon pool.
    All,
}

/// `C ← α·A·B + β·C` for whole matrices, by BLAS where one is linked, else by the embedded kernels on all threads of
/// the current rayon pool.
///
/// # Shapes
/// `a`: `m × k`; `b`: `k × n`; `c`: `m × n`; any strides. With `beta = 0`, `c` is overwritten and may hold anything,
/// NaN included. `k = 0` gives `β·C`.
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
    product(alpha, a.view(), b.view(), beta, c.view_mut(), Threads::All);
    Ok(())
}

/// `C ← α·A·B + β·C`; the shapes must have been checked.
pub(crate) fn product<T: Scalar>(
    alpha: T,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    beta: T,
    c: ArrayViewMut2<'_, T>,
    threads: Threads,
) {
    debug_assert_eq!((a.nrows(), b.ncols()), c.dim());
    debug_assert_eq!(a.ncols(), b.nrows());
    let flops = 2 * a.nrows() * a.ncols() * b.ncols();
    let parallel = threads == Threads::All && flops >= PARALLEL_FLOPS;
    #[cfg(feature = "blas")]
    if parallel && blas::takes(&a) && blas::takes(&b) && blas::takes(&c.view()) {
        let mut c = c;
        ndarray::linalg::general_mat_mul(alpha, &a, &b, beta, &mut c);
        return;
    }
    let mut c = c;
    // The transposed product, Cᵀ = Bᵀ·Aᵀ, has few rows where this one has few columns.
    if strips::product(alpha, a, b, beta, &mut c, parallel)
        || strips::product(
            alpha,
            b.reversed_axes(),
            a.reversed_axes(),
            beta,
            &mut c.view_mut().reversed_axes(),
            parallel,
        )
    {
        return;
    }
    embedded(alpha, a, b, beta, c, parallel);
}

/// Whether large products from this thread go to a BLAS.
pub(crate) fn prefers_blas() -> bool {
    cfg!(feature = "blas") && rayon::current_thread_index().is_none()
}

#[cfg(feature = "blas")]
mod blas {
    use ndarray::ArrayView2;

    /// Whether BLAS can take this matrix as it lies: one axis with stride one, the other long enough, all within the
    /// 32-bit sizes of the interface; and whether this thread may call BLAS at all. A worker of a rayon pool may not,
    /// since BLAS's own threads would multiply with the pool's.
    pub(super) fn takes<T>(matrix: &ArrayView2<'_, T>) -> bool {
        const LIMIT: usize = i32::MAX as usize;
        let (rows, cols) = matrix.dim();
        let strides = matrix.strides();
        let fits = |inner: isize, outer: isize, length: usize| {
            inner == 1 && outer >= length as isize && outer <= LIMIT as isize
        };
        rayon::current_thread_index().is_none()
            && rows.max(cols) <= LIMIT
            && (fits(strides[1], strides[0], cols) || fits(strides[0], strides[1], rows))
    }
}

/// The embedded kernel. The only unsafe code of the crate.
#[allow(unsafe_code)]
fn embedded<T: Scalar>(
    alpha: T,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    beta: T,
    mut c: ArrayViewMut2<'_, T>,
    parallel: bool,
) {
    let (m, k) = a.dim();
    let n = b.ncols();
    let parallelism = if parallel { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None };
    let (c_rows, c_cols) = (c.strides()[0], c.strides()[1]);
    // SAFETY: the pointers and strides come from live views whose shapes are m × k, k × n and m × n (asserted by the
    // caller's checks), so every element touched belongs to them; `c` is borrowed mutably and so overlaps neither
    // input. `T` is f32 or f64 (`Scalar` is sealed), which the kernel supports. `read_dst = false` never reads `c`.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            c_cols,
            c_rows,
            beta != T::zero(),
            a.as_ptr(),
            a.strides()[1],
            a.strides()[0],
            b.as_ptr(),
            b.strides()[1],
            b.strides()[0],
            beta,
            alpha,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, ShapeBuilder, s};

    fn matrix<T: Scalar>(rows: usize, cols: usize, seed: usize) -> Array2<T> {
        Array2::from_shape_fn((rows, cols), |(i, j)| {
            T::from_f64_lossy(((i * 31 + j * 17 + seed * 7) % 83) as f64 / 83.0 - 0.5)
        })
    }

    /// The matrix again, in each of several layouts.
    fn layouts<T: Scalar>(matrix: &Array2<T>) -> Vec<Array2<T>> {
        let mut column_major = Array2::zeros(matrix.dim().f());
        column_major.assign(matrix);
        vec![matrix.clone(), column_major]
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
                for a in layouts(&a) {
                    for b in layouts(&b) {
                        let mut results = layouts(&c);
                        let mut gaps = wide.slice_mut(s![.., 1..=n]);
                        gaps.assign(&c);
                        for mut c in results.iter_mut().map(|c| c.view_mut()).chain(std::iter::once(gaps)) {
                            if beta == 0.0 {
                                c.fill(T::nan());
                            }
                            matmul_into(T::from_f64_lossy(alpha), &a, &b, T::from_f64_lossy(beta), &mut c).unwrap();
                            for (got, want) in c.iter().zip(&want) {
                                let difference = (got.to_f64_exact() - want).abs();
                                assert!(difference <= tolerance, "{} {m}×{k}×{n}: {got} {want}", T::NAME);
                            }
                        }
                        assert!(wide.column(0).iter().all(|v| v.is_nan()) && wide[[0, n + 1]].is_nan());
                    }
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
