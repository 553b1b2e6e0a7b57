//! The update as a matrix, and added to a weight.

use lokr_core::{KronError, Scalar};
use ndarray::{Array2, ArrayRef2};

use super::lokr_adapter::LoKrAdapter;
use crate::activation::Activation;
use crate::error::{LayerError, Result};
use crate::layer::Layer;
use crate::update::{DeltaPlacement, TYPE_NAME};

/// Adding an update, or taking it off.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Merge,
    Unmerge,
}

impl<T: Scalar, L: Layer<T> + Clone> LoKrAdapter<T, L> {
    /// The update `s·(A ⊗ B) (out, in)` as a matrix of its own: `out·in` values of memory, see
    /// [`Kron::to_dense`](lokr_core::Kron::to_dense) for where they are refused. [`crate::LoKrUpdate::weight`] returns
    /// an error instead.
    #[must_use]
    pub fn delta_weight(&self) -> Array2<T> {
        let mut terms = self.update.terms().map(|(strength, delta)| delta.scaled(strength).to_dense());
        let first = terms.next().unwrap_or_else(|| Array2::zeros(self.update.dim()));
        terms.fold(first, |sum, term| sum + term)
    }

    /// A copy of the base with the update added to its weight, its bias and activation kept. The adapter and its base
    /// stay as they are, byte for byte. The copy holds no gradients.
    ///
    /// Around an adapter this is that adapter with another weight; [`Layer::merged`] merges all of them.
    ///
    /// # Errors
    /// As [`LoKrAdapter::merge_into`].
    pub fn merge(&self) -> Result<L> {
        let mut merged = self.base.clone();
        self.merge_into(&mut merged)?;
        merged.reset_state();
        Ok(merged)
    }

    /// Adds the update to the weight of `layer`, in place and without a temporary of the weight's size.
    ///
    /// # Errors
    /// - [`LayerError::NotMergeable`] for a layer without a weight matrix, [`LayerError::MergeThroughActivation`] for an
    ///   update that is added after an activation other than the identity;
    /// - [`LayerError::Kron`] for a weight of another shape;
    /// - [`LayerError::NamedNonFinite`] for factors that are not finite, as a step that was too long leaves them, and
    ///   [`LayerError::NonFinite`] where finite ones make a weight that its type cannot hold. Whoever wants such a
    ///   weight adds [`LoKrAdapter::delta_weight`] by hand;
    /// - [`LayerError::AlreadyMerged`] where this update is in the weight already, see [`crate::Merges`].
    ///
    /// `layer` is then untouched.
    pub fn merge_into(&self, layer: &mut L) -> Result<()> {
        self.add_to_layer(Way::Merge, layer)
    }

    /// Takes the update off the weight of `layer` again. Exact to rounding only: `(w + d) − d` need not be `w`; keep
    /// the original where its bits matter.
    ///
    /// # Errors
    /// As [`LoKrAdapter::merge_into`], and [`LayerError::NotMerged`] where the weight is not known to hold this update:
    /// it was never merged into it, the weight has been written to since, or the adapter has changed. To take an update
    /// off a weight that was merged elsewhere, merge the one of negative scaling.
    pub fn unmerge_from(&self, layer: &mut L) -> Result<()> {
        self.add_to_layer(Way::Unmerge, layer)
    }

    /// [`LoKrAdapter::merge_into`] for a layer of any type.
    pub(super) fn merge_into_layer(&self, layer: &mut dyn Layer<T>) -> Result<()> {
        self.add_to_layer(Way::Merge, layer)
    }

    fn add_to_layer(&self, way: Way, layer: &mut dyn Layer<T>) -> Result<()> {
        let name = layer.type_name();
        let linear = layer.as_linear_mut().ok_or(LayerError::NotMergeable { layer: name })?;
        let activation = linear.activation();
        if self.placement == DeltaPlacement::AfterActivation && activation != Activation::Identity {
            return Err(LayerError::MergeThroughActivation { activation: activation.name() });
        }
        let (expected, found) = (self.update.dim(), linear.weight().dim());
        if expected != found {
            return Err(KronError::Shape { operation: "merge", argument: "the weight", expected, found }.into());
        }
        self.update.check_finite()?;
        let fingerprint = self.update.fingerprint();
        if let Some(merges) = linear.merges() {
            match (way, merges.contains(fingerprint)) {
                (Way::Merge, true) => return Err(LayerError::AlreadyMerged { layer: name }),
                (Way::Unmerge, false) => return Err(LayerError::NotMerged { layer: name }),
                _ => {}
            }
        }
        // Writing to the weight makes its list of merges empty.
        let merges = linear.merges().map(|merges| merges.clone());
        self.add_finite(if way == Way::Merge { T::one() } else { -T::one() }, &mut linear.weight_mut())?;
        if let (Some(merges), Some(mut known)) = (linear.merges(), merges) {
            match way {
                Way::Merge => known.insert(fingerprint),
                Way::Unmerge => known.remove(fingerprint),
            }
            *merges = known;
        }
        Ok(())
    }

    /// `W ← W + sign·ΔW`, or an error where a finite value would become one that is not.
    fn add_finite(&self, sign: T, w: &mut ArrayRef2<T>) -> Result<()> {
        let (magnitude, least_step) = (self.update.magnitude(), T::max_value() * T::epsilon());
        if magnitude < least_step / T::from_f64_lossy(4.0) {
            // Less than half of the distance between the largest values: added to any of them it leaves it finite.
            return self.update.add_to(sign, w);
        }
        let mut merged = lokr_core::memory::zeros("a merged weight", w.dim())?;
        merged.assign(w);
        self.update.add_to(sign, &mut merged)?;
        let count = merged.iter().zip(w.iter()).filter(|(merged, w)| w.is_finite() && !merged.is_finite()).count();
        if count > 0 {
            let (argument, total) = ("the merged weight", w.len());
            return Err(LayerError::NonFinite { layer: TYPE_NAME, argument, count, total });
        }
        w.assign(&merged);
        Ok(())
    }
}
