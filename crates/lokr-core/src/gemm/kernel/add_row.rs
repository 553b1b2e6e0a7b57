//! One row of a merge: `w ← w + s·(a ⊗ b)`.

use pulp::Simd;

use super::lanes::{Lanes, Work, run_on_best};
use crate::scalar::Scalar;

/// Adds `s·a[j]·b` to the `j`-th piece of `w`, for every `j`; `w` has `a.len()·b.len()` values.
///
/// The product is rounded before it is added, on every instruction set, so that the bits are the same everywhere.
pub(crate) fn add_row<T: Scalar>(s: T, a: &[T], b: &[T], w: &mut [T]) {
    let width = w.len();
    Row { s, a, b, w }.run_on_best(width);
}

struct Row<'a, T> {
    s: T,
    a: &'a [T],
    b: &'a [T],
    w: &'a mut [T],
}

run_on_best!(Row);

impl<T: Scalar> Work<T> for Row<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S)
    where
        T: Lanes<S>,
    {
        // Plain loops: compiled for the registers of `S`.
        for (piece, &a) in self.w.chunks_exact_mut(self.b.len()).zip(self.a) {
            let scale = self.s * a;
            for (w, &b) in piece.iter_mut().zip(self.b) {
                *w += scale * b;
            }
        }
    }
}
