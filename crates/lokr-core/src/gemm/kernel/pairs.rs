//! [`outer()`](super::outer()) for rows of half a register: two steps of the inner dimension at a time.
//!
//! A row of `C` that fills half a register leaves the choice between narrow registers, which need a broadcast of `A`
//! for every product and so wait for loads, and wide ones of which half is empty. Here two rows of `B` are interleaved,
//! `b₀₀ b₁₀ b₀₁ b₁₁ …`, and two neighbours of a row of `A` are broadcast together, `a₀ a₁ a₀ a₁ …`: every lane of a
//! wide register works, one load of `A` does for two steps, and neighbouring lanes are added once at the end.
#![allow(unsafe_code)] // Pointers into slices whose bounds `outer` has checked.

use pulp::Simd;

use super::lanes::Lanes;
use super::operands::{Operands, rows};
use super::strided::{Sizes, Strided};
use crate::gemm::limits::{PAIRS_DEPTH, REGISTER_BYTES};
use crate::scalar::Scalar;

/// Whether a product is one for this file: `A` with contiguous rows, rows of `B` of half a register, a long enough sum.
pub(super) fn suit<T>(sizes: Sizes, a: Strided<'_, T>) -> bool {
    2 * sizes.n * size_of::<T>() == REGISTER_BYTES && a.col == 1 && sizes.k >= PAIRS_DEPTH
}

/// Values of a `B (k × n)` in pairs of rows.
pub(super) fn values(k: usize, n: usize) -> usize {
    k.next_multiple_of(2) * n
}

/// Whether `B` is laid out in pairs of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// It still has to be.
    New,
    /// The product before this one has done it.
    Ready,
}

impl<T: Scalar> Operands<T> {
    /// All rows of `C`, from a `B` whose rows have `N` values, half a register. `pairs` has the length [`values`]; with
    /// `Layout::Ready` it holds what the call before it laid out.
    ///
    /// # Safety
    /// `N` must be half the lanes of `S`, rows of `A` contiguous, and `m` rows of `A` and `C` and all rows of `B`
    /// exist.
    #[inline(always)]
    pub(super) unsafe fn in_pairs<S: Simd, const N: usize>(self, simd: S, m: usize, pairs: &mut [T], layout: Layout)
    where
        T: Lanes<S>,
    {
        let (pairs, _) = pairs.as_chunks_mut::<2>();
        let (pairs, _) = pairs.as_chunks_mut::<N>();
        let mut row = 0;
        // SAFETY: rows below `m` and `k` exist.
        unsafe {
            if layout == Layout::New {
                self.lay_out(pairs);
            }
            while row + 8 <= m {
                self.pair_tile::<S, 8, N>(simd, row, pairs);
                row += 8;
            }
            while row + 4 <= m {
                self.pair_tile::<S, 4, N>(simd, row, pairs);
                row += 4;
            }
            while row < m {
                self.pair_tile::<S, 1, N>(simd, row, pairs);
                row += 1;
            }
        }
    }

    /// Interleaves each two rows of `B`; a last one alone with zeros.
    ///
    /// # Safety
    /// As [`Operands::in_pairs`].
    #[inline(always)]
    unsafe fn lay_out<const N: usize>(self, pairs: &mut [[[T; 2]; N]]) {
        for (pair, to) in pairs.iter_mut().enumerate() {
            // SAFETY: rows below `k` exist.
            let row = |l| unsafe { self.b.add(l * self.b_row).cast::<[T; N]>().read_unaligned() };
            let first = row(2 * pair);
            let second = if 2 * pair + 1 < self.k { row(2 * pair + 1) } else { [T::zero(); N] };
            *to = std::array::from_fn(|j| [first[j], second[j]]);
        }
    }

    /// `R` rows.
    ///
    /// # Safety
    /// As [`Operands::in_pairs`]; the rows must exist.
    #[inline(always)]
    unsafe fn pair_tile<S: Simd, const R: usize, const N: usize>(self, simd: S, row: usize, pairs: &[[[T; 2]; N]])
    where
        T: Lanes<S>,
    {
        let mut sums = [<T as Lanes<S>>::splat(simd, T::zero()); R];
        // SAFETY: an element of `pairs` is a register; all rows exist by the contract.
        unsafe {
            let mut a = self.a.add(row * self.a_row);
            let (whole, rest) = pairs.split_at(self.k / 2);
            for b in whole {
                let b = <T as Lanes<S>>::load(b.as_ptr().cast());
                for r in rows::<R>() {
                    let a = a.add(r * self.a_row).cast::<[T; 2]>().read_unaligned();
                    sums[r] = <T as Lanes<S>>::mul_add(simd, <T as Lanes<S>>::splat_pair(simd, a), b, sums[r]);
                }
                a = a.wrapping_add(2);
            }
            for b in rest {
                let b = <T as Lanes<S>>::load(b.as_ptr().cast());
                for (r, sum) in sums.iter_mut().enumerate() {
                    let a = <T as Lanes<S>>::splat(simd, *a.add(r * self.a_row));
                    *sum = <T as Lanes<S>>::mul_add(simd, a, b, *sum);
                }
            }
            for (r, &sum) in sums.iter().enumerate() {
                let mut both = [[T::zero(); 2]; N];
                <T as Lanes<S>>::store(both.as_mut_ptr().cast(), sum);
                let mut value: [T; N] = std::array::from_fn(|j| both[j][0] + both[j][1]);
                let c = self.c.add((row + r) * self.c_row).cast::<[T; N]>();
                if self.blend.alpha != T::one() {
                    value = value.map(|value| self.blend.alpha * value);
                }
                if self.blend.beta != T::zero() {
                    let old = c.read_unaligned();
                    value = std::array::from_fn(|j| value[j] + self.blend.beta * old[j]);
                }
                c.write_unaligned(value);
            }
        }
    }
}
