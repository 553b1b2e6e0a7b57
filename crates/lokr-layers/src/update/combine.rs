//! Updates added up, averaged and made of fewer terms.

use lokr_core::{KronTerms, Scalar};

use super::checks::{TYPE_NAME, check_scaling};
use super::lokr_update::LoKrUpdate;
use crate::error::{LayerError, Result};

impl<T: Scalar> LoKrUpdate<T> {
    /// The weighted sum of updates, exactly: all their products, each with factors that keep every bit, and with its
    /// number in front, multipliers included, as its weight. The weights are trained if the sum is.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] without updates, for a weight that is not finite, and for updates that decompose
    /// the weight, which do not add up; [`LayerError::Shape`] for updates of different sizes.
    /// # Examples
    /// ```
    /// use lokr_core::Kron;
    /// use lokr_layers::LoKrUpdate;
    /// use ndarray::array;
    ///
    /// let update = |a: f64, b: f64| {
    ///     LoKrUpdate::from_terms(vec![Kron::new(array![[a, 0.0]], array![[1.0], [b]])?], 0.5)
    /// };
    /// let (first, second) = (update(2.0, 1.0)?, update(4.0, 3.0)?);
    /// let sum = LoKrUpdate::weighted_sum(&[(1.0, &first), (0.25, &second)])?;
    /// assert_eq!(sum.weight()?, first.weight()? + second.weight()? * 0.25);
    /// assert_eq!(LoKrUpdate::interpolate(&first, &second, 0.5)?.weight()?, array![[1.5, 0.0], [3.5, 0.0]]);
    /// let (one, error) = sum.compressed(1, 0.0)?; // the best single product, and what it leaves out
    /// assert_eq!(one.terms().len(), 1);
    /// assert!((0.0..1.0).contains(&error));
    /// # Ok::<(), lokr_layers::LayerError>(())
    /// ```
    pub fn weighted_sum(parts: &[(T, &Self)]) -> Result<Self> {
        let &(_, first) = parts.first().ok_or_else(|| LayerError::invalid("number of updates", 0, "at least 1"))?;
        let mut terms = Vec::new();
        for &(weight, part) in parts {
            LayerError::check_shape(TYPE_NAME, "an update", first.dim(), part.dim())?;
            check_scaling("weight of an update", weight)?;
            part.refuse_dora("added up")?;
            for (strength, delta) in part.terms() {
                terms.push((weight * strength, delta.clone()));
            }
        }
        Self::from_weighted_terms(terms)?.for_kernel(&first.kernel)
    }

    /// The mean of updates: [`LoKrUpdate::weighted_sum`] with equal weights.
    ///
    /// # Errors
    /// As [`LoKrUpdate::weighted_sum`].
    pub fn mean(parts: &[&Self]) -> Result<Self> {
        let weight = T::from_f64_lossy(1.0 / parts.len().max(1) as f64);
        Self::weighted_sum(&parts.iter().map(|&part| (weight, part)).collect::<Vec<_>>())
    }

    /// From `first`, at `t = 0`, to `second`, at 1, on a straight line: [`LoKrUpdate::weighted_sum`] with `1 − t` and
    /// `t`.
    ///
    /// # Errors
    /// As [`LoKrUpdate::weighted_sum`].
    pub fn interpolate(first: &Self, second: &Self, t: T) -> Result<Self> {
        Self::weighted_sum(&[(T::one() - t, first), (t, second)])
    }

    /// The same update, or one near to it, of fewer products with full factors, and the relative error that is left,
    /// `‖this − result‖_F / ‖this‖_F`: as many as an error of `tolerance` needs, at most `terms`. No other sum of so
    /// many products that split alike is nearer: [`KronTerms::compress`].
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] for an update that decomposes the weight; those of [`KronTerms::compress`].
    pub fn compressed(&self, terms: usize, tolerance: f64) -> Result<(Self, f64)> {
        self.refuse_dora("compressed")?;
        let (found, error) = self.sum()?.compress(terms, tolerance)?;
        let terms = found.into_owned().into_parts().into_iter().map(|(_, term)| term).collect();
        Ok((Self::from_terms(terms, T::one())?.for_kernel(&self.kernel)?, error))
    }

    /// A form that is the same, up to rounding, for updates that add the same, whatever their factors, scaling, scalar
    /// and terms: the products of [`LoKrUpdate::compressed`], orthogonal to each other, the largest first, the norms of
    /// `A` and `B` equal, the largest value of each `A` positive. For comparing; unique where no two products are of
    /// one size.
    ///
    /// # Errors
    /// As [`LoKrUpdate::compressed`].
    /// # Examples
    /// ```
    /// use lokr_core::Kron;
    /// use lokr_layers::LoKrUpdate;
    /// use ndarray::array;
    ///
    /// let update = |a: f64, b: f64, s| {
    ///     LoKrUpdate::from_terms(vec![Kron::new(array![[a, 2.0 * a]], array![[b], [3.0 * b]])?], s)
    /// };
    /// let (x, y) = (update(1.0, 1.0, 1.0)?.canonical()?, update(-4.0, 0.5, -0.5)?.canonical()?);
    /// let difference = x.delta().a().to_dense() - y.delta().a().to_dense();
    /// assert!(difference.iter().all(|d| d.abs() < 1e-14));
    /// # Ok::<(), lokr_layers::LayerError>(())
    /// ```
    pub fn canonical(&self) -> Result<Self> {
        let rounding = 16.0 * T::epsilon().to_f64_exact();
        let (mut update, _) = self.compressed(usize::MAX, rounding)?;
        for term in &mut update.terms {
            let a = term.delta.a().dense();
            let largest = a.iter().fold(T::zero(), |largest, &v| if v.abs() > largest.abs() { v } else { largest });
            if largest < T::zero() {
                term.delta.parts_mut().for_each(|mut part| part.mapv_inplace(|v| -v));
            }
        }
        Ok(update)
    }

    /// `‖ΔW‖_F` from the factors: of one product the product of their norms; of several, by their inner products.
    ///
    /// # Errors
    /// [`LayerError::Kron`] where products that split differently need a matrix that memory does not hold.
    pub fn frobenius_norm(&self) -> Result<f64> {
        match (self.terms().len(), self.terms().next()) {
            (1, Some((strength, term))) => Ok(strength.to_f64_exact().abs() * term.frobenius_norm().to_f64_exact()),
            _ => Ok(self.sum()?.frobenius_norm().to_f64_exact()),
        }
    }

    /// The products and the numbers in front of them.
    fn sum(&self) -> Result<KronTerms<'_, T>> {
        Ok(KronTerms::new(self.terms().map(|(strength, delta)| (strength, delta.view())))?)
    }

    pub(super) fn refuse_dora(&self, operation: &'static str) -> Result<()> {
        if self.dora().is_some() {
            let expected = "one without, since a decomposed weight is no sum";
            return Err(LayerError::invalid("weight decomposition of an update that is to be", operation, expected));
        }
        Ok(())
    }
}
