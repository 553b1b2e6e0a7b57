//! Files of CDKA, sums of Kronecker products under keys of their own (arXiv 2602.01267).
//!
//! `ΔW = λ·Σᵢ Bᵢ ⊗ Aᵢ` with `cdka_b (r, out/r₁, r₂)`, `cdka_a (r, r₁, in/r₂)` and `λ = alpha/√(r·r₂)`. Its `Bᵢ` have
//! the outer indices: they are the factors `A` here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lokr_core::{Kron, Scalar};
use lokr_layers::{LoKrUpdate, PlacedUpdate, Sequential};
use ndarray::{Array3, ArrayD, Axis, Ix3, arr0};

use super::load::LoadedAdapters;
#[cfg(doc)]
use super::options::Updates;
use super::options::{LoadOptions, SaveOptions};
use crate::adapter::{Resolution, Warning};
use crate::dialect::{lycoris, part};
use crate::dialects::Dialect;
use crate::error::{InFile, JobError, ModuleError, NameError, Result};
use crate::file::{FloatType, Tensor, TensorFile, write_tensors};

const A: &str = "cdka_a";
const B: &str = "cdka_b";
const ALPHA: &str = "alpha";

/// Writes the updates of a network, sums of products, under the keys of CDKA: [`save_adapters`](crate::save_adapters)
/// for programs that read those. The names of modules are those of LyCORIS, kohya or the dotted dialect, as
/// [`SaveOptions::dialect`] says. What is trained in front of a product is multiplied into `cdka_b`, and the scaling
/// goes into `alpha`; low-rank factors are multiplied out. Layers that train whole have no place there.
///
/// # Errors
/// [`JobError::Option`] for other dialects and for [`Updates::Each`], and where no update is meant;
/// [`ModuleError::CannotHold`] for products that split differently and for weight decomposition;
/// [`ModuleError::NonFinite`]; [`NameError::DuplicateTarget`] for layers whose names become one; those of
/// [`write_tensors`]. Nothing is written then.
pub fn save_cdka<T: Scalar>(
    network: &Sequential<T>,
    path: impl AsRef<Path>,
    options: &SaveOptions,
) -> Result<Vec<String>> {
    let wrong = |option, expected, found: String| Err(JobError::Option { option, expected, found }.into());
    let dialect = options.dialect;
    if matches!(dialect, Dialect::Peft | Dialect::Terms) {
        return wrong("dialect", "LyCORIS, kohya or dotted names", dialect.to_string());
    }
    let names = options.updates.names(network)?;
    let [name] = names.as_slice() else {
        return wrong("updates", "those of one name", format!("{names:?}"));
    };
    let (mut tensors, mut layers) = (BTreeMap::new(), Vec::new());
    let mut modules: BTreeMap<String, String> = BTreeMap::new();
    for (layer, adapter) in network.adapters() {
        let Ok(update) = adapter.named_update(name) else { continue };
        let module = match dialect {
            Dialect::Lycoris => format!("{}{}", lycoris::PREFIX, lycoris::flatten(&layer)),
            Dialect::Kohya => part::kohya_name(&layer, part::TextEncoders::AtMostOne, None),
            _ => layer.clone(),
        };
        if let Some(first) = modules.insert(module.clone(), layer.clone()) {
            return Err(NameError::DuplicateTarget { first, second: layer, target: module }.into());
        }
        for (suffix, tensor) in to_tensors(&module, update, dialect, options.dtype::<T>())? {
            tensors.insert(format!("{module}.{suffix}"), tensor);
        }
        layers.push(layer);
    }
    write_tensors(path, &tensors, &BTreeMap::new(), options.overwrite)?;
    Ok(layers)
}

fn to_tensors<T: Scalar>(
    module: &str,
    update: &LoKrUpdate<T>,
    dialect: Dialect,
    dtype: FloatType,
) -> Result<[(&'static str, Tensor); 3]> {
    let refuse = |reason| Err(ModuleError::CannotHold { module: module.to_owned(), dialect, reason }.into());
    if update.dora().is_some() {
        return refuse("CDKA has no norms of its own");
    }
    let terms = update.stored_terms()?;
    let shape = update.delta().shape();
    if terms.iter().any(|term| term.shape() != shape) {
        return refuse("CDKA has one split for all products of a sum");
    }
    let mut a = Array3::zeros((terms.len(), shape.p, shape.q));
    let mut b = Array3::zeros((terms.len(), shape.m, shape.n));
    for (index, term) in terms.iter().enumerate() {
        a.index_axis_mut(Axis(0), index).assign(&term.b().dense());
        b.index_axis_mut(Axis(0), index).assign(&term.a().dense());
    }
    let stored = |key: &'static str, values: &Array3<T>| -> Result<(&'static str, Tensor)> {
        let tensor = Tensor::from_array(values, dtype);
        match tensor.count_non_finite(key)? {
            0 => Ok((key, tensor)),
            count => Err(ModuleError::NonFinite { module: module.to_owned(), key, count }.into()),
        }
    };
    let alpha = update.scaling().to_f64_exact() * root(terms.len(), shape.n);
    Ok([stored(A, &a)?, stored(B, &b)?, (ALPHA, Tensor::from_array(&arr0(alpha), FloatType::of::<T>()))])
}

/// `√(r·r₂)`, which `alpha` is divided by.
fn root(terms: usize, r2: usize) -> f64 {
    (terms as f64 * r2 as f64).sqrt()
}

/// Reads a file with the keys of CDKA and puts its sums on the layers of a network, as
/// [`load_adapters`](crate::load_adapters) does; of the options, those of reading do not count.
///
/// # Errors
/// Those of [`TensorFile::open`]; [`NameError::UnknownKey`] for other keys; [`ModuleError::HalfMissing`],
/// [`ModuleError::Axes`], [`ModuleError::InnerRank`], [`ModuleError::NonFinite`] and [`ModuleError::AlphaNotFinite`]
/// for modules that are none; and as [`load_adapters`](crate::load_adapters). The network is as it was then.
pub fn load_cdka<T: Scalar>(
    network: &mut Sequential<T>,
    path: impl AsRef<Path>,
    options: &LoadOptions,
) -> Result<LoadedAdapters> {
    let file = TensorFile::open(path)?;
    load(network, &file, options).in_file(file.path())
}

fn load<T: Scalar>(network: &mut Sequential<T>, file: &TensorFile, options: &LoadOptions) -> Result<LoadedAdapters> {
    let mut modules = BTreeSet::new();
    for key in file.names() {
        match key.rsplit_once('.') {
            Some((module, A | B | ALPHA)) => modules.insert(module),
            _ => return Err(NameError::UnknownKey { key: key.to_owned(), dialect: Dialect::Dotted }.into()),
        };
    }
    let all = |dialect: Dialect| modules.iter().all(|module| dialect.accepts(module, lycoris::PREFIX));
    let dialect = [Dialect::Lycoris, Dialect::Kohya].into_iter().find(|dialect| all(*dialect));
    let named = (dialect.unwrap_or(Dialect::Dotted), lycoris::PREFIX);
    let layers = network.layer_names();
    let resolution = Resolution::of_layers(named, modules.iter().copied(), &layers, options.unmatched)?;
    let (mut updates, mut warnings) = (Vec::new(), Vec::new());
    for (module, layer) in resolution.targets() {
        let update = from_tensors(file, module, &mut warnings)?;
        updates.push(PlacedUpdate { layer: layer.to_owned(), update, placement: None });
    }
    let touched: Vec<String> = updates.iter().map(|placed| placed.layer.clone()).collect();
    network.put_updates(&options.name, updates)?;
    let adapted = network.adapters().into_iter().map(|(name, _)| name);
    Ok(LoadedAdapters {
        untouched: adapted.filter(|name| !touched.contains(name)).collect(),
        layers: touched,
        whole: Vec::new(),
        unmatched: resolution.unmatched().to_vec(),
        warnings,
    })
}

fn from_tensors<T: Scalar>(file: &TensorFile, module: &str, warnings: &mut Vec<Warning>) -> Result<LoKrUpdate<T>> {
    let key = |suffix: &str| format!("{module}.{suffix}");
    let name = || module.to_owned();
    for (present, missing) in [(B, A), (A, B)] {
        if file.info(&key(missing)).is_none() {
            return Err(ModuleError::HalfMissing { module: name(), present, missing }.into());
        }
    }
    let (a, b): (Array3<T>, Array3<T>) = (stack(file, module, A)?, stack(file, module, B)?);
    let (first_rank, second_rank) = (a.dim().0, b.dim().0);
    if first_rank != second_rank {
        let (first_shape, second_shape) = (a.shape().to_vec(), b.shape().to_vec());
        let (module, first, second) = (name(), A, B);
        return Err(ModuleError::InnerRank {
            module,
            first,
            first_shape,
            first_rank,
            second,
            second_shape,
            second_rank,
        }
        .into());
    }
    let scale = match file.info(&key(ALPHA)) {
        None => {
            warnings.push(Warning::AlphaAbsent { module: name(), other_scale: None });
            1.0
        }
        Some(_) => {
            let alpha: ArrayD<f64> = file.tensor(&key(ALPHA))?.to_array(&key(ALPHA))?;
            if alpha.len() != 1 {
                let (expected, found) = ("one element", alpha.shape().to_vec());
                return Err(ModuleError::Axes { module: name(), key: ALPHA, expected, found }.into());
            }
            let alpha = alpha.sum();
            if !alpha.is_finite() {
                return Err(ModuleError::AlphaNotFinite { module: name(), alpha }.into());
            }
            alpha / root(first_rank, b.dim().2)
        }
    };
    let terms = b.outer_iter().zip(a.outer_iter()).map(|(outer, inner)| Kron::new(outer, inner));
    let terms = terms.collect::<lokr_core::Result<Vec<_>>>()?;
    Ok(LoKrUpdate::from_terms(terms, T::from_f64_lossy(scale))?)
}

/// The matrices of one key.
fn stack<T: Scalar>(file: &TensorFile, module: &str, suffix: &'static str) -> Result<Array3<T>> {
    let key = format!("{module}.{suffix}");
    let tensor = file.tensor(&key)?;
    let (module, found) = (module.to_owned(), tensor.shape().to_vec());
    let count = tensor.count_non_finite(&key)?;
    if count > 0 {
        return Err(ModuleError::NonFinite { module, key: suffix, count }.into());
    }
    if found.contains(&0) {
        return Err(ModuleError::ZeroAxis { module, key: suffix, found }.into());
    }
    let wrong = |_| ModuleError::Axes { module, key: suffix, expected: "3 axes", found };
    Ok(tensor.to_array(&key)?.into_dimensionality::<Ix3>().map_err(wrong)?)
}
