//! Values times factors that come over and over: a diagonal instead of a matrix.

use pulp::Simd;

use super::lanes::{Lanes, Work, run_on_best};
use crate::gemm::blend::Blend;
use crate::scalar::Scalar;

/// `Y ← α·f·X + β·Y`, value by value, where the factors `f` begin again whenever they end. With `β = 0`, `y` is not
/// read.
///
/// Every operation is rounded by itself, on every instruction set.
pub(crate) fn scale<T: Scalar>(blend: Blend<T>, factors: &[T], x: &[T], y: &mut [T]) {
    let width = factors.len().max(x.len());
    Scale { blend, factors, x, y }.run_on_best(width);
}

struct Scale<'a, T> {
    blend: Blend<T>,
    factors: &'a [T],
    x: &'a [T],
    y: &'a mut [T],
}

run_on_best!(Scale);

impl<T: Scalar> Work<T> for Scale<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S)
    where
        T: Lanes<S>,
    {
        // Plain loops: compiled for the registers of `S`.
        let Blend { alpha, beta } = self.blend;
        let (length, keep) = (self.factors.len(), beta != T::zero());
        if let &[factor] = self.factors {
            let values = self.y.iter_mut().zip(self.x);
            if keep {
                values.for_each(|(y, &x)| *y = alpha * (factor * x) + beta * *y);
            } else {
                values.for_each(|(y, &x)| *y = alpha * (factor * x));
            }
            return;
        }
        for (y, x) in self.y.chunks_mut(length).zip(self.x.chunks(length)) {
            let values = y.iter_mut().zip(x).zip(self.factors);
            if keep {
                values.for_each(|((y, &x), &factor)| *y = alpha * (factor * x) + beta * *y);
            } else {
                values.for_each(|((y, &x), &factor)| *y = alpha * (factor * x));
            }
        }
    }
}
