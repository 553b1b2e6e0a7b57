//! The one numeric trait: `f32` and `f64`.

use ndarray::NdFloat;
use num_traits::FromPrimitive;

mod sealed {
    /// Keeps [`super::Scalar`] to `f32` and `f64` and carries the bounds of the decompositions and of scratch memory.
    pub trait Sealed: faer::traits::RealField + crate::gemm::scratch::Scratch + crate::gemm::kernel::Kernel {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// The element type of every matrix in this project: `f32` or `f64`.
///
/// Sealed: the kernels, the decompositions and BLAS exist for these two only.
///
/// # Examples
/// ```
/// fn half<T: lokr_core::Scalar>() -> T {
///     T::from_f64_lossy(0.5)
/// }
/// assert_eq!(half::<f32>(), 0.5);
/// assert_eq!(half::<f64>(), 0.5);
/// ```
pub trait Scalar: NdFloat + FromPrimitive + std::iter::Sum + sealed::Sealed {
    /// Name of the type, `"f32"` or `"f64"`.
    const NAME: &'static str;

    /// Nearest value to `value`; beyond the range of the type this is ±infinity.
    fn from_f64_lossy(value: f64) -> Self;

    /// This value as `f64`, exactly.
    fn to_f64_exact(self) -> f64;

    /// Nearest value to `value`.
    fn from_usize_lossy(value: usize) -> Self {
        Self::from_f64_lossy(value as f64)
    }
}

impl Scalar for f32 {
    const NAME: &'static str = "f32";

    fn from_f64_lossy(value: f64) -> Self {
        value as f32
    }

    fn to_f64_exact(self) -> f64 {
        f64::from(self)
    }
}

impl Scalar for f64 {
    const NAME: &'static str = "f64";

    fn from_f64_lossy(value: f64) -> Self {
        value
    }

    fn to_f64_exact(self) -> f64 {
        self
    }
}
