//! The updates in the weight of the adapter's own base, and out of it again.

use lokr_core::{Scalar, memory};

use super::lokr_adapter::LoKrAdapter;
use super::merge::{Way, change_weight};
use super::updates::{InPlace, Updates};
use crate::error::{LayerError, Result};
use crate::layer::{Layer, Restore};
use crate::update::TYPE_NAME;

impl<T: Scalar, L: Layer<T> + Clone> LoKrAdapter<T, L> {
    /// See [`crate::Adapter::merge_in_place`].
    pub(super) fn merge_base(&mut self, restore: Restore) -> Result<()> {
        self.refuse_merged()?;
        let gains = self.decomposition()?.map(|(_, gains)| gains.clone());
        let layer = self.base.type_name();
        let linear = self.base.as_linear_mut().ok_or(LayerError::NotMergeable { layer })?;
        let original = match restore {
            Restore::Rounded => None,
            Restore::Exact => {
                let mut weight = memory::zeros("a copy of the weight", linear.weight().dim())?;
                weight.assign(&linear.weight());
                Some((weight, linear.merges().map(|merges| merges.clone())))
            }
        };
        change_weight(&self.updates, self.placement, Way::Merge, gains.as_ref(), &mut self.base)?;
        self.forget();
        self.updates.in_place = Some(InPlace { original, gains });
        Ok(())
    }

    /// See [`crate::Adapter::unmerge_in_place`].
    pub(super) fn unmerge_base(&mut self) -> Result<()> {
        let not_merged = LayerError::NotMerged { layer: TYPE_NAME };
        let InPlace { original, gains } = self.updates.in_place.as_ref().ok_or(not_merged)?;
        match (original, self.base.as_linear_mut()) {
            (Some((weight, known)), Some(linear)) => {
                linear.weight_mut().assign(weight);
                if let (Some(merges), Some(known)) = (linear.merges(), known) {
                    merges.clone_from(known);
                }
            }
            _ => change_weight(&self.updates, self.placement, Way::Unmerge, gains.as_ref(), &mut self.base)?,
        }
        self.updates.in_place = None;
        self.forget();
        Ok(())
    }

    /// [`LayerError::AlreadyMerged`] while the updates are in the base.
    pub(super) fn refuse_merged(&self) -> Result<()> {
        if self.updates.in_place.is_some() { Err(LayerError::AlreadyMerged { layer: TYPE_NAME }) } else { Ok(()) }
    }

    /// Changes the updates, unless they are in the weight: gradients are dropped, and a backward needs a new forward.
    pub(super) fn change<R>(&mut self, change: impl FnOnce(&mut Updates<T>) -> Result<R>) -> Result<R> {
        self.refuse_merged()?;
        let result = change(&mut self.updates)?;
        self.forget();
        Ok(result)
    }
}
