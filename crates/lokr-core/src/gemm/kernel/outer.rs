//! `C ← α·A·B + β·C` with the lanes along the columns of `C`.
#![allow(unsafe_code)] // Pointers into slices whose bounds were checked as a whole; see `outer`.

use std::marker::PhantomData;

use ndarray::ArrayViewMut2;
use pulp::Simd;

use super::lanes::{Lanes, Work};
use super::pairs::Layout;
use super::{Kernel, Sizes, Strided, last_index, pairs, rows_of};

/// `C_t ← α·A_t·B_t + β·C_t` for `count` small products, one after the other.
///
/// `A` may have any strides (its elements are broadcast one at a time); rows of `B` and `C` must be contiguous. With
/// `β = 0`, `C` is not read.
///
/// # Panics
/// When an element lies outside its slice: a bug of the caller.
#[allow(clippy::too_many_arguments)]
pub(crate) fn outer<T: Kernel>(
    sizes: Sizes,
    count: usize,
    alpha: T,
    a: Strided<'_, T>,
    b: Strided<'_, T>,
    beta: T,
    c: &mut [T],
    c_row: usize,
    c_step: usize,
) {
    let Sizes { m, n, k } = sizes;
    assert!(a.holds(count, m, k) && b.holds(count, k, n) && b.col == 1, "operands of a small product");
    let last = last_index(count, m, n, c_step, c_row, 1);
    assert!(last.is_none_or(|last| last < c.len()), "result of a small product");
    let c = c.as_mut_ptr();
    let work = Outer { sizes, count, alpha, a, b, beta, c, c_row, c_step, pairs: None, lifetime: PhantomData };
    if pairs::pay::<T>(sizes, a) {
        T::with_scratch(pairs::values(k, n), |memory| T::dispatch(2 * n, Outer { pairs: Some(memory), ..work }));
    } else {
        T::dispatch(n, work);
    }
}

/// [`outer`] for one product, into a matrix whose rows are contiguous but may lie apart.
///
/// # Panics
/// As [`outer`], or when a row of `c` is not contiguous.
pub(crate) fn outer_into<T: Kernel>(
    alpha: T,
    a: Strided<'_, T>,
    b: Strided<'_, T>,
    k: usize,
    beta: T,
    c: &mut ArrayViewMut2<'_, T>,
) {
    let (m, n) = c.dim();
    assert!(a.holds(1, m, k) && b.holds(1, k, n) && b.col == 1, "operands of a small product");
    let (c, c_row) = rows_of(c);
    let sizes = Sizes { m, n, k };
    T::dispatch(
        n,
        Outer { sizes, count: 1, alpha, a, b, beta, c, c_row, c_step: 0, pairs: None, lifetime: PhantomData },
    );
}

struct Outer<'a, 'c, T> {
    sizes: Sizes,
    count: usize,
    alpha: T,
    a: Strided<'a, T>,
    b: Strided<'a, T>,
    beta: T,
    c: *mut T,
    c_row: usize,
    c_step: usize,
    /// Memory for a `B` laid out in pairs of rows, if its rows fill half a register.
    pairs: Option<&'c mut [T]>,
    lifetime: PhantomData<&'c mut T>,
}

/// One product as pointers.
#[derive(Clone, Copy)]
pub(super) struct Operands<T> {
    pub(super) k: usize,
    pub(super) alpha: T,
    pub(super) beta: T,
    pub(super) a: *const T,
    pub(super) a_row: usize,
    a_col: usize,
    pub(super) b: *const T,
    pub(super) b_row: usize,
    pub(super) c: *mut T,
    pub(super) c_row: usize,
}

impl<T: Kernel> Work<T> for Outer<'_, '_, T> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S)
    where
        T: Lanes<S>,
    {
        let Sizes { m, n, k } = self.sizes;
        let lanes = <T as Lanes<S>>::COUNT;
        let c = self.c;
        let mut pairs = self.pairs.filter(|_| lanes == 2 * n && (n == 8 || n == 4));
        for t in 0..self.count {
            // SAFETY: `outer` has checked that the last element of the last matrix of each operand lies within its
            // slice, and all offsets are sums of non-negative strides; `c` is borrowed mutably for the whole run.
            unsafe {
                let operands = Operands {
                    k,
                    alpha: self.alpha,
                    beta: self.beta,
                    a: self.a.data.as_ptr().add(t * self.a.step),
                    a_row: self.a.row,
                    a_col: self.a.col,
                    b: self.b.data.as_ptr().add(t * self.b.step),
                    b_row: self.b.row,
                    c: c.add(t * self.c_step),
                    c_row: self.c_row,
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

impl<T: Kernel> Operands<T> {
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
            // As many rows as there are registers for, so that enough independent sums are under way.
            if V == 1 {
                while row + 12 <= m {
                    self.tile::<S, 12, V, MASKED>(simd, mask, row, col);
                    row += 12;
                }
            }
            if V == 1 || S::REGISTER_COUNT >= 32 {
                while row + 8 <= m {
                    self.tile::<S, 8, V, MASKED>(simd, mask, row, col);
                    row += 8;
                }
            }
            while row + 4 <= m {
                self.tile::<S, 4, V, MASKED>(simd, mask, row, col);
                row += 4;
            }
            if row + 2 <= m {
                self.tile::<S, 2, V, MASKED>(simd, mask, row, col);
                row += 2;
            }
            if row < m {
                self.tile::<S, 1, V, MASKED>(simd, mask, row, col);
            }
        }
    }

    /// `R` rows of `V` registers, summed in registers.
    ///
    /// # Safety
    /// The elements must exist.
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize, const V: usize, const MASKED: bool>(
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
            for _ in 0..self.k {
                let mut b_row = [<T as Lanes<S>>::splat(simd, T::zero()); V];
                for (v, b_row) in b_row.iter_mut().enumerate() {
                    *b_row = load(b.add(v * lanes), v);
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let a = <T as Lanes<S>>::splat(simd, *a.add(r * self.a_row));
                    for (sum, &b) in sums.iter_mut().zip(&b_row) {
                        *sum = <T as Lanes<S>>::mul_add(simd, a, b, *sum);
                    }
                }
                a = a.wrapping_add(self.a_col);
                b = b.wrapping_add(self.b_row);
            }
            let scaled = self.alpha != T::one();
            let (alpha, beta) = (<T as Lanes<S>>::splat(simd, self.alpha), <T as Lanes<S>>::splat(simd, self.beta));
            for (r, sums) in sums.iter().enumerate() {
                for (v, &sum) in sums.iter().enumerate() {
                    let c = self.c.add((row + r) * self.c_row + col + v * lanes);
                    let mut value = if scaled { <T as Lanes<S>>::mul(simd, alpha, sum) } else { sum };
                    if self.beta != T::zero() {
                        value = <T as Lanes<S>>::mul_add(simd, beta, load(c, v), value);
                    }
                    if MASKED && v == V - 1 {
                        <T as Lanes<S>>::store_masked(simd, mask, c, value);
                    } else {
                        <T as Lanes<S>>::store(c, value);
                    }
                }
            }
        }
    }
}
