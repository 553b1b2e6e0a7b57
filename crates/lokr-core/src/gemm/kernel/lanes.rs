//! Vector registers of `f32` and `f64`, by the `pulp` crate's run-time dispatch.
#![allow(unsafe_code)] // Loads and stores through pointers; see the safety sections.

use num_complex::Complex;
use num_traits::Float;
use pulp::{Arch, MemMask, Simd, WithSimd};

use super::sums::{sum_four_f32, sum_four_f64};
use super::turn::{SQUARE, turn_f32, turn_f64};

/// A register of floats on the instruction set `S`.
pub(super) trait Lanes<S: Simd>: Float {
    /// The register.
    type Vector: Copy;
    /// The selection of the first lanes of a register.
    type Mask: Copy;
    /// Values per register.
    const COUNT: usize;

    /// All lanes `value`.
    fn splat(simd: S, value: Self) -> Self::Vector;
    /// Lanes in turn `pair[0]`, `pair[1]`, `pair[0]`, …, where a register has at least two.
    fn splat_pair(simd: S, pair: [Self; 2]) -> Self::Vector;
    /// `a·b + c`, rounded once.
    fn mul_add(simd: S, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// `a·b`.
    fn mul(simd: S, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Sum of the lanes.
    fn sum(simd: S, a: Self::Vector) -> Self;
    /// Sums of the lanes of four registers.
    fn sum_four(simd: S, four: [Self::Vector; 4]) -> [Self; 4];
    /// The rows of a square, made of the columns of another.
    fn turn(simd: S, rows: [&[Self; SQUARE]; SQUARE]) -> [[Self; SQUARE]; SQUARE];
    /// Selects the first `count` lanes.
    fn first(simd: S, count: usize) -> Self::Mask;
    /// Reads a register.
    ///
    /// # Safety
    /// `from` must be readable for [`Lanes::COUNT`] values.
    unsafe fn load(from: *const Self) -> Self::Vector;
    /// Writes a register.
    ///
    /// # Safety
    /// `to` must be writable for [`Lanes::COUNT`] values.
    unsafe fn store(to: *mut Self, value: Self::Vector);
    /// Reads the selected lanes; the others are zero.
    ///
    /// # Safety
    /// `from` must be readable for the selected lanes.
    unsafe fn load_masked(simd: S, mask: Self::Mask, from: *const Self) -> Self::Vector;
    /// Writes the selected lanes.
    ///
    /// # Safety
    /// `to` must be writable for the selected lanes.
    unsafe fn store_masked(simd: S, mask: Self::Mask, to: *mut Self, value: Self::Vector);
}

macro_rules! lanes {
    ($float:ty, $vector:ident, $mask:ident, $index:ty, $count:ident, $between:ident, $splat:ident, $splat_pair:ident,
     $mul_add:ident, $mul:ident, $sum:ident, $sum_four:ident, $turn:ident, $load:ident, $store:ident) => {
        impl<S: Simd> Lanes<S> for $float {
            type Vector = S::$vector;
            type Mask = MemMask<S::$mask>;
            const COUNT: usize = S::$count;

            #[inline(always)]
            fn splat(simd: S, value: Self) -> Self::Vector {
                simd.$splat(value)
            }
            #[inline(always)]
            fn splat_pair(simd: S, [re, im]: [Self; 2]) -> Self::Vector {
                if <Self as Lanes<S>>::COUNT < 2 {
                    return simd.$splat(re);
                }
                // Complex numbers lie in registers as pairs of floats.
                let pairs = simd.$splat_pair(Complex { re, im });
                // SAFETY: with two or more lanes both registers are the same bytes of plain floats.
                unsafe { (&raw const pairs).cast::<Self::Vector>().read_unaligned() }
            }
            #[inline(always)]
            fn mul_add(simd: S, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
                simd.$mul_add(a, b, c)
            }
            #[inline(always)]
            fn mul(simd: S, a: Self::Vector, b: Self::Vector) -> Self::Vector {
                simd.$mul(a, b)
            }
            #[inline(always)]
            fn sum(simd: S, a: Self::Vector) -> Self {
                simd.$sum(a)
            }
            #[inline(always)]
            fn sum_four(simd: S, four: [Self::Vector; 4]) -> [Self; 4] {
                $sum_four(simd, four).unwrap_or_else(|| four.map(|a| simd.$sum(a)))
            }
            #[inline(always)]
            fn turn(simd: S, rows: [&[Self; SQUARE]; SQUARE]) -> [[Self; SQUARE]; SQUARE] {
                $turn(simd, rows)
            }
            #[inline(always)]
            fn first(simd: S, count: usize) -> Self::Mask {
                // A register never has more than 64 lanes.
                simd.$between(0, count as $index)
            }
            #[inline(always)]
            unsafe fn load(from: *const Self) -> Self::Vector {
                // SAFETY: readable by the contract; `Vector` is plain data of that many floats.
                unsafe { from.cast::<Self::Vector>().read_unaligned() }
            }
            #[inline(always)]
            unsafe fn store(to: *mut Self, value: Self::Vector) {
                // SAFETY: writable by the contract.
                unsafe { to.cast::<Self::Vector>().write_unaligned(value) }
            }
            #[inline(always)]
            unsafe fn load_masked(simd: S, mask: Self::Mask, from: *const Self) -> Self::Vector {
                // The mask alone: what it carries besides is a call of a function for every load.
                // SAFETY: the same contract.
                unsafe { simd.$load(MemMask::new(mask.mask()), from) }
            }
            #[inline(always)]
            unsafe fn store_masked(simd: S, mask: Self::Mask, to: *mut Self, value: Self::Vector) {
                // SAFETY: the same contract.
                unsafe { simd.$store(mask, to, value) }
            }
        }
    };
}

lanes!(
    f32,
    f32s,
    m32s,
    u32,
    F32_LANES,
    mask_between_m32s,
    splat_f32s,
    splat_c32s,
    mul_add_f32s,
    mul_f32s,
    reduce_sum_f32s,
    sum_four_f32,
    turn_f32,
    mask_load_ptr_f32s,
    mask_store_ptr_f32s
);
lanes!(
    f64,
    f64s,
    m64s,
    u64,
    F64_LANES,
    mask_between_m64s,
    splat_f64s,
    splat_c64s,
    mul_add_f64s,
    mul_f64s,
    reduce_sum_f64s,
    sum_four_f64,
    turn_f64,
    mask_load_ptr_f64s,
    mask_store_ptr_f64s
);

/// The instructions of registers of 32 bytes, if `simd` is that set.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn avx<S: Simd>(simd: &S) -> Option<pulp::core_arch::x86::Avx> {
    (simd as &dyn std::any::Any).downcast_ref::<pulp::x86::V3>().map(|simd| simd.avx)
}

/// Asks for the cache line of an address that will be used soon, in the first-level cache if `FIRST`, else in the
/// second. The address need not exist.
#[inline(always)]
pub(crate) fn prefetch<T, const FIRST: bool>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch touches no memory that a program can tell, whatever the address is.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        if FIRST {
            _mm_prefetch::<_MM_HINT_T0>(address.cast());
        } else {
            _mm_prefetch::<_MM_HINT_T1>(address.cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Work that can run on any instruction set.
pub(super) trait Work<T> {
    /// Runs on `S`.
    fn run<S: Simd>(self, simd: S)
    where
        T: Lanes<S>;
}

/// Makes the function that runs work on floats of one type.
macro_rules! on_best_instructions {
    ($name:ident, $float:ty) => {
        /// Runs `work` on the best instruction set of this processor for rows of `width` values: registers wider than a
        /// row would only carry empty lanes.
        #[inline]
        pub(super) fn $name(width: usize, work: impl Work<$float>) {
            struct Adapter<W>(W);
            impl<W: Work<$float>> WithSimd for Adapter<W> {
                type Output = ();
                #[inline(always)]
                fn with_simd<S: Simd>(self, simd: S) {
                    self.0.run(simd);
                }
            }
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            if width <= 32 / size_of::<$float>()
                && let Some(simd) = pulp::x86::V3::try_new()
            {
                simd.vectorize(Run { simd, work: Adapter(work) });
                return;
            }
            let _ = width;
            Arch::new().dispatch(Adapter(work));
        }
    };
}

on_best_instructions!(run_f32, f32);
on_best_instructions!(run_f64, f64);

/// Gives work of every element type the method `run_on_best(width)`.
macro_rules! run_on_best {
    ($work:ident) => {
        impl<T: $crate::scalar::Scalar> $work<'_, T> {
            /// Runs on the best instruction set of this processor for rows of `width` values.
            #[inline]
            fn run_on_best(self, width: usize) {
                struct Runs;
                impl $crate::scalar::PerType for Runs {
                    type Of<T: $crate::scalar::Scalar> = for<'a> fn(usize, $work<'a, T>);
                    #[inline(always)]
                    fn f32(self) -> Self::Of<f32> {
                        |width, work| $crate::gemm::kernel::lanes::run_f32(width, work)
                    }
                    #[inline(always)]
                    fn f64(self) -> Self::Of<f64> {
                        |width, work| $crate::gemm::kernel::lanes::run_f64(width, work)
                    }
                }
                $crate::scalar::per_type::<T, _>(Runs)(width, self);
            }
        }
    };
}
pub(super) use run_on_best;

/// Hands a fixed instruction set to work that takes any.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
struct Run<S, W> {
    simd: S,
    work: W,
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
impl<S: Simd, W: WithSimd<Output = ()>> pulp::NullaryFnOnce for Run<S, W> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        self.work.with_simd(self.simd);
    }
}
