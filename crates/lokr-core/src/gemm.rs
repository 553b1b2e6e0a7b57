//! The one place where a matrix product is dispatched: to BLAS, or to the embedded kernels.

use ndarray::{ArrayRef2, ArrayView2, ArrayViewMut2};

use crate::{KronError, Result, Scalar};

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
    embedded(alpha, a, b, beta, c, parallel);
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
