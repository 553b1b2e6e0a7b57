//! Adapters from modules.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;

use super::adapter::Adapter;
use super::fit::{Surroundings, fit};
use super::fit_other::fit_other;
use super::place::{Place, PlacedModule, PlacedOther, place_others, text_encoders};
use super::rename::Namer;
use super::targets::{Names, targets};
use crate::dialect::part::Network;
use crate::dialect::peft::modules_to_save;
use crate::dialect::{Holds, config_for, terms};
use crate::dialects::Dialect;
use crate::error::{InFile, ModuleError, NameError, Result};
use crate::file::Tensor;
use crate::model::BaseModel;
use crate::module::{Module, ScaleRule, W1, W2};

impl Adapter {
    /// An adapter of modules that are named by their paths in the base model, such as `layers.0.q_proj`, to be written
    /// in `dialect`: names are made from the paths, scales are placed as the dialect demands, and PEFT's configuration
    /// is made.
    ///
    /// # Errors
    /// [`ModuleError::CannotHold`], [`ConfigError::Factors`](crate::ConfigError::Factors),
    /// [`ModuleError::NotKronecker`] for what the dialect has no place for; [`NameError::DuplicateTarget`] for paths
    /// that become one name; [`ModuleError::ScaleUnknown`], [`ModuleError::AlphaNotFinite`]; [`NameError::NotLokr`]
    /// without modules.
    /// # Examples
    /// ```
    /// use lokr_checkpoint::{Adapter, Dialect, FloatType, Module, Tensor, W1, W2};
    /// use ndarray::array;
    ///
    /// let w1 = W1::Full(Tensor::from_array(&array![[1.0, 2.0]], FloatType::F32));
    /// let w2 = W2::Full(Tensor::from_array(&array![[1.0], [3.0]], FloatType::F32));
    /// let adapter = Adapter::from_modules(Dialect::Lycoris, [Module::new("layers.0.q_proj", w1, w2, 1.0)?])?;
    /// assert_eq!(adapter.modules().keys().collect::<Vec<_>>(), ["lycoris_layers_0_q_proj"]);
    /// # Ok::<(), lokr_checkpoint::CheckpointError>(())
    /// ```
    pub fn from_modules(dialect: Dialect, modules: impl IntoIterator<Item = Module>) -> Result<Self> {
        Self::from_modules_of(dialect, Network::Any, modules.into_iter().map(|module| (module, None)))
    }

    /// As [`Adapter::from_modules`], each module with the shape of its weight where that is known, of a network of some
    /// kind.
    pub(crate) fn from_modules_of(
        dialect: Dialect,
        network: Network,
        modules: impl IntoIterator<Item = (Module, Option<Vec<usize>>)>,
    ) -> Result<Self> {
        let placed: Vec<_> = modules
            .into_iter()
            .map(|(module, weight)| {
                let name = module.name().to_owned();
                PlacedModule { module, place: Place::Path(name.clone()), name, weight }
            })
            .collect();
        let namer = Namer { dialect, prefix: None, encoders: text_encoders(&placed), network };
        assemble((placed, Vec::new()), &namer, &Origin::default(), ScaleRule::Trained)
    }

    /// An adapter of sums of modules, in [`Dialect::Terms`]: a weight's change is the sum of the modules of its path,
    /// one of each map.
    pub(crate) fn from_terms(sums: Vec<BTreeMap<String, Module>>) -> Result<Self> {
        let of_term = |(term, modules): (usize, BTreeMap<String, Module>)| {
            modules.into_iter().map(move |(path, module)| {
                let name = terms::name(&path, term);
                PlacedModule { module, name, place: Place::Path(path), weight: None }
            })
        };
        let placed: Vec<_> = sums.into_iter().enumerate().flat_map(of_term).collect();
        let encoders = text_encoders(&placed);
        let namer = Namer { dialect: Dialect::Terms, prefix: None, encoders, network: Network::Any };
        let origin = Origin { kept_prefix: Some(""), ..Origin::default() };
        assemble((placed, Vec::new()), &namer, &origin, ScaleRule::Trained)
    }

    /// An adapter like this one, in its dialect and with its metadata, of other modules and `modules_to_save`, named as
    /// those of this file are. What PEFT's configuration says of shapes, ranks and scales is made anew where it no
    /// longer holds.
    pub(crate) fn with_modules(
        &self,
        modules: BTreeMap<String, Module>,
        to_save: BTreeMap<String, Tensor>,
        base: Option<&BaseModel>,
    ) -> Result<Self> {
        let same_splits = modules.iter().all(|(name, module)| self.splits_as(name, module));
        let same_to_save = to_save.keys().all(|key| self.modules_to_save().contains_key(key));
        let config = match &self.config {
            Some(config) if !same_to_save => {
                Some(config.with_field("modules_to_save", json!(modules_to_save(&to_save))))
            }
            config => config.clone(),
        };
        let new = Self {
            path: self.path.clone(),
            dialect: self.dialect,
            prefix: self.prefix.clone(),
            modules,
            others: self.others.clone(),
            modules_to_save: to_save,
            config,
            metadata: self.metadata.clone(),
            left_out: Vec::new(),
            warnings: Vec::new(),
        };
        let holds = if same_splits { Holds::Splits } else { Holds::Rest };
        new.rebuilt(holds, base).in_file(self.path())
    }

    /// Whether PEFT would make the factors of both in the same form, up to their rank.
    fn splits_as(&self, name: &str, module: &Module) -> bool {
        let form = |module: &Module| {
            let low_rank_w1 = matches!(module.w1(), W1::LowRank { .. });
            (module.w1().dim(), module.w2().dim(), low_rank_w1, matches!(module.w2(), W2::Tucker { .. }))
        };
        self.modules().get(name).is_some_and(|own| form(own) == form(module))
    }

    fn rebuilt(&self, holds: Holds, base: Option<&BaseModel>) -> Result<Self> {
        let weights: BTreeMap<_, _> = match base {
            Some(_) => targets(self, base, Names::Adapter)?.into_iter().map(|t| (t.name, t.weight)).collect(),
            None => BTreeMap::new(),
        };
        let placed = |(name, module): (&String, &Module)| {
            if !self.dialect.accepts(name, &self.prefix) {
                let (module, reason) = (name.clone(), "its name is none of this file's");
                return Err(ModuleError::CannotHold { module, dialect: self.dialect, reason }.into());
            }
            let place = Place::Flat { name: name.clone(), rest: name.clone() };
            let weight = weights.get(name).cloned().flatten();
            Ok(PlacedModule { module: module.clone(), name: name.clone(), place, weight })
        };
        let placed = self.modules.iter().map(placed).collect::<Result<Vec<_>>>()?;
        let encoders = text_encoders(&placed);
        let namer = Namer { dialect: self.dialect, prefix: None, encoders, network: Network::Any };
        let origin = Origin { adapter: Some(self), kept_prefix: Some(self.prefix()), config: holds };
        assemble((placed, place_others(self, None)?), &namer, &origin, ScaleRule::Trained)
    }
}

/// What an adapter is made from, besides its modules.
#[derive(Default)]
pub(super) struct Origin<'a> {
    pub(super) adapter: Option<&'a Adapter>,
    /// The prefix of names that stay as they are.
    pub(super) kept_prefix: Option<&'a str>,
    /// What of its configuration holds for the modules.
    pub(super) config: Holds,
}

pub(super) fn assemble(
    (placed, placed_others): (Vec<PlacedModule>, Vec<PlacedOther>),
    namer: &Namer<'_>,
    origin: &Origin<'_>,
    rule: ScaleRule,
) -> Result<Adapter> {
    let dialect = namer.dialect;
    let source = origin.adapter.map(Adapter::dialect);
    let (mut modules, mut weights, mut warnings) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for PlacedModule { module, name: old, place, weight } in placed {
        let name = if origin.kept_prefix.is_some() { old.clone() } else { namer.name(&place)? };
        if let Some(first) = names.insert(name.clone(), old.clone()) {
            return Err(NameError::DuplicateTarget { first, second: old, target: name }.into());
        }
        let scale = module.scale_by(rule)?;
        let surroundings = Surroundings { source, target: dialect, weight: weight.as_deref(), scale };
        modules.insert(name.clone(), fit(module.renamed(&name), surroundings, &mut warnings)?);
        weights.extend(weight.map(|weight| (name, weight)));
    }
    let mut others = Vec::new();
    for placed in placed_others {
        let old = placed.module.name().to_owned();
        let other = fit_other(placed, namer, origin.kept_prefix.is_some(), rule)?;
        let target = other.name().to_owned();
        if let Some(first) = names.insert(target.clone(), old.clone()).filter(|first| *first != old) {
            return Err(NameError::DuplicateTarget { first, second: old, target }.into());
        }
        others.push(other);
    }
    others.sort_by(|a, b| (a.name(), a.parameter()).cmp(&(b.name(), b.parameter())));
    if modules.is_empty() && others.is_empty() {
        return Err(NameError::NotLokr.into());
    }
    let config = match dialect {
        Dialect::Peft => Some(config_for(
            &modules,
            &weights,
            origin.adapter.and_then(Adapter::config).map(|config| (config, origin.config)),
        )?),
        _ => None,
    };
    let mut metadata = origin.adapter.map(|adapter| adapter.metadata().clone()).unwrap_or_default();
    let (entry, format) = terms::FORMAT;
    match dialect {
        Dialect::Terms => metadata.insert(entry.to_owned(), format.to_owned()),
        _ => metadata.remove(entry),
    };
    Ok(Adapter {
        path: origin.adapter.map_or_else(PathBuf::new, |adapter| adapter.path().to_owned()),
        dialect,
        prefix: origin.kept_prefix.unwrap_or(namer.file_prefix()).to_owned(),
        modules,
        others,
        modules_to_save: origin.adapter.map(|adapter| adapter.modules_to_save().clone()).unwrap_or_default(),
        config,
        metadata,
        left_out: Vec::new(),
        warnings,
    })
}
