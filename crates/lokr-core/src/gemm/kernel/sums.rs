//! Sums of the lanes of four registers, which are added to one another on the way.

use pulp::Simd;

/// The sums, where there are instructions for it.
macro_rules! sum_four {
    ($sum_four:ident, $float:ty, $vector:ident) => {
        #[inline(always)]
        pub(super) fn $sum_four<S: Simd>(simd: S, four: [S::$vector; 4]) -> Option<[$float; 4]> {
            #[cfg(target_arch = "x86_64")]
            if let Some(avx) = super::lanes::avx(&simd) {
                use pulp::bytemuck::try_cast;
                let [a, b, c, d] = four;
                // Registers of that set are of 32 bytes, so all of these are.
                if let (Ok(a), Ok(b), Ok(c), Ok(d)) = (try_cast(a), try_cast(b), try_cast(c), try_cast(d)) {
                    return Some(x86::$sum_four(avx, [a, b, c, d]));
                }
            }
            let _ = (simd, four);
            None
        }
    };
}

sum_four!(sum_four_f32, f32, f32s);
sum_four!(sum_four_f64, f64, f64s);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m256, __m256d};

    use pulp::cast;
    use pulp::core_arch::x86::Avx;

    /// Neighbours twice, then the halves.
    #[inline(always)]
    pub(super) fn sum_four_f32(avx: Avx, [a, b, c, d]: [__m256; 4]) -> [f32; 4] {
        let pairs = (avx._mm256_hadd_ps(a, b), avx._mm256_hadd_ps(c, d));
        let [lower, upper]: [[f32; 4]; 2] = cast(avx._mm256_hadd_ps(pairs.0, pairs.1));
        [lower[0] + upper[0], lower[1] + upper[1], lower[2] + upper[2], lower[3] + upper[3]]
    }

    /// Neighbours, then the halves.
    #[inline(always)]
    pub(super) fn sum_four_f64(avx: Avx, [a, b, c, d]: [__m256d; 4]) -> [f64; 4] {
        let (left, right) = (avx._mm256_hadd_pd(a, b), avx._mm256_hadd_pd(c, d));
        let (lower, upper) =
            (avx._mm256_permute2f128_pd::<0x20>(left, right), avx._mm256_permute2f128_pd::<0x31>(left, right));
        cast(avx._mm256_add_pd(lower, upper))
    }
}
