//! The factors of the first product: read and replaced.

use lokr_core::{Factor, Kron, Scalar};
use ndarray::ArrayView2;

use super::checks::check_factor;
use super::halves::halves;
use super::lokr_update::LoKrUpdate;
use super::term::Term;
use crate::error::Result;

/// A factor's halves, if it is held low-rank.
type Halves<'u, T> = Option<(ArrayView2<'u, T>, ArrayView2<'u, T>)>;

impl<T: Scalar> LoKrUpdate<T> {
    /// The halves of the first `A`, if it is held low-rank.
    pub(crate) fn a_halves(&self) -> Halves<'_, T> {
        halves(self.delta().a())
    }

    /// The halves of the first `B`, if it is held low-rank.
    pub(crate) fn b_halves(&self) -> Halves<'_, T> {
        halves(self.delta().b())
    }

    pub(crate) fn set_a(&mut self, a: Factor<'_, T>) -> Result<()> {
        check_factor("matrix_a", self.delta().a().dim(), &a)?;
        let b = self.delta().b().clone();
        self.set_delta(Kron::new(a.into_owned(), b)?);
        Ok(())
    }

    pub(crate) fn set_b(&mut self, b: Factor<'_, T>) -> Result<()> {
        check_factor("matrix_b", self.delta().b().dim(), &b)?;
        let a = self.delta().a().clone();
        self.set_delta(Kron::new(a, b.into_owned())?);
        Ok(())
    }

    fn set_delta(&mut self, delta: Kron<'static, T>) {
        let weight = self.terms[0].weight;
        self.terms[0] = Term { weight, ..Term::new(delta, None) };
        self.forget();
    }
}
