//! `C ← α·A·B + β·C` with the lanes along the columns of `C`.
#![allow(unsafe_code)] // Pointers into slices whose bounds were checked as a whole; see `outer`.

use ndarray::ArrayViewMut2;
use pulp::Simd;

use super::lanes::{Lanes, Work, prefetch, run_on_best};
use super::operands::{Operands, rows};
use super::pairs::{self, Layout};
use super::strided::{Pointer, Sizes, Strided, StridedMut};
use crate::gemm::blend::Blend;
use crate::gemm::limits::LONG_SUM;
use crate::gemm::scratch::with_scratch;
use crate::scalar::Scalar;

/// `C_t ← α·A_t·B_t + β·C_t` for `count` small products, one after the other.
///
/// `A` may have any strides (its elements are broadcast one at a time); rows of `B` and `C` must be contiguous. With
/// `β = 0`, `C` is not read.
///
/// # Panics
/// When an element lies outside its slice: a bug of the caller.
pub(crate) fn outer<T: Scalar>(
    sizes: Sizes,
    count: usize,
    blend: Blend<T>,
    a: Strided<'_, T>,
    b: Strided<'_, T>,
    c: StridedMut<'_, T>,
) {
    let Sizes { m, n, k } = sizes;
    check(sizes, count, a, b);
    let c = c.pointer(count, m, n);
    let work = Outer { sizes, count, blend, a, b, c, pairs: None };
    if pairs::suit(sizes, a) {
        with_scratch(pairs::values(k, n), |memory| Outer { pairs: Some(memory), ..work }.run_on_best(2 * n));
    } else {
        work.run_on_best(n);
    }
}

/// [`outer`] for one product, into a matrix whose rows are contiguous but may lie apart.
///
/// # Panics
/// As [`outer`], or when a row of `c` is not contiguous.
pub(crate) fn outer_into<T: Scalar>(
    blend: Blend<T>,
    a: Strided<'_, T>,
    b: Strided<'_, T>,
    k: usize,
    c: &mut ArrayViewMut2<'_, T>,
) {
    let (m, n) = c.dim();
    let sizes = Sizes { m, n, k };
    check(sizes, 1, a, b);
    let c = Pointer::to(c);
    Outer { sizes, count: 1, blend, a, b, c, pairs: None }.run_on_best(n);
}

fn check<T>(sizes: Sizes, count: usize, a: Strided<'_, T>, b: Strided<'_, T>) {
    let Sizes { m, n, k } = sizes;
    assert!(a.holds(count, m, k) && b.holds(count, k, n) && b.col == 1, "operands of a small product");
}

struct Outer<'a, T> {
    sizes: Sizes,
    count: usize,
    blend: Blend<T>,
    a: Strided<'a, T>,
    b: Strided<'a, T>,
    c: Pointer<T>,
    /// Memory for a `B` laid out in pairs of rows, if its rows fill half a register.
    pairs: Option<&'a mut [T]>,
}

run_on_best!(Outer);

impl<T: Scalar> Work<T> for Outer<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S)
    where
        T: Lanes<S>,
    {
        let Sizes { m, n, k } = self.sizes;
        let lanes = <T as Lanes<S>>::COUNT;
        let mut pairs = self.pairs.filter(|_| lanes == 2 * n && (n == 8 || n == 4));
        for t in 0..self.count {
            // SAFETY: `outer` has checked that the last element of the last matrix of each operand lies within its
            // slice, and all offsets are sums of non-negative strides; `c` is borrowed mutably for the whole run.
            unsafe {
                let operands = Operands {
                    k,
                    blend: self.blend,
                    a: self.a.data.as_ptr().add(t * self.a.step),
                    a_row: self.a.row,
                    a_col: self.a.col,
                    b: self.b.data.as_ptr().add(t * self.b.step),
                    b_row: self.b.row,
                    c: self.c.data.add(t * self.c.step),
                    c_row: self.c.row,
                };
                if let Some(pairs) = pairs.as_deref_mut() {
                    // The same `B` for all products is laid out once.
                    let layout = if t == 0 || self.b.step > 0 { Layout::New } else { Layout::Ready };
                    if n == 8 {
                        operands.in_pairs::<S, 8>(simd, m, pairs, layout);
                    } else {
                        operands.in_pairs::<S, 4>(simd, m, pairs, layout);
                    }
                    continue;
                }
                let mut col = 0;
                while col + 2 * lanes <= n {
                    operands.columns::<S, 2, false>(simd, m, col, lanes);
                    col += 2 * lanes;
                }
                if n - col > lanes {
                    operands.columns::<S, 2, true>(simd, m, col, n - col - lanes);
                } else if n - col == lanes {
                    operands.columns::<S, 1, false>(simd, m, col, lanes);
                } else if n > col {
                    operands.columns::<S, 1, true>(simd, m, col, n - col);
                }
            }
        }
    }
}

impl<T: Scalar> Operands<T> {
    /// All rows of `V` registers of columns, the last of which has `tail` lanes if `MASKED`.
    ///
    /// # Safety
    /// The columns and rows must exist.
    #[inline(always)]
    unsafe fn columns<S: Simd, const V: usize, const MASKED: bool>(self, simd: S, m: usize, col: usize, tail: usize)
    where
        T: Lanes<S>,
    {
        let mask = <T as Lanes<S>>::first(simd, tail);
        let mut row = 0;
        // SAFETY: rows below `m` exist by the contract.
        unsafe {
            // As many rows as there are registers for, so that enough independent sums are under way and `B` is read
            // less often. It takes longer to begin and to end so many: of 16 registers, only long sums fill all. Last
            // rows make two equal tiles where else one would have too few sums.
            if V == 1 && S::REGISTER_COUNT >= 32 {
                while row + 12 <= m && m - row != 16 {
                    self.tile::<S, 12, V, MASKED, 0>(simd, mask, row, col);
                    row += 12;
                }
            }
            if V == 1 || S::REGISTER_COUNT >= 32 {
                while row + 8 <= m {
                    self.tile::<S, 8, V, MASKED, 0>(simd, mask, row, col);
                    row += 8;
                }
            } else if self.k >= LONG_SUM {
                while row + 6 <= m && m - row != 8 {
                    self.tile::<S, 6, V, MASKED, 0>(simd, mask, row, col);
                    row += 6;
                }
            }
            while row + 4 <= m {
                self.tile::<S, 4, V, MASKED, 0>(simd, mask, row, col);
                row += 4;
            }
            if row + 2 <= m {
                self.tile::<S, 2, V, MASKED, 0>(simd, mask, row, col);
                row += 2;
            }
            if row < m {
                self.tile::<S, 1, V, MASKED, 0>(simd, mask, row, col);
            }
        }
    }

    /// `R` rows of `V` registers, summed in registers. Where `B` comes from the second-level cache, it is asked for
    /// `AHEAD` rows before it is used, and `C` at the beginning.
    ///
    /// # Safety
    /// The elements must exist.
    #[inline(always)]
    pub(super) unsafe fn tile<S: Simd, const R: usize, const V: usize, const MASKED: bool, const AHEAD: usize>(
        self,
        simd: S,
        mask: <T as Lanes<S>>::Mask,
        row: usize,
        col: usize,
    ) where
        T: Lanes<S>,
    {
        let lanes = <T as Lanes<S>>::COUNT;
        // SAFETY: all offsets stay within the rows and columns that exist by the contract.
        unsafe {
            let load = |from: *const T, v: usize| {
                if MASKED && v == V - 1 {
                    <T as Lanes<S>>::load_masked(simd, mask, from)
                } else {
                    <T as Lanes<S>>::load(from)
                }
            };
            let mut sums = [[<T as Lanes<S>>::splat(simd, T::zero()); V]; R];
            let mut a = self.a.add(row * self.a_row);
            let mut b = self.b.add(col);
            if AHEAD > 0 {
                for r in 0..R {
                    for v in 0..V {
                        prefetch::<T, false>(self.c.wrapping_add((row + r) * self.c_row + col + v * lanes));
                    }
                }
            }
            for _ in 0..self.k {
                let mut b_row = [<T as Lanes<S>>::splat(simd, T::zero()); V];
                for (v, b_row) in b_row.iter_mut().enumerate() {
                    *b_row = load(b.add(v * lanes), v);
                    if AHEAD > 0 {
                        prefetch::<T, true>(b.wrapping_add(AHEAD * self.b_row + v * lanes));
                    }
                }
                for r in rows::<R>() {
                    let a = <T as Lanes<S>>::splat(simd, *a.add(r * self.a_row));
                    for (sum, &b) in sums[r].iter_mut().zip(&b_row) {
                        *sum = <T as Lanes<S>>::mul_add(simd, a, b, *sum);
                    }
                }
                a = a.wrapping_add(self.a_col);
                b = b.wrapping_add(self.b_row);
            }
            let keep = self.blend.beta != T::zero();
            let c = self.c.add(row * self.c_row + col);
            let to = |r: usize, v: usize| c.add(r * self.c_row + v * lanes);
            let store = |to: *mut T, v: usize, value| {
                if MASKED && v == V - 1 {
                    <T as Lanes<S>>::store_masked(simd, mask, to, value);
                } else {
                    <T as Lanes<S>>::store(to, value);
                }
            };
            // Three short loops, each unrolled, so that sums stay in registers. Multiplying by one is exact.
            let Blend { alpha, beta } = self.blend;
            let (all_alpha, all_beta) = (<T as Lanes<S>>::splat(simd, alpha), <T as Lanes<S>>::splat(simd, beta));
            if !keep && alpha == T::one() {
                for (r, sums) in sums.iter().enumerate() {
                    for (v, &sum) in sums.iter().enumerate() {
                        store(to(r, v), v, sum);
                    }
                }
            } else if !keep {
                for (r, sums) in sums.iter().enumerate() {
                    for (v, &sum) in sums.iter().enumerate() {
                        store(to(r, v), v, <T as Lanes<S>>::mul(simd, all_alpha, sum));
                    }
                }
            } else {
                for (r, sums) in sums.iter().enumerate() {
                    for (v, &sum) in sums.iter().enumerate() {
                        let scaled = <T as Lanes<S>>::mul(simd, all_alpha, sum);
                        store(to(r, v), v, <T as Lanes<S>>::mul_add(simd, all_beta, load(to(r, v), v), scaled));
                    }
                }
            }
        }
    }
}
