//! Squares of eight by eight values turned in registers.

use pulp::Simd;

/// Rows and columns of a square.
pub(super) const SQUARE: usize = 8;

/// The rows of a square, made of the columns of another.
macro_rules! turn {
    ($turn:ident, $float:ty) => {
        #[inline(always)]
        pub(super) fn $turn<S: Simd>(simd: S, rows: [&[$float; SQUARE]; SQUARE]) -> [[$float; SQUARE]; SQUARE] {
            #[cfg(target_arch = "x86_64")]
            if let Some(avx) = super::lanes::avx(&simd) {
                return x86::$turn(avx, rows);
            }
            let _ = simd;
            plain(rows)
        }
    };
}

turn!(turn_f32, f32);
turn!(turn_f64, f64);

/// Value by value, as the compiler sees fit.
#[inline(always)]
fn plain<T: Copy>(rows: [&[T; SQUARE]; SQUARE]) -> [[T; SQUARE]; SQUARE] {
    std::array::from_fn(|j| std::array::from_fn(|i| rows[i][j]))
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m256, __m256d};

    use pulp::cast;
    use pulp::core_arch::x86::Avx;

    use super::SQUARE;

    // Written out: closures would be functions of their own, without these instructions.

    /// Three rounds: pairs of rows, pairs of pairs, and the halves of registers.
    #[inline(always)]
    pub(super) fn turn_f32(avx: Avx, rows: [&[f32; SQUARE]; SQUARE]) -> [[f32; SQUARE]; SQUARE] {
        let [a, b, c, d, e, f, g, h] = rows;
        let (upper, lower) = (four(avx, [a, b, c, d]), four(avx, [e, f, g, h]));
        [
            cast(avx._mm256_permute2f128_ps::<0x20>(upper[0], lower[0])),
            cast(avx._mm256_permute2f128_ps::<0x20>(upper[1], lower[1])),
            cast(avx._mm256_permute2f128_ps::<0x20>(upper[2], lower[2])),
            cast(avx._mm256_permute2f128_ps::<0x20>(upper[3], lower[3])),
            cast(avx._mm256_permute2f128_ps::<0x31>(upper[0], lower[0])),
            cast(avx._mm256_permute2f128_ps::<0x31>(upper[1], lower[1])),
            cast(avx._mm256_permute2f128_ps::<0x31>(upper[2], lower[2])),
            cast(avx._mm256_permute2f128_ps::<0x31>(upper[3], lower[3])),
        ]
    }

    /// Columns 0 to 3 of four rows in the lower halves of four registers, columns 4 to 7 in the upper halves.
    #[inline(always)]
    fn four(avx: Avx, [a, b, c, d]: [&[f32; SQUARE]; 4]) -> [__m256; 4] {
        let (a, b, c, d): (__m256, __m256, __m256, __m256) = (cast(*a), cast(*b), cast(*c), cast(*d));
        let (low, high) = (avx._mm256_unpacklo_ps(a, b), avx._mm256_unpackhi_ps(a, b));
        let (next_low, next_high) = (avx._mm256_unpacklo_ps(c, d), avx._mm256_unpackhi_ps(c, d));
        [
            avx._mm256_shuffle_ps::<0x44>(low, next_low),
            avx._mm256_shuffle_ps::<0xee>(low, next_low),
            avx._mm256_shuffle_ps::<0x44>(high, next_high),
            avx._mm256_shuffle_ps::<0xee>(high, next_high),
        ]
    }

    /// Two rounds for each quarter.
    #[inline(always)]
    pub(super) fn turn_f64(avx: Avx, rows: [&[f64; SQUARE]; SQUARE]) -> [[f64; SQUARE]; SQUARE] {
        let [a, b, c, d, e, f, g, h] = rows;
        let (upper, lower) = ([a, b, c, d], [e, f, g, h]);
        let [a, b, c, d] = side_by_side(quarter::<0>(avx, upper), quarter::<0>(avx, lower));
        let [e, f, g, h] = side_by_side(quarter::<1>(avx, upper), quarter::<1>(avx, lower));
        [a, b, c, d, e, f, g, h]
    }

    /// The columns of four rows' first or second half: pairs of rows, and the halves of registers.
    #[inline(always)]
    fn quarter<const HALF: usize>(avx: Avx, [a, b, c, d]: [&[f64; SQUARE]; 4]) -> [__m256d; 4] {
        let (a, b): (__m256d, __m256d) = (cast(a.as_chunks::<4>().0[HALF]), cast(b.as_chunks::<4>().0[HALF]));
        let (c, d): (__m256d, __m256d) = (cast(c.as_chunks::<4>().0[HALF]), cast(d.as_chunks::<4>().0[HALF]));
        let (even, odd) = (avx._mm256_unpacklo_pd(a, b), avx._mm256_unpackhi_pd(a, b));
        let (next_even, next_odd) = (avx._mm256_unpacklo_pd(c, d), avx._mm256_unpackhi_pd(c, d));
        [
            avx._mm256_permute2f128_pd::<0x20>(even, next_even),
            avx._mm256_permute2f128_pd::<0x20>(odd, next_odd),
            avx._mm256_permute2f128_pd::<0x31>(even, next_even),
            avx._mm256_permute2f128_pd::<0x31>(odd, next_odd),
        ]
    }

    #[inline(always)]
    fn side_by_side([a, b, c, d]: [__m256d; 4], [e, f, g, h]: [__m256d; 4]) -> [[f64; SQUARE]; 4] {
        [cast([a, e]), cast([b, f]), cast([c, g]), cast([d, h])]
    }
}
