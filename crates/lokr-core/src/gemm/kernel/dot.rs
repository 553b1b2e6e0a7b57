//! `C ← α·Σ A·Bᵀ + β·C` with the lanes along the inner dimension.
#![allow(unsafe_code)] // Pointers into slices whose bounds were checked as a whole; see `dot`.

use ndarray::ArrayViewMut2;
use pulp::Simd;

use super::lanes::{Lanes, Work, run_on_best};
use super::strided::{Pointer, Sizes, Strided, StridedMut};
use crate::gemm::blend::Blend;
use crate::scalar::Scalar;

/// `C ← α·Σ_t A_t·B_tᵀ + β·C`, summed over `count` pairs in order.
///
/// `A_t (m × k)` and `B_t (n × k)` must have contiguous rows, `C` too. With `β = 0`, `C` is not read.
///
/// # Panics
/// When an element lies outside its slice: a bug of the caller.
pub(crate) fn dot<T: Scalar>(
    sizes: Sizes,
    count: usize,
    blend: Blend<T>,
    a: Strided<'_, T>,
    b: Strided<'_, T>,
    c: StridedMut<'_, T>,
) {
    check(sizes, count, a, b);
    let c = c.pointer(1, sizes.m, sizes.n);
    Dot { sizes, count, blend, a, b, c }.run_on_best(sizes.k);
}

/// [`dot`] for one pair, into a matrix whose rows are contiguous but may lie apart.
///
/// # Panics
/// As [`dot`], or when a row of `c` is not contiguous.
pub(crate) fn dot_into<T: Scalar>(
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
    Dot { sizes, count: 1, blend, a, b, c }.run_on_best(k);
}

fn check<T>(sizes: Sizes, count: usize, a: Strided<'_, T>, b: Strided<'_, T>) {
    let Sizes { m, n, k } = sizes;
    assert!(a.holds(count, m, k) && b.holds(count, n, k) && a.col == 1 && b.col == 1, "operands of a small product");
}

struct Dot<'a, T> {
    sizes: Sizes,
    count: usize,
    blend: Blend<T>,
    a: Strided<'a, T>,
    b: Strided<'a, T>,
    c: Pointer<T>,
}

run_on_best!(Dot);

impl<T: Scalar> Work<T> for Dot<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S)
    where
        T: Lanes<S>,
    {
        let Sizes { m, n, .. } = self.sizes;
        let mut col = 0;
        // SAFETY: `dot` has checked that every element of the operands and of the result exists.
        unsafe {
            while col + 4 <= n {
                self.rows::<S, 4>(simd, m, col);
                col += 4;
            }
            if col + 2 <= n {
                self.rows::<S, 2>(simd, m, col);
                col += 2;
            }
            if col < n {
                self.rows::<S, 1>(simd, m, col);
            }
        }
    }
}

impl<T: Scalar> Dot<'_, T> {
    /// All rows of `Q` columns.
    ///
    /// # Safety
    /// The columns must exist.
    #[inline(always)]
    unsafe fn rows<S: Simd, const Q: usize>(&mut self, simd: S, m: usize, col: usize)
    where
        T: Lanes<S>,
    {
        let mut row = 0;
        // SAFETY: rows below `m` exist.
        unsafe {
            if S::REGISTER_COUNT >= 32 {
                while row + 4 <= m {
                    self.tile::<S, 4, Q>(simd, row, col);
                    row += 4;
                }
            } else if Q == 4 {
                // As many as 16 registers hold; a last four make two equal tiles, which have sums enough under way.
                while row + 3 <= m && m - row != 4 {
                    self.tile::<S, 3, Q>(simd, row, col);
                    row += 3;
                }
            }
            while row + 2 <= m {
                self.tile::<S, 2, Q>(simd, row, col);
                row += 2;
            }
            if row < m {
                self.tile::<S, 1, Q>(simd, row, col);
            }
        }
    }

    /// `R × Q` sums in registers, over all pairs, reduced once at the end.
    ///
    /// # Safety
    /// The elements must exist.
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize, const Q: usize>(&mut self, simd: S, row: usize, col: usize)
    where
        T: Lanes<S>,
    {
        let lanes = <T as Lanes<S>>::COUNT;
        let k = self.sizes.k;
        let whole = k - k % lanes;
        let mask = <T as Lanes<S>>::first(simd, k - whole);
        let mut sums = [[<T as Lanes<S>>::splat(simd, T::zero()); Q]; R];
        // SAFETY: all offsets stay within the matrices that exist by the contract.
        unsafe {
            let load = |from| <T as Lanes<S>>::load(from);
            let load_last = |from| <T as Lanes<S>>::load_masked(simd, mask, from);
            let mut a = self.a.data.as_ptr().add(row * self.a.row);
            let mut b = self.b.data.as_ptr().add(col * self.b.row);
            if k == lanes {
                // No loop along rows of one register.
                for _ in 0..self.count {
                    self.add_products(simd, a, b, load, &mut sums);
                    a = a.wrapping_add(self.a.step);
                    b = b.wrapping_add(self.b.step);
                }
            } else {
                for _ in 0..self.count {
                    let mut l = 0;
                    while l < whole {
                        self.add_products(simd, a.add(l), b.add(l), load, &mut sums);
                        l += lanes;
                    }
                    if whole < k {
                        self.add_products(simd, a.add(whole), b.add(whole), load_last, &mut sums);
                    }
                    a = a.wrapping_add(self.a.step);
                    b = b.wrapping_add(self.b.step);
                }
            }
            let c = self.c.data.add(row * self.c.row + col);
            for (r, &sums) in sums.iter().enumerate() {
                let c = c.add(r * self.c.row);
                if let Ok(four) = <[_; 4]>::try_from(&sums[..]) {
                    self.write(c, <T as Lanes<S>>::sum_four(simd, four));
                } else {
                    self.write(c, sums.map(|sum| <T as Lanes<S>>::sum(simd, sum)));
                }
            }
        }
    }

    /// Adds the products of one register of each of `R` rows of `A` and `Q` rows of `B`.
    ///
    /// # Safety
    /// `load` must be able to read what it is given.
    #[inline(always)]
    unsafe fn add_products<S: Simd, const R: usize, const Q: usize>(
        &self,
        simd: S,
        a: *const T,
        b: *const T,
        load: impl Fn(*const T) -> <T as Lanes<S>>::Vector,
        sums: &mut [[<T as Lanes<S>>::Vector; Q]; R],
    ) where
        T: Lanes<S>,
    {
        let mut rows = [<T as Lanes<S>>::splat(simd, T::zero()); R];
        for (r, row) in rows.iter_mut().enumerate() {
            *row = load(a.wrapping_add(r * self.a.row));
        }
        for q in 0..Q {
            let b = load(b.wrapping_add(q * self.b.row));
            for (sums, &a) in sums.iter_mut().zip(&rows) {
                sums[q] = <T as Lanes<S>>::mul_add(simd, a, b, sums[q]);
            }
        }
    }

    /// Blends sums into a row of the result.
    ///
    /// # Safety
    /// `c` must be readable and writable for `Q` values.
    #[inline(always)]
    unsafe fn write<const Q: usize>(&self, c: *mut T, sums: [T; Q]) {
        let Blend { alpha, beta } = self.blend;
        for (q, sum) in sums.into_iter().enumerate() {
            // SAFETY: by the contract.
            let c = unsafe { &mut *c.add(q) };
            *c = if beta == T::zero() { alpha * sum } else { alpha * sum + beta * *c };
        }
    }
}
