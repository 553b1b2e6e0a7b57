//! General products by the embedded kernels of the `gemm` crate.
//!
//! One of the crate's few places with unsafe code; the others are the files of the room `kernel`.

use ndarray::{ArrayView2, ArrayViewMut2};

use super::blend::Blend;
use super::threads::Threads;
use crate::scalar::Scalar;

/// `C ← α·A·B + β·C`; the shapes must have been checked.
#[allow(unsafe_code)] // The kernel takes pointers and strides; see the comment inside.
pub(super) fn product<T: Scalar>(
    blend: Blend<T>,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    mut c: ArrayViewMut2<'_, T>,
    threads: Threads,
) {
    let (m, k) = a.dim();
    let n = b.ncols();
    assert!(b.nrows() == k && c.dim() == (m, n), "shapes of a product");
    let parallelism = match threads {
        Threads::One => gemm::Parallelism::None,
        Threads::All => gemm::Parallelism::Rayon(0),
    };
    let (c_rows, c_cols) = (c.strides()[0], c.strides()[1]);
    // SAFETY: the pointers and strides come from live views whose shapes are m × k, k × n and m × n (asserted above),
    // so every element touched belongs to them; `c` is borrowed mutably and so overlaps neither input. `T` is f32 or
    // f64 (`Scalar` is sealed), which the kernel supports. `read_dst = false` never reads `c`.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            c_cols,
            c_rows,
            blend.beta != T::zero(),
            a.as_ptr(),
            a.strides()[1],
            a.strides()[0],
            b.as_ptr(),
            b.strides()[1],
            b.strides()[0],
            blend.beta,
            blend.alpha,
            false,
            false,
            false,
            parallelism,
        );
    }
}
