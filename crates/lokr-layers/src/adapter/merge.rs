//! The update as a matrix, and added to a weight.

use lokr_core::{KronError, Scalar, memory};
use ndarray::{Array2, ArrayRef2};

use super::dora;
use super::lokr_adapter::LoKrAdapter;
use super::updates::Updates;
use crate::activation::Activation;
use crate::error::{LayerError, Result};
use crate::layer::Layer;
use crate::update::{DeltaPlacement, Gains, LoKrUpdate, Scratch, TYPE_NAME};

/// Adding an update, or taking it off.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Way {
    Merge,
    Unmerge,
}

impl<T: Scalar, L: Layer<T> + Clone> LoKrAdapter<T, L> {
    /// The adapter's own update `s·(A ⊗ B) (out, in)` as a matrix of its own: `out·in` values of memory, see
    /// [`Kron::to_dense`](lokr_core::Kron::to_dense) for where they are refused. [`crate::LoKrUpdate::weight`] returns
    /// an error instead.
    #[must_use]
    pub fn delta_weight(&self) -> Array2<T> {
        let own = self.update();
        let mut terms = own.terms().map(|(strength, delta)| delta.scaled(strength).to_dense());
        let first = terms.next().unwrap_or_else(|| Array2::zeros(own.dim()));
        terms.fold(first, |sum, term| sum + term)
    }

    /// A copy of the base with the updates added to its weight, those that are enabled, its bias and activation kept.
    /// The adapter and its base stay as they are, byte for byte. The copy holds no gradients.
    ///
    /// Around an adapter this is that adapter with another weight; [`Layer::merged`] merges all of them.
    ///
    /// # Errors
    /// As [`LoKrAdapter::merge_into`].
    pub fn merge(&self) -> Result<L> {
        let mut merged = self.base.clone();
        if self.updates.in_place.is_none() {
            self.merge_into(&mut merged)?;
        }
        merged.reset_state();
        Ok(merged)
    }

    /// Adds the updates to the weight of `layer`, those that are enabled, in place and, without weight decomposition,
    /// without a temporary of the weight's size. A decomposed weight gets its norms.
    ///
    /// # Errors
    /// - [`LayerError::NotMergeable`] for a layer without a weight matrix, and for one that decomposes its weight, of
    ///   which this one would become a part; [`LayerError::MergeThroughActivation`] for an update that is added after
    ///   an activation other than the identity;
    /// - [`LayerError::Kron`] for a weight of another shape;
    /// - [`LayerError::NamedNonFinite`] for factors that are not finite, as a step that was too long leaves them, and
    ///   [`LayerError::NonFinite`] where finite ones make a weight that its type cannot hold. Whoever wants such a
    ///   weight adds [`LoKrAdapter::delta_weight`] by hand;
    /// - [`LayerError::AlreadyMerged`] where an update is in the weight already, see [`crate::Merges`].
    ///
    /// `layer` is then untouched.
    pub fn merge_into(&self, layer: &mut L) -> Result<()> {
        change_weight(&self.updates, self.placement, Way::Merge, None, layer)
    }

    /// Takes the updates off the weight of `layer` again. Exact to rounding only: `(w + d) − d` need not be `w`; keep
    /// the original where its bits matter. A decomposed weight is put together again with the norms of the adapter's
    /// own base.
    ///
    /// # Errors
    /// As [`LoKrAdapter::merge_into`], and [`LayerError::NotMerged`] where the weight is not known to hold an update:
    /// it was never merged into it, the weight has been written to since, or the adapter has changed. To take an update
    /// off a weight that was merged elsewhere, merge the one of negative scaling.
    pub fn unmerge_from(&self, layer: &mut L) -> Result<()> {
        let gains = self.decomposition()?.map(|(_, gains)| gains);
        change_weight(&self.updates, self.placement, Way::Unmerge, gains, layer)
    }
}

/// Merges the enabled updates into the weight of `layer`, or takes them off; `gains` are those over the weight before
/// the merge, where it is decomposed and they are known. All or nothing.
pub(super) fn change_weight<T: Scalar>(
    updates: &Updates<T>,
    placement: DeltaPlacement,
    way: Way,
    gains: Option<&Gains<T>>,
    layer: &mut dyn Layer<T>,
) -> Result<()> {
    check(updates, placement, layer)?;
    let name = layer.type_name();
    let linear = layer.as_linear_mut().ok_or(LayerError::NotMergeable { layer: name })?;
    updates.enabled().try_for_each(LoKrUpdate::check_finite)?;
    let fingerprints: Vec<_> = updates.enabled().map(LoKrUpdate::fingerprint).collect();
    if let Some(merges) = linear.merges() {
        for &fingerprint in &fingerprints {
            match (way, merges.contains(fingerprint)) {
                (Way::Merge, true) => return Err(LayerError::AlreadyMerged { layer: name }),
                (Way::Unmerge, false) => return Err(LayerError::NotMerged { layer: name }),
                _ => {}
            }
        }
    }
    // Writing to the weight makes its list of merges empty.
    let merges = linear.merges().map(|merges| merges.clone());
    add_finite(updates, way, gains, &mut linear.weight_mut())?;
    if let (Some(merges), Some(mut known)) = (linear.merges(), merges) {
        for fingerprint in fingerprints {
            match way {
                Way::Merge => known.insert(fingerprint),
                Way::Unmerge => known.remove(fingerprint),
            }
        }
        *merges = known;
    }
    Ok(())
}

/// Whether the updates can go into the stored weight of `layer`.
fn check<T: Scalar>(updates: &Updates<T>, placement: DeltaPlacement, layer: &dyn Layer<T>) -> Result<()> {
    let name = layer.type_name();
    let linear = layer.as_linear().ok_or(LayerError::NotMergeable { layer: name })?;
    let decomposes = |update: &LoKrUpdate<T>| update.dora().is_some();
    let inner = layer.as_adapter().map(|inner| inner.updates()).unwrap_or_default();
    if inner.iter().any(|(_, update)| decomposes(update)) || !inner.is_empty() && updates.enabled().any(decomposes) {
        return Err(LayerError::NotMergeable { layer: name });
    }
    let activation = linear.activation();
    if placement == DeltaPlacement::AfterActivation && activation != Activation::Identity {
        return Err(LayerError::MergeThroughActivation { activation: activation.name() });
    }
    let (expected, found) = (updates.own().dim(), linear.weight().dim());
    if expected != found {
        return Err(KronError::Shape { operation: "merge", argument: "the weight", expected, found }.into());
    }
    Ok(())
}

/// Changes the weight, or nothing where a finite value would become one that is not.
fn add_finite<T: Scalar>(updates: &Updates<T>, way: Way, gains: Option<&Gains<T>>, w: &mut ArrayRef2<T>) -> Result<()> {
    let sign = if way == Way::Merge { T::one() } else { -T::one() };
    let decomposing = updates.enabled().find_map(|update| Some((update, update.decomposition()?)));
    let magnitude: T = updates.enabled().map(LoKrUpdate::magnitude).sum();
    if decomposing.is_none() && magnitude < T::max_value() * T::epsilon() / T::from_f64_lossy(4.0) {
        // Less than half of the distance between the largest values: added to any of them it leaves it finite.
        return updates.enabled().try_for_each(|update| update.add_to(sign, w));
    }
    let mut changed = memory::zeros("a merged weight", w.dim())?;
    changed.assign(w);
    match (decomposing, way, gains) {
        (Some((update, dora)), Way::Merge, _) => {
            let gains = update.gains(dora, w, &mut Scratch::new(), None);
            dora::decompose(update, (dora.axis, &gains), &mut changed);
        }
        (Some((update, dora)), Way::Unmerge, Some(gains)) => {
            dora::recompose(update, (dora.axis, gains), &mut changed);
        }
        _ => updates.enabled().try_for_each(|update| update.add_to(sign, &mut changed))?,
    }
    let count = changed.iter().zip(w.iter()).filter(|(changed, w)| w.is_finite() && !changed.is_finite()).count();
    if count > 0 {
        let (argument, total) = ("the merged weight", w.len());
        return Err(LayerError::NonFinite { layer: TYPE_NAME, argument, count, total });
    }
    w.assign(&changed);
    Ok(())
}
