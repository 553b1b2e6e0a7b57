//! Finding an adapter's modules in a base model.
//!
//! Underscored names cannot be undone by rule, because names contain underscores themselves. So the base model's names
//! are flattened, and an adapter's name is looked up among them; a name that several modules share is an error.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::adapter::Adapter;
use crate::dialect::lycoris::flatten;
use crate::dialect::{dotted, kohya, openclip, sdxl, terms};
use crate::dialects::Dialect;
use crate::error::{InFile, ModuleError, NameError, Result};
use crate::model::BaseModel;
use crate::module::{Change, OtherModule, Parameter};

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
    /// The parameters that [`Adapter::others`] change, in their order.
    others: Vec<Option<String>>,
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

    /// The parameters that [`Adapter::others`] change, in their order; nothing where the base model does not have it.
    pub fn others(&self) -> impl ExactSizeIterator<Item = Option<&str>> {
        self.others.iter().map(Option::as_deref)
    }

    /// The modules left out under [`Unmatched::Allow`].
    #[must_use]
    pub fn unmatched(&self) -> &[String] {
        &self.unmatched
    }
}

impl Adapter {
    /// Finds the base model's weight of every module, and the parameter of everything beside them, and checks that each
    /// fits it.
    ///
    /// # Errors
    /// In the adapter's file: [`NameError::AmbiguousModule`], [`NameError::DuplicateTarget`],
    /// [`NameError::UnmatchedModules`], [`NameError::NothingMatches`], [`ModuleError::NoBias`], and those of
    /// [`Module::check_weight`](crate::Module::check_weight) and
    /// [`OtherModule::check_shape`](crate::OtherModule::check_shape). In the base model's:
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
            let Some(found) = names.find_one(self, name, &mut indexes)? else {
                unmatched.push(name.clone());
                continue;
            };
            let (target, shape) = base.adaptable(found)?;
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
        let mut others = Vec::new();
        for module in self.others() {
            let found = names.find_one(self, module.name(), &mut indexes)?;
            let target = self.parameter_of(base, module, found)?;
            match target.as_ref().map(|target| modules_by_target.entry(target.clone())) {
                None => unmatched.push(module.name().to_owned()),
                Some(Entry::Occupied(first)) => {
                    let (first, second) = ((*first.get()).to_owned(), module.name().to_owned());
                    return Err(NameError::DuplicateTarget { first, second, target: target.unwrap_or_default() }.into());
                }
                Some(Entry::Vacant(entry)) => {
                    entry.insert(module.name());
                }
            }
            others.push(target);
        }
        unmatched.sort();
        unmatched.dedup();
        let total = self.modules().len() + self.others().len();
        if targets.is_empty() && others.iter().all(Option::is_none) {
            let example = unmatched.into_iter().next().unwrap_or_default();
            return Err(NameError::NothingMatches { total, example }.into());
        }
        if policy == Unmatched::Refuse && !unmatched.is_empty() {
            return Err(NameError::UnmatchedModules { modules: unmatched, total }.into());
        }
        Ok(Resolution { targets, others, unmatched })
    }

    /// The parameter that a module of another algorithm changes, which fits it; nothing where the base model has neither
    /// its layer nor a parameter of its name.
    fn parameter_of(&self, base: &BaseModel, module: &OtherModule, layer: Option<&str>) -> Result<Option<String>> {
        let Some(layer) = layer else {
            // A parameter that is no layer's weight, such as a table of embeddings, has its own name in a dotted file.
            let is_whole = matches!(module.change(), Change::Difference(_)) && self.dialect() == Dialect::Dotted;
            let names = std::iter::once(module.name().to_owned()).chain(dotted::alternatives(module.name()));
            let found = names.into_iter().filter(|_| is_whole).find_map(|name| Some((base.info(&name)?, name)));
            let Some(((_, shape), name)) = found else { return Ok(None) };
            base.tensor(&name)?.float_type(&name)?;
            module.check_shape(shape)?;
            return Ok(Some(name));
        };
        let (target, shape) = match module.parameter() {
            Parameter::Weight => base.adaptable(layer)?,
            Parameter::Bias => {
                let bias = format!("{layer}.bias");
                let Some((_, shape)) = base.info(&bias) else {
                    let (module, key, layer) = (module.name().to_owned(), module.tensors()[0].0, layer.to_owned());
                    return Err(ModuleError::NoBias { module, key, layer }.into());
                };
                base.tensor(&bias)?.float_type(&bias)?;
                (bias, shape)
            }
        };
        module.check_shape(shape)?;
        Ok(Some(target))
    }
}

/// Flattened names of the base model's modules, per place in the checkpoint that a prefix means.
type Indexes<'a> = HashMap<&'static str, HashMap<String, BTreeSet<&'a str>>>;

/// The modules of a base model that have a weight.
struct BaseNames<'a> {
    modules: BTreeSet<&'a str>,
}

impl<'a> BaseNames<'a> {
    fn new(base: &'a BaseModel) -> Self {
        Self { modules: base.modules().collect() }
    }

    /// The module that a name of the adapter means, or none; an error where it can mean several.
    fn find_one(&self, adapter: &Adapter, name: &str, indexes: &mut Indexes<'a>) -> Result<Option<&'a str>, NameError> {
        let candidates = self.find(adapter.dialect(), name, adapter.prefix(), indexes);
        match *candidates.iter().copied().collect::<Vec<_>>() {
            [] => Ok(None),
            [only] => Ok(Some(only)),
            _ => {
                let candidates = candidates.iter().map(|&name| name.to_owned()).collect();
                Err(NameError::AmbiguousModule { module: name.to_owned(), candidates })
            }
        }
    }

    /// The modules that a name can mean.
    fn find(&self, dialect: Dialect, name: &str, prefix: &str, indexes: &mut Indexes<'a>) -> BTreeSet<&'a str> {
        let exact = self.modules.get(name).copied();
        match dialect {
            Dialect::Peft => exact.into_iter().collect(),
            Dialect::Terms => terms::path(name).and_then(|path| self.modules.get(path)).copied().into_iter().collect(),
            Dialect::Dotted if exact.is_some() => exact.into_iter().collect(),
            Dialect::Dotted => {
                dotted::alternatives(name).filter_map(|name| self.modules.get(name.as_str()).copied()).collect()
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
