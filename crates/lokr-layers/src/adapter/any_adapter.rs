//! The adapter without the type of its base.

use lokr_core::Scalar;

use super::checks::check_decomposition;
use super::lokr_adapter::LoKrAdapter;
use crate::error::Result;
use crate::layer::{Adapter, Layer, Restore};
use crate::update::{DeltaPlacement, LoKrUpdate};

impl<T: Scalar, L: Layer<T> + Clone + 'static> Adapter<T> for LoKrAdapter<T, L> {
    fn base(&self) -> &dyn Layer<T> {
        &self.base
    }

    fn updates(&self) -> Vec<(&str, &LoKrUpdate<T>)> {
        self.updates.all().collect()
    }

    fn named_update(&self, name: &str) -> Result<&LoKrUpdate<T>> {
        self.updates.get(name)
    }

    fn is_enabled(&self, name: &str) -> Result<bool> {
        self.updates.is_enabled(name)
    }

    fn set_enabled(&mut self, name: &str, enabled: bool) -> Result<()> {
        self.change(|updates| updates.set_enabled(name, enabled))
    }

    fn add_update(&mut self, name: &str, update: LoKrUpdate<T>) -> Result<()> {
        check_decomposition(&self.base, self.placement, &update)?;
        self.change(|updates| updates.add(name, update))
    }

    fn remove_update(&mut self, name: &str) -> Result<LoKrUpdate<T>> {
        self.change(|updates| updates.remove(name))
    }

    fn replace_update(&mut self, name: &str, update: LoKrUpdate<T>) -> Result<LoKrUpdate<T>> {
        check_decomposition(&self.base, self.placement, &update)?;
        self.change(|updates| updates.replace(name, update))
    }

    fn set_scaling(&mut self, scaling: T) -> Result<()> {
        self.set_scaling(scaling)
    }

    fn set_update_multiplier(&mut self, name: &str, multiplier: T) -> Result<()> {
        self.change(|updates| updates.get_mut(name)?.set_multiplier(multiplier))
    }

    fn change_updates(&mut self, change: &mut dyn FnMut(&mut LoKrUpdate<T>) -> Result<()>) -> Result<()> {
        self.change(|updates| updates.enabled_mut().try_for_each(change))
    }
    fn is_merged(&self) -> bool {
        self.updates.in_place.is_some()
    }

    fn merge_in_place(&mut self, restore: Restore) -> Result<()> {
        self.merge_base(restore)
    }

    fn unmerge_in_place(&mut self) -> Result<()> {
        self.unmerge_base()
    }

    fn placement(&self) -> DeltaPlacement {
        self.placement
    }

    fn is_base_frozen(&self) -> bool {
        self.is_base_frozen()
    }

    fn set_base_frozen(&mut self, frozen: bool) {
        self.set_base_frozen(frozen);
    }
}
