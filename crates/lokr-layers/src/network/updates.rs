//! Updates under one name on many layers: put on, found and chosen.

use std::collections::BTreeSet;

use lokr_core::Scalar;

use super::reach::leaf_names;
use super::sequential::{Sequential, TYPE_NAME};
use crate::adapter::Prepared;
use crate::error::{LayerError, Result};
use crate::layer::{Adapter, Layer};
use crate::update::{DeltaPlacement, LoKrUpdate};

/// An update for a layer of a network.
#[derive(Debug, Clone)]
pub struct PlacedUpdate<T: Scalar> {
    /// The layer's name.
    pub layer: String,
    /// What is added to its weight.
    pub update: LoKrUpdate<T>,
    /// Where it enters; `None` is where the layer allows it, as [`crate::LoKrBuilder::placement`] says, or where those
    /// that are there enter.
    pub placement: Option<DeltaPlacement>,
}

/// What was done to an adapter, to be undone.
enum Done<T: Scalar> {
    Added,
    Replaced(Box<LoKrUpdate<T>>),
}

impl<T: Scalar> Sequential<T> {
    /// Puts updates on layers, all under one name and all or none. A layer that is no adapter becomes one, its base
    /// frozen, whose own update has that name. An adapter gets the update beside the others, or in the place of the one
    /// of that name, whose dropout it takes over. They are enabled; other layers stay as they are.
    ///
    /// # Errors
    /// [`LayerError::NoSuchLayer`]; [`LayerError::DuplicateName`] for a layer that is given twice;
    /// [`LayerError::InvalidName`]; [`LayerError::InvalidSetting`] for a placement that the layer or its adapter does
    /// not have; [`LayerError::Shape`] and the other errors of [`Adapter::add_update`]. The network is as it was then.
    /// # Examples
    /// ```
    /// use lokr_core::Kron;
    /// use lokr_layers::{Activation, FullyConnected, Layer, LoKrUpdate, PlacedUpdate, Sequential};
    /// use ndarray::{Array1, Array2, array};
    ///
    /// let mut network = Sequential::empty();
    /// let zeros = FullyConnected::from_arrays(Array2::zeros((2, 2)), Array1::zeros(2), Activation::Identity)?;
    /// network.push_named("q", zeros)?;
    /// for (name, size) in [("small", 1.0), ("large", 10.0)] {
    ///     let update = LoKrUpdate::from_terms(vec![Kron::new(array![[size, 0.0]], array![[1.0], [1.0]])?], 1.0)?;
    ///     network.put_updates(name, vec![PlacedUpdate { layer: "q".into(), update, placement: None }])?;
    /// }
    /// assert_eq!(network.update_names(), ["small", "large"]);
    /// assert_eq!(network.predict(&array![[1.0, 5.0]])?, array![[11.0, 11.0]]); // both act
    /// network.activate(&["small"])?;
    /// assert_eq!(network.predict(&array![[1.0, 5.0]])?, array![[1.0, 1.0]]);
    /// # Ok::<(), lokr_layers::LayerError>(())
    /// ```
    pub fn put_updates(&mut self, name: &str, updates: Vec<PlacedUpdate<T>>) -> Result<()> {
        let mut seen = BTreeSet::new();
        let (mut wraps, mut changes) = (Vec::new(), Vec::new());
        for PlacedUpdate { layer, update, placement } in updates {
            if !seen.insert(layer.clone()) {
                return Err(LayerError::DuplicateName { layer: TYPE_NAME, name: layer });
            }
            let target = self.layer(&layer)?;
            match target.as_adapter() {
                None => wraps.push((layer, Prepared::given(name, target, update, placement)?)),
                Some(adapter) if placement.is_some_and(|wanted| wanted != adapter.placement()) => {
                    let expected = "that of the updates which the layer has already";
                    return Err(LayerError::invalid("placement", format!("{:?}", placement), expected));
                }
                Some(_) => changes.push((layer, update)),
            }
        }
        let mut done: Vec<(String, Done<T>)> = Vec::new();
        for (layer, update) in changes {
            match self.adapter_mut(&layer).and_then(|adapter| put(adapter, name, update)) {
                Ok(change) => done.push((layer, change)),
                Err(error) => {
                    for (layer, change) in done.into_iter().rev() {
                        self.undo(&layer, name, change);
                    }
                    return Err(error);
                }
            }
        }
        for (layer, _) in &done {
            self.adapter_mut(layer)?.set_enabled(name, true)?; // Just changed, so not merged.
        }
        for (layer, prepared) in wraps {
            let layer = self.layer_mut(&layer)?; // Found above.
            let base = std::mem::replace(layer, Box::new(Self::empty()));
            *layer = Box::new(prepared.put_on(base));
        }
        Ok(())
    }

    /// Adds up updates with weights, exactly, on every layer that has one of them, and puts the sum there under a name,
    /// disabled: PEFT's `add_weighted_adapter`. Equal weights make the mean; `1 − t` and `t` lie between two. See
    /// [`LoKrUpdate::weighted_sum`].
    ///
    /// # Errors
    /// [`LayerError::UnknownName`] for a name that no adapter has; those of [`LoKrUpdate::weighted_sum`] and
    /// [`Sequential::put_updates`]. The network is as it was then.
    pub fn combine_updates(&mut self, name: &str, parts: &[(&str, T)]) -> Result<()> {
        self.check_update_names(parts.iter().map(|(name, _)| *name))?;
        let mut sums = Vec::new();
        for (layer, adapter) in self.adapters() {
            let own = parts.iter().filter_map(|(name, weight)| Some((*weight, adapter.named_update(name).ok()?)));
            let own: Vec<_> = own.collect();
            if !own.is_empty() {
                let update = LoKrUpdate::weighted_sum(&own)?;
                sums.push(PlacedUpdate { layer, update, placement: None });
            }
        }
        let layers: Vec<String> = sums.iter().map(|sum| sum.layer.clone()).collect();
        self.put_updates(name, sums)?;
        layers.iter().try_for_each(|layer| self.adapter_mut(layer)?.set_enabled(name, false))
    }

    /// Makes the updates of a name of fewer products, on every layer that has one: the layers, with the relative error
    /// of each. See [`LoKrUpdate::compressed`].
    ///
    /// # Errors
    /// [`LayerError::UnknownName`]; those of [`LoKrUpdate::compressed`] and [`Sequential::put_updates`]. The network is
    /// as it was then.
    pub fn compress_updates(&mut self, name: &str, terms: usize, tolerance: f64) -> Result<Vec<(String, f64)>> {
        self.check_update_names([name])?;
        let (mut updates, mut errors, mut disabled) = (Vec::new(), Vec::new(), Vec::new());
        for (layer, adapter) in self.adapters() {
            let Ok(update) = adapter.named_update(name) else { continue };
            let (update, error) = update.compressed(terms, tolerance)?;
            errors.push((layer.clone(), error));
            if !adapter.is_enabled(name)? {
                disabled.push(layer.clone());
            }
            updates.push(PlacedUpdate { layer, update, placement: None });
        }
        self.put_updates(name, updates)?;
        disabled.iter().try_for_each(|layer| self.adapter_mut(layer)?.set_enabled(name, false))?;
        Ok(errors)
    }

    fn undo(&mut self, layer: &str, name: &str, change: Done<T>) {
        // What could be done can be undone: it fits, and nothing is merged.
        if let Ok(adapter) = self.adapter_mut(layer) {
            let _ = match change {
                Done::Added => adapter.remove_update(name),
                Done::Replaced(before) => adapter.replace_update(name, *before),
            };
        }
    }

    /// The names of all updates on adapters of this network, in the order of the layers.
    #[must_use]
    pub fn update_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (_, adapter) in self.adapters() {
            for (name, _) in adapter.updates() {
                if !names.iter().any(|known| known == name) {
                    names.push(name.to_owned());
                }
            }
        }
        names
    }

    /// The names of [`Sequential::update_names`] that are enabled on any layer.
    #[must_use]
    pub fn active_update_names(&self) -> Vec<String> {
        let mut names = self.update_names();
        let adapters = self.adapters();
        names.retain(|name| adapters.iter().any(|(_, adapter)| adapter.is_enabled(name).unwrap_or(false)));
        names
    }

    /// Enables the updates of these names and disables all others, on every layer: PEFT's `set_adapter`. No names at
    /// all leave the base alone.
    ///
    /// # Errors
    /// [`LayerError::UnknownName`] for a name that no adapter has; [`LayerError::AlreadyMerged`] while updates are in
    /// the weight of a base. Nothing is changed then.
    pub fn activate(&mut self, names: &[&str]) -> Result<()> {
        self.check_update_names(names.iter().copied())?;
        if self.adapters().iter().any(|(_, adapter)| adapter.is_merged()) {
            return Err(LayerError::AlreadyMerged { layer: TYPE_NAME });
        }
        for (_, adapter) in self.adapters_mut() {
            let own: Vec<String> = adapter.updates().into_iter().map(|(name, _)| name.to_owned()).collect();
            for name in own {
                let enabled = names.contains(&name.as_str());
                if adapter.is_enabled(&name)? != enabled {
                    adapter.set_enabled(&name, enabled)?;
                }
            }
        }
        Ok(())
    }

    /// [`LayerError::UnknownName`] for the first name that no adapter has.
    pub(super) fn check_update_names<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Result<()> {
        let known = self.update_names();
        match names.into_iter().find(|name| !known.iter().any(|known| known == name)) {
            Some(name) => Err(LayerError::UnknownName { layer: TYPE_NAME, name: name.to_owned() }),
            None => Ok(()),
        }
    }

    /// The layers that are no adapters and train as they are, with their names: PEFT's `modules_to_save`.
    #[must_use]
    pub fn trained_whole(&self) -> Vec<(String, &dyn Layer<T>)> {
        let mut names = leaf_names(self);
        names.retain(|name| {
            let whole = |layer: &dyn Layer<T>| layer.as_adapter().is_none() && layer.parameter_count() > 0;
            self.layer(name).is_ok_and(whole)
        });
        names.into_iter().filter_map(|name| self.layer(&name).ok().map(|layer| (name.clone(), layer))).collect()
    }
}

fn put<T: Scalar>(adapter: &mut dyn Adapter<T>, name: &str, update: LoKrUpdate<T>) -> Result<Done<T>> {
    match adapter.named_update(name) {
        Ok(before) => {
            let update = update.with_dropout_of(before);
            Ok(Done::Replaced(Box::new(adapter.replace_update(name, update)?)))
        }
        Err(_) => adapter.add_update(name, update).map(|()| Done::Added),
    }
}
