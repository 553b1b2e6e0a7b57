//! The decompositions of dense matrices, for every element type.
//!
//! The functions of [`dense`] need traits of `faer` of their element type, of which [`Scalar`] says nothing. Here
//! stands which they are for `f32` and for `f64`.

use faer::traits::RealField;
use ndarray::{Array1, Array2, ArrayView2};
use num_complex::Complex;

use super::dense::{self, Eigen, LuFactors, Memory, Storage, System, ThinSvd};
use crate::scalar::{PerType, Scalar, per_type};

/// The functions of [`dense`] for one element type.
#[allow(clippy::type_complexity)] // Each is the type of the function of that name.
pub(super) struct Door<T> {
    pub(super) thin_svd: fn(ArrayView2<'_, T>) -> Option<ThinSvd<T>>,
    pub(super) singular_values: fn(ArrayView2<'_, T>) -> Option<Array1<T>>,
    pub(super) thin_qr: fn(ArrayView2<'_, T>) -> (Array2<T>, Array2<T>),
    pub(super) symmetric_eigen: fn(ArrayView2<'_, T>) -> Option<Eigen<T, T>>,
    pub(super) skew_eigen: fn(ArrayView2<'_, T>) -> Option<Eigen<T, Complex<T>>>,
    pub(super) hessenberg: fn(ArrayView2<'_, T>) -> (Array2<T>, Array2<T>),
    pub(super) cholesky_lower: fn(ArrayView2<'_, T>) -> Option<Array2<T>>,
    pub(super) lu: fn(ArrayView2<'_, T>) -> LuFactors<T>,
    pub(super) lu_memory: fn(&[(usize, usize)]) -> Memory,
    pub(super) lu_solve: fn(&LuFactors<T>, System, &mut [T], Storage, &mut Memory),
    pub(super) lu_inverse: fn(&LuFactors<T>) -> Array2<T>,
}

/// The functions for `T`.
pub(super) fn door<T: Scalar>() -> Door<T> {
    per_type::<T, _>(Doors)
}

struct Doors;

impl PerType for Doors {
    type Of<T: Scalar> = Door<T>;

    fn f32(self) -> Self::Of<f32> {
        open()
    }

    fn f64(self) -> Self::Of<f64> {
        open()
    }
}

fn open<T: RealField + Scalar>() -> Door<T> {
    Door {
        thin_svd: dense::thin_svd,
        singular_values: dense::singular_values,
        thin_qr: dense::thin_qr,
        symmetric_eigen: dense::symmetric_eigen,
        skew_eigen: dense::skew_eigen,
        hessenberg: dense::hessenberg,
        cholesky_lower: dense::cholesky_lower,
        lu: dense::lu,
        lu_memory: dense::lu_memory::<T>,
        lu_solve: dense::lu_solve,
        lu_inverse: dense::lu_inverse,
    }
}
