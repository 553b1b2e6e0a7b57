//! The adapter's factors: read and replaced.

use lokr_core::{Factor, Scalar};
use ndarray::{ArrayView2, CowArray, Ix2};

use super::lokr_adapter::LoKrAdapter;
use crate::error::Result;
use crate::layer::Layer;
use crate::update::LoKrUpdate;

impl<T: Scalar, L: Layer<T> + Clone> LoKrAdapter<T, L> {
    /// Shape `(m, n)` of `A`.
    #[must_use]
    pub fn matrix_a_dimensions(&self) -> (usize, usize) {
        self.delta().a().dim()
    }

    /// Shape `(p, q)` of `B`.
    #[must_use]
    pub fn matrix_b_dimensions(&self) -> (usize, usize) {
        self.delta().b().dim()
    }

    /// `A (m, n)`: a view when it is held full, the product of its halves when low-rank.
    #[must_use]
    pub fn matrix_a(&self) -> CowArray<'_, T, Ix2> {
        self.delta().a().dense()
    }

    /// `B (p, q)`: a view when it is held full, the product of its halves when low-rank.
    #[must_use]
    pub fn matrix_b(&self) -> CowArray<'_, T, Ix2> {
        self.delta().b().dense()
    }

    /// The halves `A_a (m, r)` and `A_b (r, n)`, if `A` is held low-rank.
    #[must_use]
    pub fn matrix_a_halves(&self) -> Option<(ArrayView2<'_, T>, ArrayView2<'_, T>)> {
        self.update().a_halves()
    }

    /// The halves `B_a (p, r)` and `B_b (r, q)`, if `B` is held low-rank.
    #[must_use]
    pub fn matrix_b_halves(&self) -> Option<(ArrayView2<'_, T>, ArrayView2<'_, T>)> {
        self.update().b_halves()
    }

    /// Replaces `A` by a full matrix, or by a [`Factor::low_rank`] of any inner size, of the same shape `(m, n)`.
    /// Gradients are dropped, and a backward needs a new forward; the number of parameters changes with the form.
    ///
    /// # Errors
    /// [`LayerError::Shape`], [`LayerError::NonFinite`], [`LayerError::InvalidRank`] for an inner size of 0; nothing is
    /// changed then.
    ///
    /// [`LayerError::Shape`]: crate::LayerError::Shape
    /// [`LayerError::NonFinite`]: crate::LayerError::NonFinite
    /// [`LayerError::InvalidRank`]: crate::LayerError::InvalidRank
    pub fn set_matrix_a<'f>(&mut self, a: impl Into<Factor<'f, T>>) -> Result<()> {
        let a = a.into();
        self.change(|updates| updates.own_mut().set_a(a))
    }

    /// Replaces `B`, as [`LoKrAdapter::set_matrix_a`] replaces `A`; the shape is `(p, q)`.
    ///
    /// # Errors
    /// As [`LoKrAdapter::set_matrix_a`].
    pub fn set_matrix_b<'f>(&mut self, b: impl Into<Factor<'f, T>>) -> Result<()> {
        let b = b.into();
        self.change(|updates| updates.own_mut().set_b(b))
    }

    /// A copy whose own update is the nearest LoRA of this rank, and its relative error, which
    /// [`LoKrUpdate::lora_error`](crate::LoKrUpdate::lora_error) knows before. Its base stays as it is.
    ///
    /// # Errors
    /// As [`LoKrUpdate::to_lora`](crate::LoKrUpdate::to_lora); [`LayerError::AlreadyMerged`] while the update is in
    /// the base's weight.
    ///
    /// [`LayerError::AlreadyMerged`]: crate::LayerError::AlreadyMerged
    pub fn to_lora(&self, rank: usize) -> Result<(Self, f64)> {
        let (update, error) = self.update().to_lora(rank)?;
        Ok((self.with_own(update)?, error))
    }

    /// A copy whose own update is the nearest sum of so many products `A (m, n)`, `B (p, q)`, and its relative error.
    ///
    /// # Errors
    /// As [`LoKrUpdate::to_lokr`](crate::LoKrUpdate::to_lokr); [`LayerError::AlreadyMerged`] while the update is in
    /// the base's weight.
    ///
    /// [`LayerError::AlreadyMerged`]: crate::LayerError::AlreadyMerged
    pub fn to_lokr(&self, a: (usize, usize), b: (usize, usize), terms: usize) -> Result<(Self, f64)> {
        let (update, error) = self.update().to_lokr(a, b, terms)?;
        Ok((self.with_own(update)?, error))
    }

    fn with_own(&self, update: LoKrUpdate<T>) -> Result<Self> {
        let mut copy = self.clone();
        copy.change(|updates| {
            let update = update.with_dropout_of(updates.own());
            *updates.own_mut() = update;
            Ok(())
        })?;
        Ok(copy)
    }
}
