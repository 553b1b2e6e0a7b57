//! The adapters of a network, written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use lokr_core::Scalar;
use lokr_layers::{DeltaPlacement, Sequential};

use super::options::{SaveOptions, Updates};
use super::{base_hash, placement, whole};
use crate::adapter::{Adapter, Warning};
use crate::dialect::part::Network;
use crate::dialects::Dialect;
use crate::error::{JobError, Result};
use crate::file::{OutputDirectory, OutputForm, Overwrite};
use crate::module::{Module, weight_shape};

/// One file that [`save_adapters`] wrote.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SavedAdapter {
    /// The name of the updates in the network.
    pub name: String,
    /// The file, or PEFT's directory.
    pub path: PathBuf,
    /// The layers whose updates are in it.
    pub layers: Vec<String>,
    /// The tensors of layers that were trained whole.
    pub whole: Vec<String>,
    /// What the user should know of it.
    pub warnings: Vec<Warning>,
}

/// Writes the updates of a whole network in a dialect, with the layers that train whole beside them: one file for the
/// active update or the one of a name, or one for each name ([`Updates`]). What is there is replaced only as a whole.
///
/// Modules are named by the layers' names. Kept are factors, scaling, norms of DoRA, and where an update enters
/// ([`DeltaPlacement`], in the header, which only this crate reads); numbers that are trained in front of products are
/// multiplied into the first factors. Multipliers, dropout and the base are not saved.
///
/// # Errors
/// [`JobError::Option`] where no update is meant, or several are and one file is asked for;
/// [`JobError::StackedAdapters`], [`JobError::TrainedBase`] for what an adapter's file has no place for;
/// [`JobError::SeveralTerms`] for sums outside of [`Dialect::Terms`], [`JobError::Dora`] for norms in it;
/// [`ModuleError::CannotHold`](crate::ModuleError::CannotHold) for layers trained whole in other dialects than PEFT's
/// and that of terms; [`LayerError::NamedNonFinite`](lokr_layers::LayerError::NamedNonFinite), and those of
/// [`Module::from_update`], [`Adapter::from_modules`] and [`Adapter::write`]. Nothing is written then.
/// # Examples
/// ```
/// use lokr_checkpoint::{Dialect, LoadOptions, SaveOptions, load_adapters, save_adapters};
/// use lokr_layers::{Activation, AdaptSettings, Dense, Init, Layer, LoKrInit, LoKrSettings, Sequential};
/// use lokr_layers::rand::{SeedableRng, rngs::SmallRng};
/// use ndarray::Array2;
///
/// let rng = &mut SmallRng::seed_from_u64(1);
/// let mut network = Sequential::<f32>::empty();
/// network.push_named("body.q", Dense::new(12, 8, Activation::Silu, Init::HeNormal, rng)?)?;
/// network.push_named("head", Dense::new(8, 3, Activation::Softmax, Init::XavierNormal, rng)?)?;
/// let mut fresh = network.clone();
///
/// let settings = LoKrSettings::new().rank(1).init(LoKrInit::Random);
/// network.adapt("q", AdaptSettings::from(settings).train_whole("head"))?;
/// network.visit_mut(&mut |_, mut values, _| values += 0.125); // in place of training
///
/// let folder = tempfile::tempdir()?;
/// let saved = save_adapters(&network, folder.path().join("mine"), &SaveOptions::to(Dialect::Peft))?;
/// assert_eq!(saved[0].layers, ["body.q"]);
/// assert_eq!(saved[0].whole, ["head.bias", "head.weight"]);
///
/// load_adapters(&mut fresh, folder.path().join("mine"), &LoadOptions::default())?;
/// let x = Array2::from_shape_fn((2, 12), |(i, j)| (i + j) as f32 / 12.0);
/// assert_eq!(fresh.predict(&x)?, network.predict(&x)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn save_adapters<T: Scalar>(
    network: &Sequential<T>,
    path: impl AsRef<Path>,
    options: &SaveOptions,
) -> Result<Vec<SavedAdapter>> {
    let path = path.as_ref();
    let names = options.updates.names(network)?;
    let adapters: Vec<_> =
        names.into_iter().map(|name| Ok((adapter_of(network, &name, options)?, name))).collect::<Result<_>>()?;
    if options.updates != Updates::Each {
        return adapters
            .into_iter()
            .map(|(adapter, name)| {
                adapter.write(path, options.overwrite)?;
                Ok(said(network, &adapter, name, path.to_owned()))
            })
            .collect();
    }
    let output = OutputDirectory::create(path, options.overwrite)?;
    let mut saved = Vec::new();
    for (adapter, name) in adapters {
        let file = match options.dialect.form() {
            OutputForm::Directory => name.clone(),
            OutputForm::File => format!("{name}.safetensors"),
        };
        adapter.write(output.path().join(&file), Overwrite::Refuse)?;
        saved.push(said(network, &adapter, name, path.join(file)));
    }
    output.finish()?;
    Ok(saved)
}

fn said<T: Scalar>(network: &Sequential<T>, adapter: &Adapter, name: String, path: PathBuf) -> SavedAdapter {
    let has =
        |(layer, update): (String, &dyn lokr_layers::Adapter<T>)| update.named_update(&name).is_ok().then_some(layer);
    let layers = network.adapters().into_iter().filter_map(has).collect();
    let whole = adapter.modules_to_save().keys().cloned().collect();
    SavedAdapter { layers, whole, warnings: adapter.warnings().to_vec(), name, path }
}

/// The updates of that name as an adapter of the dialect.
fn adapter_of<T: Scalar>(network: &Sequential<T>, name: &str, options: &SaveOptions) -> Result<Adapter> {
    let dtype = options.dtype::<T>();
    let (mut modules, mut sums, mut after) = (Vec::new(), Vec::<BTreeMap<String, Module>>::new(), BTreeSet::new());
    let mut layers = Vec::new();
    for (layer, adapter) in network.adapters() {
        let Ok(update) = adapter.named_update(name) else { continue };
        layers.push(layer.clone());
        if adapter.base().as_adapter().is_some() {
            return Err(JobError::StackedAdapters { layer }.into());
        }
        if !adapter.is_base_frozen() && !adapter.base().is_frozen() {
            return Err(JobError::TrainedBase { layer }.into());
        }
        if adapter.placement() == DeltaPlacement::AfterActivation {
            after.insert(layer.clone());
        }
        if options.dialect == Dialect::Terms {
            for (term, module) in Module::of_terms(&layer, update, dtype)?.into_iter().enumerate() {
                if sums.len() == term {
                    sums.push(BTreeMap::new());
                }
                sums[term].insert(layer.clone(), module);
            }
        } else {
            let weight = weight_shape(adapter);
            modules.push((Module::from_update(layer, update, dtype)?, Some(weight)));
        }
    }
    let adapter = match options.dialect {
        Dialect::Terms => Adapter::from_terms(sums)?,
        dialect => Adapter::from_modules_of(dialect, Network::Any, modules)?,
    };
    let whole = if options.whole_layers { whole::tensors(network, dtype)? } else { BTreeMap::new() };
    let mut metadata = placement::to_metadata(&after)?;
    if options.base_hash {
        metadata.extend(base_hash::to_metadata(network, &layers)?);
    }
    Ok(adapter.with_extras(whole, metadata)?)
}
