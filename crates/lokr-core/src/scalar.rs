//! The one numeric trait: `f32` and `f64`.

use ndarray::NdFloat;
use num_traits::FromPrimitive;

mod sealed {
    use super::{PerType, Scalar};

    /// Keeps [`Scalar`] to `f32` and `f64`, and tells the library which of the two a type is.
    pub trait Sealed: Sized {
        /// What `family` has for this type. No other crate can call it, because none can name a [`PerType`].
        fn per_type<F: PerType>(family: F) -> F::Of<Self>
        where
            Self: Scalar;
    }

    impl Sealed for f32 {
        #[inline(always)]
        fn per_type<F: PerType>(family: F) -> F::Of<Self> {
            family.f32()
        }
    }

    impl Sealed for f64 {
        #[inline(always)]
        fn per_type<F: PerType>(family: F) -> F::Of<Self> {
            family.f64()
        }
    }
}

/// One thing for each element type: where the library needs more of a type than [`Scalar`] promises (vector registers,
/// scratch memory, decompositions), it says what that is for `f32` and for `f64`, beside the code that uses it.
///
/// Public in a private module, as the sealed trait is: no bound on [`Scalar`] leads to what a family holds.
pub trait PerType {
    /// What this family has for `T`.
    type Of<T: Scalar>;

    /// That of `f32`.
    fn f32(self) -> Self::Of<f32>;

    /// That of `f64`.
    fn f64(self) -> Self::Of<f64>;
}

/// What `family` has for `T`; known when the program is compiled.
#[inline(always)]
pub(crate) fn per_type<T: Scalar, F: PerType>(family: F) -> F::Of<T> {
    <T as sealed::Sealed>::per_type(family)
}

/// Defines a function of an element type `T` that does what a generic one, `$work`, does, and has it compiled for both
/// types in this crate.
///
/// Generic code is compiled where it is used: without this, each program and each test would compile the kernels again.
/// The methods that hand the functions out are not inlined, for then their users would.
macro_rules! compiled_once {
    ($(#[$doc:meta])* $visible:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) by $work:ident) => {
        $(#[$doc])*
        $visible fn $name<T: Scalar>($($argument: $type),*) {
            struct Compiled;
            impl $crate::scalar::PerType for Compiled {
                type Of<T: Scalar> = fn($($type),*);

                #[inline(never)]
                fn f32(self) -> Self::Of<f32> {
                    $work::<f32>
                }

                #[inline(never)]
                fn f64(self) -> Self::Of<f64> {
                    $work::<f64>
                }
            }
            $crate::scalar::per_type::<T, _>(Compiled)($($argument),*);
        }
    };
}
pub(crate) use compiled_once;

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
///
/// # What it hands on
/// The methods of [`NdFloat`], [`FromPrimitive`] and [`Sum`](std::iter::Sum), and those below. What the library itself
/// needs of a type, such as its scratch memory, its vector registers and its decompositions, is no method of it:
/// ```compile_fail
/// fn scratch<T: lokr_core::Scalar>() -> usize {
///     T::with_scratch(8, |memory: &mut [T]| memory.len())
/// }
/// ```
/// ```compile_fail
/// fn field<T: lokr_core::Scalar>(x: T) -> T {
///     x.abs1_impl() // a method of the decompositions' own trait
/// }
/// ```
/// The seal has one function, which picks what the library keeps for `f32` or for `f64`. Only the library has something
/// to pick from:
/// ```compile_fail
/// fn pick<T: lokr_core::Scalar>() {
///     T::per_type(());
/// }
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
