//! Products with a matrix of two to four rows and columns, over rows shorter than a few registers.
//!
//! The other forms put their lanes along the rows of a result. Where these are short (a 2 × 2 matrix on one of the last
//! axes of a long vector), most of their time goes into beginning and ending. Here the sizes are known when the program
//! is compiled, so that each piece of the data becomes a few instructions.

use pulp::Simd;

use super::lanes::{Lanes, Work, run_on_best};
use super::strided::Strided;
use crate::gemm::blend::Blend;
use crate::gemm::limits::NARROW_ROW;
use crate::scalar::Scalar;

/// Whether a product `(m × k)·(k × n)` is one for this file.
pub(crate) fn is_narrow(m: usize, n: usize, k: usize) -> bool {
    m == k && (2..=4).contains(&m) && n <= NARROW_ROW
}

/// `C_t ← α·A·B_t + β·C_t` for one `A (d × d)`, of [`is_narrow`] sizes, and as many matrices `(d × n)` as lie in `b`
/// and in `c`, whole and one after the other. With `β = 0`, `C` is not read.
pub(crate) fn narrow<T: Scalar>(d: usize, n: usize, blend: Blend<T>, a: Strided<'_, T>, b: &[T], c: &mut [T]) {
    debug_assert!(is_narrow(d, n, d) && b.len() == c.len() && b.len().is_multiple_of(d * n));
    let width = b.len();
    Narrow { d, n, blend, a, b, c }.run_on_best(width);
}

struct Narrow<'a, T> {
    d: usize,
    n: usize,
    blend: Blend<T>,
    a: Strided<'a, T>,
    b: &'a [T],
    c: &'a mut [T],
}

run_on_best!(Narrow);

impl<T: Scalar> Work<T> for Narrow<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S)
    where
        T: Lanes<S>,
    {
        match self.d {
            2 => self.with_rows::<2>(),
            3 => self.with_rows::<3>(),
            _ => self.with_rows::<4>(),
        }
    }
}

impl<T: Scalar> Narrow<'_, T> {
    #[inline(always)]
    fn with_rows<const D: usize>(self) {
        match self.n {
            1 => self.columns::<D>(),
            2 => self.pieces::<D, 2>(),
            4 => self.pieces::<D, 4>(),
            8 => self.pieces::<D, 8>(),
            16 => self.pieces::<D, 16>(),
            _ => self.any_pieces::<D>(),
        }
    }

    fn matrix<const D: usize>(&self) -> [[T; D]; D] {
        std::array::from_fn(|i| std::array::from_fn(|j| self.a.data[i * self.a.row + j * self.a.col]))
    }

    /// Matrices of one column.
    #[inline(always)]
    fn columns<const D: usize>(self) {
        let (Blend { alpha, beta }, a) = (self.blend, self.matrix::<D>());
        for (b, c) in self.b.as_chunks::<D>().0.iter().zip(self.c.as_chunks_mut::<D>().0) {
            let sums = a.map(|a| alpha * (1..D).fold(a[0] * b[0], |sum, j| sum + a[j] * b[j]));
            *c = if beta == T::zero() { sums } else { std::array::from_fn(|i| sums[i] + beta * c[i]) };
        }
    }

    /// Matrices of `N` columns.
    #[inline(always)]
    fn pieces<const D: usize, const N: usize>(self) {
        let (Blend { alpha, beta }, a) = (self.blend, self.matrix::<D>());
        let (b, c) = (self.b.as_chunks::<N>().0.as_chunks::<D>().0, self.c.as_chunks_mut::<N>().0);
        for (b, c) in b.iter().zip(c.as_chunks_mut::<D>().0) {
            for (a, c) in a.iter().zip(c) {
                let mut sums = b[0].map(|b| a[0] * b);
                for (&a, b) in a.iter().zip(b).skip(1) {
                    sums.iter_mut().zip(b).for_each(|(sum, &b)| *sum += a * b);
                }
                sums.iter_mut().for_each(|sum| *sum *= alpha);
                if beta != T::zero() {
                    sums.iter_mut().zip(&*c).for_each(|(sum, &c)| *sum += beta * c);
                }
                *c = sums;
            }
        }
    }

    /// Matrices of any other number of columns.
    #[inline(always)]
    fn any_pieces<const D: usize>(self) {
        let (Blend { alpha, beta }, a, n) = (self.blend, self.matrix::<D>(), self.n);
        for (b, c) in self.b.chunks_exact(D * n).zip(self.c.chunks_exact_mut(D * n)) {
            for column in 0..n {
                let b: [T; D] = std::array::from_fn(|j| b[j * n + column]);
                for (a, c) in a.iter().zip(c[column..].iter_mut().step_by(n)) {
                    let sum = alpha * (1..D).fold(a[0] * b[0], |sum, j| sum + a[j] * b[j]);
                    *c = if beta == T::zero() { sum } else { sum + beta * *c };
                }
            }
        }
    }
}
