//! How a result is put into what is there: `C ← α·(…) + β·C`.

use ndarray::ArrayViewMut2;

use crate::scalar::Scalar;

/// `α` and `β` of `C ← α·(…) + β·C`. With `β = 0`, `C` is overwritten and may hold anything, NaN included;
/// with `α = 0`, nothing else is read, as in BLAS.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blend<T> {
    /// What the new values are multiplied by.
    pub(crate) alpha: T,
    /// What the old values are multiplied by.
    pub(crate) beta: T,
}

impl<T: Scalar> Blend<T> {
    /// `C ← …`.
    pub(crate) fn overwrite() -> Self {
        Self { alpha: T::one(), beta: T::zero() }
    }

    /// `C ← C + …`.
    pub(crate) fn add() -> Self {
        Self { alpha: T::one(), beta: T::one() }
    }

    /// The same share of the new values, with another of the old ones.
    pub(crate) fn with_beta(self, beta: T) -> Self {
        Self { beta, ..self }
    }

    /// `C ← β·C`: what is left of `C ← α·(…) + β·C` with `α = 0`, or where the product is an empty sum.
    pub(crate) fn keep(self, mut c: ArrayViewMut2<'_, T>) {
        if self.beta == T::zero() {
            c.fill(T::zero());
        } else if self.beta != T::one() {
            c.mapv_inplace(|value| self.beta * value);
        }
    }

    /// For a sum made in pieces of the inner dimension: the piece that begins at `start` finds in `C` what those before
    /// it have left.
    pub(crate) fn piece(self, start: usize) -> Self {
        if start == 0 { self } else { self.with_beta(T::one()) }
    }
}
