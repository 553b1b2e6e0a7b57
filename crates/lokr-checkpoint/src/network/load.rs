//! Updates from a file, put on the layers of a network.

use std::collections::BTreeMap;
use std::path::Path;

use lokr_core::{Kron, Scalar};
use lokr_layers::{DeltaPlacement, LoKrUpdate, PlacedUpdate, Sequential};

use super::options::LoadOptions;
use super::whole::WholeTensor;
use super::{base_hash, placement};
use crate::adapter::{Adapter, Resolution, Warning};
use crate::dialect::terms;
use crate::dialects::Dialect;
use crate::error::{InFile, Result};
use crate::module::{Module, ScaleRule, weight_shape};

/// What [`load_adapters`] did.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LoadedAdapters {
    /// The layers that have an update of the file now, sorted.
    pub layers: Vec<String>,
    /// The tensors of layers that the file replaced whole.
    pub whole: Vec<String>,
    /// The file's modules that belong to no layer, where that is allowed.
    pub unmatched: Vec<String>,
    /// The layers that have adapters which the file says nothing of.
    pub untouched: Vec<String>,
    /// What the user should know of the file.
    pub warnings: Vec<Warning>,
}

/// Reads an adapter of any dialect and puts its updates on the layers of a network, by their names: layers that have no
/// adapter get one, with the base frozen; in adapters the update is added or takes the place of the one of that name,
/// whose dropout stays. Layers that the file replaces whole are set. All or nothing.
///
/// Names with `_` for `.`, as LyCORIS and kohya have them, are looked up among the flattened names of the layers. What
/// a file does not say, such as dropout and what else trains, is as the network has it: to train on, call
/// [`Sequential::adapt`] first.
///
/// # Errors
/// Those of [`Adapter::read`]; [`NameError::UnmatchedModules`](crate::NameError::UnmatchedModules) and
/// [`NameError::AmbiguousModule`](crate::NameError::AmbiguousModule) for names;
/// [`ModuleError::WeightShape`](crate::ModuleError::WeightShape) and the like for shapes;
/// [`CheckpointError::Layer`](crate::CheckpointError::Layer) for what the layers refuse, such as updates that are
/// merged. The network is as it was then.
/// # Examples
/// See [`save_adapters`](crate::save_adapters).
pub fn load_adapters<T: Scalar>(
    network: &mut Sequential<T>,
    path: impl AsRef<Path>,
    options: &LoadOptions,
) -> Result<LoadedAdapters> {
    let adapter = Adapter::read(path, &options.read)?;
    adapter.put_on(network, options).in_file(adapter.path())
}

impl Adapter {
    /// [`load_adapters`] of an adapter that is read already, or was made in memory.
    ///
    /// # Errors
    /// As [`load_adapters`].
    pub fn put_on<T: Scalar>(&self, network: &mut Sequential<T>, options: &LoadOptions) -> Result<LoadedAdapters> {
        let layers = network.layer_names();
        let names = self.modules().keys().map(String::as_str);
        let resolution = Resolution::of_layers((self.dialect(), self.prefix()), names, &layers, options.unmatched)?;
        let mut by_layer: BTreeMap<&str, Vec<&Module>> = BTreeMap::new();
        let mut targets: Vec<_> = resolution.targets().collect();
        targets.sort_by_key(|(module, _)| terms::number(module)); // a sum has the bits of its order
        for (module, layer) in targets {
            by_layer.entry(layer).or_default().push(&self.modules()[module]);
        }
        base_hash::check(network, by_layer.keys().copied(), self.metadata(), options.base)?;
        let after = placement::from_metadata(self.metadata())?;
        let mut updates = Vec::new();
        for (&layer, modules) in &by_layer {
            let target = network.layer(layer)?;
            let weight = weight_shape(target);
            let update = match modules.as_slice() {
                [module] if self.dialect() != Dialect::Terms => module.to_update(&weight, options.scale)?,
                modules => sum(modules, &weight, options.scale)?,
            };
            let placement = after.contains(layer).then_some(DeltaPlacement::AfterActivation);
            updates.push(PlacedUpdate { layer: layer.to_owned(), update, placement });
        }
        let whole: Vec<_> = self
            .modules_to_save()
            .iter()
            .map(|(key, tensor)| WholeTensor::new(network, key, tensor))
            .collect::<Result<_>>()?;
        let touched: Vec<String> = by_layer.keys().map(|&layer| layer.to_owned()).collect();
        network.put_updates(&options.name, updates)?;
        whole.iter().try_for_each(|tensor| tensor.set(network))?;
        let adapted = network.adapters().into_iter().map(|(name, _)| name);
        Ok(LoadedAdapters {
            untouched: adapted.filter(|name| !touched.contains(name)).collect(),
            layers: touched,
            whole: self.modules_to_save().keys().cloned().collect(),
            unmatched: resolution.unmatched().to_vec(),
            warnings: self.warnings().to_vec(),
        })
    }
}

/// The update that adds up the modules of one layer. Where their scales differ, they become weights of its terms.
fn sum<T: Scalar>(modules: &[&Module], weight: &[usize], rule: ScaleRule) -> Result<LoKrUpdate<T>> {
    let mut terms: Vec<(f64, Kron<'static, T>)> = Vec::new();
    for module in modules {
        module.check_weight(weight)?;
        terms.push((module.scale_by(rule)?, module.kron()?));
    }
    let scale = terms.first().map_or(1.0, |(scale, _)| *scale);
    let kernel = weight.get(2..).unwrap_or_default();
    if terms.iter().all(|(other, _)| *other == scale) {
        let terms = terms.into_iter().map(|(_, term)| term).collect();
        return Ok(LoKrUpdate::from_terms(terms, T::from_f64_lossy(scale))?.for_kernel(kernel)?);
    }
    let terms = terms.into_iter().map(|(scale, term)| (T::from_f64_lossy(scale), term)).collect();
    Ok(LoKrUpdate::from_weighted_terms(terms)?.for_kernel(kernel)?)
}
