//! Finding an adapter's modules in a base model.
//!
//! Underscored names cannot be undone by rule, because names contain underscores themselves. So the base model's names
//! are flattened, and an adapter's name is looked up among them; a name that several modules share is an error.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::adapter::Adapter;
use super::one_model::{check_one_model, check_one_transformer};
use crate::dialect::lycoris::flatten;
use crate::dialect::{dotted, kohya, openclip, part, sdxl, terms};
use crate::dialects::Dialect;
use crate::error::{InFile, NameError, Result};
use crate::model::BaseModel;

/// What to do about modules that the base model does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unmatched {
    /// An error that lists them.
    #[default]
    Refuse,
    /// Go on with the others; none at all is an error all the same.
    Allow,
}

/// Which weight of the base model each module of an adapter belongs to; several modules of one only in
/// [`Dialect::Terms`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    targets: BTreeMap<String, String>,
    unmatched: Vec<String>,
}

impl Resolution {
    /// Pairs of a module's name and its weight's, sorted by module.
    pub fn targets(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.targets.iter().map(|(module, target)| (module.as_str(), target.as_str()))
    }

    /// The weight of a module.
    #[must_use]
    pub fn target(&self, module: &str) -> Option<&str> {
        self.targets.get(module).map(String::as_str)
    }

    /// The modules left out under [`Unmatched::Allow`].
    #[must_use]
    pub fn unmatched(&self) -> &[String] {
        &self.unmatched
    }
}

impl Adapter {
    /// Finds the base model's weight of every module, and checks that each module fits it.
    ///
    /// # Errors
    /// In the adapter's file: [`NameError::AmbiguousModule`], [`NameError::DuplicateTarget`],
    /// [`NameError::SeveralModels`],
    /// [`NameError::UnmatchedModules`], [`NameError::NothingMatches`], and those of
    /// [`Module::check_weight`](crate::Module::check_weight). In the base model's:
    /// [`FileError::QuantizedBase`](crate::FileError::QuantizedBase).
    pub fn resolve(&self, base: &BaseModel, unmatched: Unmatched) -> Result<Resolution> {
        self.find_targets(base, unmatched).in_file(self.path())
    }

    fn find_targets(&self, base: &BaseModel, policy: Unmatched) -> Result<Resolution> {
        let names = BaseNames::new(base);
        let mut indexes = Indexes::new();
        let mut modules_by_target: BTreeMap<String, &str> = BTreeMap::new();
        let (mut targets, mut unmatched) = (BTreeMap::new(), Vec::new());
        for (name, module) in self.modules() {
            let candidates = names.find(self.dialect(), name, self.prefix(), &mut indexes);
            let found = match *candidates.iter().collect::<Vec<_>>() {
                [] => {
                    unmatched.push(name.clone());
                    continue;
                }
                [only] => only,
                _ => {
                    let candidates = candidates.iter().map(|&name| name.to_owned()).collect();
                    return Err(NameError::AmbiguousModule { module: name.clone(), candidates }.into());
                }
            };
            let (target, shape) = base.adaptable(found)?;
            check_one_transformer(base, name, &target)?;
            module.check_weight(shape)?;
            match modules_by_target.entry(target.clone()) {
                // The other terms of its sum.
                Entry::Occupied(_) if self.dialect() == Dialect::Terms => {}
                Entry::Occupied(first) => {
                    let (first, second) = ((*first.get()).to_owned(), name.clone());
                    return Err(NameError::DuplicateTarget { first, second, target }.into());
                }
                Entry::Vacant(entry) => {
                    entry.insert(name);
                }
            }
            targets.insert(name.clone(), target);
        }
        let total = self.modules().len();
        if targets.is_empty() {
            let example = unmatched.into_iter().next().unwrap_or_default();
            return Err(NameError::NothingMatches { total, example }.into());
        }
        check_one_model(&targets, &unmatched)?;
        if policy == Unmatched::Refuse && !unmatched.is_empty() {
            let matched = part::beginnings(targets.keys(), &unmatched);
            return Err(NameError::UnmatchedModules { modules: unmatched, matched, total }.into());
        }
        Ok(Resolution { targets, unmatched })
    }
}

/// Flattened names of the base model's modules, per place in the checkpoint that a prefix means.
pub(super) type Indexes<'a> = HashMap<&'static str, HashMap<String, BTreeSet<&'a str>>>;

/// The modules of a base model that have a weight.
pub(super) struct BaseNames<'a> {
    modules: BTreeSet<&'a str>,
}

impl<'a> BaseNames<'a> {
    pub(super) fn new(base: &'a BaseModel) -> Self {
        Self { modules: base.modules().collect() }
    }

    /// The modules that a name can mean.
    pub(super) fn find(
        &self,
        dialect: Dialect,
        name: &str,
        prefix: &str,
        indexes: &mut Indexes<'a>,
    ) -> BTreeSet<&'a str> {
        let exact = self.modules.get(name).copied();
        match dialect {
            Dialect::Peft if exact.is_some() => exact.into_iter().collect(),
            // An adapter of the image model, whose names have no prefix, on a checkpoint or pipeline of several.
            Dialect::Peft => {
                let places = kohya::BODY[1..].iter().map(|place| format!("{place}{name}"));
                places.filter_map(|name| self.modules.get(name.as_str()).copied()).collect()
            }
            Dialect::Terms => terms::path(name).and_then(|path| self.modules.get(path)).copied().into_iter().collect(),
            Dialect::Dotted if exact.is_some() => exact.into_iter().collect(),
            Dialect::Dotted => {
                let found: BTreeSet<_> =
                    dotted::alternatives(name).filter_map(|name| self.modules.get(name.as_str()).copied()).collect();
                let in_text_encoder = found.is_empty().then(|| part::dotted_text_encoder(name));
                let found_there = in_text_encoder
                    .into_iter()
                    .flatten()
                    .flat_map(|name| self.find(Dialect::Kohya, &name, "", indexes));
                found.into_iter().chain(found_there).collect()
            }
            Dialect::Lycoris => {
                let name = name.strip_prefix(prefix).unwrap_or(name);
                lookup(indexes.entry("").or_insert_with(|| self.index(&kohya::BODY)), name)
            }
            Dialect::Kohya => kohya::split(name).map_or_else(BTreeSet::new, |(prefix, places, name)| {
                lookup(indexes.entry(prefix).or_insert_with(|| self.index(places)), name)
            }),
        }
    }

    fn index(&self, places: &[&str]) -> HashMap<String, BTreeSet<&'a str>> {
        let mut index: HashMap<String, BTreeSet<&str>> = HashMap::new();
        for &module in &self.modules {
            for rest in places.iter().filter_map(|place| module.strip_prefix(place)) {
                let flat = flatten(rest);
                for alias in sdxl::sgm_names(&flat).chain(openclip::to_transformers(&flat)) {
                    index.entry(alias).or_default().insert(module);
                }
                index.entry(flat).or_default().insert(module);
            }
        }
        index
    }
}

/// A name under its own spelling and those of one-file checkpoints.
fn lookup<'a>(index: &HashMap<String, BTreeSet<&'a str>>, name: &str) -> BTreeSet<&'a str> {
    let names = std::iter::once(name.to_owned()).chain(sdxl::sgm_names(name));
    names.filter_map(|name| index.get(&name)).flatten().copied().collect()
}
