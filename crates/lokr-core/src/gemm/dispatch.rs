//! The one place where a matrix product is dispatched: to BLAS, or to the embedded kernels.

use ndarray::{Array2, ArrayView2, ArrayViewMut2};

use super::blend::Blend;
use super::threads::Threads;
use super::{embedded, limits, panels, strips};
use crate::scalar::{Scalar, compiled_once};

compiled_once! {
    /// `C ← α·A·B + β·C`; the shapes must have been checked.
    pub(crate) fn product(
        blend: Blend<T>,
        a: ArrayView2<'_, T>,
        b: ArrayView2<'_, T>,
        c: ArrayViewMut2<'_, T>,
        threads: Threads,
    ) by dispatched
}

fn dispatched<T: Scalar>(
    blend: Blend<T>,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    mut c: ArrayViewMut2<'_, T>,
    threads: Threads,
) {
    debug_assert_eq!((a.nrows(), b.ncols()), c.dim());
    debug_assert_eq!(a.ncols(), b.nrows());
    if c.is_empty() {
        return;
    }
    if blend.alpha == T::zero() || a.ncols() == 0 {
        return blend.keep(c);
    }
    let flops = 2usize.saturating_mul(a.nrows()).saturating_mul(a.ncols()).saturating_mul(b.ncols());
    let threads = threads.for_flops(flops, limits::THREADED_PRODUCT_FLOPS);
    #[cfg(feature = "blas")]
    if threads == Threads::All && blas::takes(&a) && blas::takes(&b) && blas::takes(&c.view()) {
        ndarray::linalg::general_mat_mul(blend.alpha, &a, &b, blend.beta, &mut c);
        return;
    }
    let threads = threads.unless_woken(flops);
    // The transposed product, Cᵀ = Bᵀ·Aᵀ, has few rows where this one has few columns.
    let (a_t, b_t) = (a.reversed_axes(), b.reversed_axes());
    if strips::product(blend, a, b, &mut c, threads)
        || strips::product(blend, b_t, a_t, &mut c.view_mut().reversed_axes(), threads)
    {
        return;
    }
    let pay = |right: &ArrayView2<'_, T>| limits::panels_pay(right.len() * size_of::<T>());
    if a.ncols() >= limits::PANELS_DEPTH
        && (pay(&b) && panels::product(blend, a, b, &mut c, threads)
            || pay(&a_t) && panels::product(blend, b_t, a_t, &mut c.view_mut().reversed_axes(), threads))
    {
        return;
    }
    embedded::product(blend, a, b, c, threads);
}

/// `A·B` in an array of its own; the shapes must have been checked.
pub(crate) fn matmul<T: Scalar>(a: ArrayView2<'_, T>, b: ArrayView2<'_, T>, threads: Threads) -> Array2<T> {
    let mut c = Array2::zeros((a.nrows(), b.ncols()));
    product(Blend::overwrite(), a, b, c.view_mut(), threads);
    c
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
