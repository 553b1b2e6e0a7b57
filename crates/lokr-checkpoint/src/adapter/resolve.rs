//! Finding an adapter's modules in a base model.
//!
//! Underscored names cannot be undone by rule, because names contain underscores themselves. So the base model's names
//! are flattened, and an adapter's name is looked up among them; a name that several modules share is an error.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

use super::adapter::Adapter;
use super::one_model::{check_one_model, check_one_transformer};
use crate::dialect::lycoris::flatten;
use crate::dialect::{dotted, kohya, part, terms};
use crate::dialects::Dialect;
use crate::error::{BothSides, InFile, ModuleError, NameError, Result};
use crate::family::{self, BODY, Spelling};
use crate::model::{BaseModel, Piece};
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
/// [`Dialect::Terms`]. A weight may be some rows of a stored tensor, or several tensors one below the other: its name
/// is one that [`BaseModel::info`] and [`BaseModel::tensor`] know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    targets: BTreeMap<String, String>,
    /// The parameters that [`Adapter::others`] change, in their order.
    others: Vec<Option<String>>,
    unmatched: Vec<String>,
    placeholders: Vec<(String, String)>,
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

    /// Modules that are left out because they change nothing, each with the one that changes rows of its weight:
    /// programs that fuse query, key and value leave such behind.
    #[must_use]
    pub fn placeholders(&self) -> &[(String, String)] {
        &self.placeholders
    }
}

impl Adapter {
    /// Finds the base model's weight of every module, and the parameter of everything beside them, and checks that each
    /// fits it.
    ///
    /// # Errors
    /// In the adapter's file: [`NameError::AmbiguousModule`], [`NameError::DuplicateTarget`],
    /// [`NameError::SeveralModels`], [`NameError::UnmatchedModules`], [`NameError::NothingMatches`],
    /// [`ModuleError::NoBias`], and those of [`Module::check_weight`](crate::Module::check_weight) and
    /// [`OtherModule::check_shape`](crate::OtherModule::check_shape). In the base model's:
    /// [`FileError::QuantizedBase`](crate::FileError::QuantizedBase), [`NameError::RowsDoNotAddUp`].
    pub fn resolve(&self, base: &BaseModel, unmatched: Unmatched) -> Result<Resolution> {
        self.find_targets(base, unmatched).in_file(self.path())
    }

    fn find_targets(&self, base: &BaseModel, policy: Unmatched) -> Result<Resolution> {
        let names = BaseNames::new(base);
        let mut indexes = Indexes::new();
        let mut taken = TakenRows::default();
        let (mut targets, mut unmatched, mut placeholders) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (name, module) in self.modules() {
            let Some(found) = names.only(self.dialect(), name, self.prefix(), &mut indexes)? else {
                unmatched.push(name.clone());
                continue;
            };
            let (target, shape) = base.adaptable(found)?;
            check_one_transformer(base, name, &target)?;
            module.check_weight(shape)?;
            // The other terms of a sum have the same weight.
            let whose = if self.dialect() == Dialect::Terms { Dialect::Terms.path(name) } else { name };
            let pieces = base.pieces(&target).unwrap_or_default();
            let before = taken.by_others(whose, &pieces);
            if let Some(first) = before.iter().find(|first| !self.changes_nothing(first)) {
                if module.changes_nothing()? {
                    placeholders.push((name.clone(), first.clone()));
                    continue;
                }
                let (first, second) = (first.clone(), name.clone());
                return Err(NameError::DuplicateTarget { first, second, target }.into());
            }
            for placeholder in before {
                targets.remove(&placeholder);
                placeholders.push((placeholder, name.clone()));
            }
            taken.take(whose, pieces);
            targets.insert(name.clone(), target);
        }
        let mut others = Vec::new();
        for module in self.others() {
            let found = names.only(self.dialect(), module.name(), self.prefix(), &mut indexes)?;
            let target = self.parameter_of(base, module, found)?;
            match &target {
                None => unmatched.push(module.name().to_owned()),
                Some(target) => {
                    // Nobody's rows may be changed twice, not even a module's of the same name.
                    let pieces = base.pieces(target).unwrap_or_default();
                    if let Some(first) = taken.by_others("", &pieces).into_iter().next() {
                        let (second, target) = (module.name().to_owned(), target.clone());
                        return Err(NameError::DuplicateTarget { first, second, target }.into());
                    }
                    taken.take(module.name(), pieces);
                }
            }
            others.push(target);
        }
        unmatched.sort();
        unmatched.dedup();
        let total = self.modules().len() + self.others().len();
        if targets.is_empty() && others.iter().all(Option::is_none) {
            return Err(self.nothing_matches(base).into());
        }
        check_one_model(&targets, &unmatched)?;
        if policy == Unmatched::Refuse && !unmatched.is_empty() {
            let matched = part::beginnings(targets.keys(), &unmatched);
            return Err(NameError::UnmatchedModules { modules: unmatched, matched, total }.into());
        }
        Ok(Resolution { targets, others, unmatched, placeholders })
    }

    /// The parameter that a module of another algorithm changes, which fits it; nothing where the base model has
    /// neither its layer nor a parameter of its name.
    fn parameter_of(&self, base: &BaseModel, module: &OtherModule, layer: Option<&str>) -> Result<Option<String>> {
        let Some(layer) = layer else {
            // A parameter that is no layer's weight, such as a table of embeddings, has its own name in a dotted file.
            let is_whole = matches!(module.change(), Change::Difference(_)) && self.dialect() == Dialect::Dotted;
            let readings = dotted::readings(module.name()).into_iter();
            let others = readings.flat_map(|(rest, places)| places.iter().map(move |place| format!("{place}{rest}")));
            let mut names = std::iter::once(module.name().to_owned()).chain(others).filter(|_| is_whole);
            let Some(((_, shape), name)) = names.find_map(|name| Some((base.info(&name)?, name))) else {
                return Ok(None);
            };
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

    fn changes_nothing(&self, module: &str) -> bool {
        self.modules().get(module).is_some_and(|module| module.changes_nothing().unwrap_or(false))
    }

    /// The error of two sides that have nothing in common.
    fn nothing_matches(&self, base: &BaseModel) -> NameError {
        let others = self.others().iter().map(|module| module.name().to_owned());
        let modules: Vec<_> = self.modules().keys().cloned().chain(others).collect();
        let layers: Vec<_> = base.modules().map(str::to_owned).collect();
        nothing_matches((self.dialect(), self.prefix()), &modules, &layers, base.families().collect())
    }
}

impl Resolution {
    /// The layer of a network that each of the names in a file means: names of that dialect and prefix.
    ///
    /// # Errors
    /// [`NameError::AmbiguousModule`], [`NameError::DuplicateTarget`]; [`NameError::UnmatchedModules`] as `policy`
    /// says, and [`NameError::NothingMatches`].
    pub(crate) fn of_layers<'m>(
        (dialect, prefix): (Dialect, &str),
        modules: impl Iterator<Item = &'m str>,
        layers: &[String],
        policy: Unmatched,
    ) -> Result<Self> {
        let names = BaseNames::of_layers(layers);
        let (mut indexes, mut modules_by_target) = (Indexes::new(), BTreeMap::new());
        let (mut targets, mut unmatched, mut total) = (BTreeMap::new(), Vec::new(), 0);
        for module in modules {
            total += 1;
            let Some(target) = names.only(dialect, module, prefix, &mut indexes)? else {
                unmatched.push(module.to_owned());
                continue;
            };
            let first = modules_by_target.insert(target, module).filter(|_| dialect != Dialect::Terms);
            if let Some(first) = first {
                let (first, second, target) = (first.to_owned(), module.to_owned(), target.to_owned());
                return Err(NameError::DuplicateTarget { first, second, target }.into());
            }
            targets.insert(module.to_owned(), target.to_owned());
        }
        if targets.is_empty() {
            return Err(nothing_matches((dialect, prefix), &unmatched, layers, Vec::new()).into());
        }
        if policy == Unmatched::Refuse && !unmatched.is_empty() {
            return Err(NameError::UnmatchedModules { modules: unmatched, matched: Vec::new(), total }.into());
        }
        Ok(Self { targets, others: Vec::new(), unmatched, placeholders: Vec::new() })
    }
}

/// The error of two sides that have nothing in common, with names of both.
fn nothing_matches(
    (dialect, prefix): (Dialect, &str),
    modules: &[String],
    layers: &[String],
    base_of: Vec<&'static str>,
) -> NameError {
    let paths = modules.iter().map(|name| match dialect {
        Dialect::Lycoris => name.strip_prefix(prefix).unwrap_or(name),
        Dialect::Kohya => kohya::split(name).map_or(&**name, |(_, _, rest)| rest),
        dialect => dotted::readings(dialect.path(name))[0].0,
    });
    let flat: Vec<_> = paths.map(flatten).collect();
    let families = family::of(flat.iter().map(String::as_str), Spelling::Flat);
    let sides = BothSides {
        adapter: spread(modules),
        adapter_of: families.iter().map(|family| family.name).collect(),
        base: spread(layers),
        base_of,
    };
    let example = modules.first().cloned().unwrap_or_default();
    NameError::NothingMatches { total: modules.len(), example, sides: Box::new(sides) }
}

/// A few of many names, from all over the list.
fn spread(names: &[String]) -> Vec<String> {
    const SHOWN: usize = 4;
    names.iter().step_by(names.len().div_ceil(SHOWN).max(1)).cloned().collect()
}

/// Rows of stored tensors that modules change, and whose they are.
#[derive(Default)]
struct TakenRows {
    by_tensor: HashMap<String, Vec<(Range<usize>, String)>>,
}

impl TakenRows {
    /// The other modules that change some of these rows.
    fn by_others(&self, module: &str, pieces: &[Piece]) -> BTreeSet<String> {
        let taken = |piece: &Piece| {
            let rows = piece.rows.clone();
            let overlaps = move |taken: &Range<usize>| taken.start < rows.end && rows.start < taken.end;
            let of_tensor = self.by_tensor.get(&piece.tensor).into_iter().flatten();
            of_tensor.filter(move |(rows, other)| overlaps(rows) && other != module).map(|(_, other)| other.clone())
        };
        pieces.iter().flat_map(taken).collect()
    }

    fn take(&mut self, module: &str, pieces: Vec<Piece>) {
        for Piece { tensor, rows } in pieces {
            self.by_tensor.entry(tensor).or_default().push((rows, module.to_owned()));
        }
    }
}

/// Flattened names of the base model's modules, per place in the checkpoint that a prefix means.
pub(super) type Indexes<'a> = HashMap<&'static [&'static str], HashMap<String, BTreeSet<&'a str>>>;

/// The modules of a base model that have a weight, by all their names.
pub(super) struct BaseNames<'a> {
    base: Option<&'a BaseModel>,
    stored: BTreeSet<&'a str>,
    others: BTreeSet<&'a str>,
}

impl<'a> BaseNames<'a> {
    pub(super) fn new(base: &'a BaseModel) -> Self {
        Self { base: Some(base), stored: base.modules().collect(), others: base.other_modules().collect() }
    }

    /// Of layers that have these names and no others.
    fn of_layers(layers: &'a [String]) -> Self {
        Self { base: None, stored: layers.iter().map(String::as_str).collect(), others: BTreeSet::new() }
    }

    /// The one module that a name means, if it means any; an error where it can mean several.
    fn only(
        &self,
        dialect: Dialect,
        name: &str,
        prefix: &str,
        indexes: &mut Indexes<'a>,
    ) -> Result<Option<&'a str>, NameError> {
        let candidates = self.find(dialect, name, prefix, indexes);
        match candidates[..] {
            [] => Ok(None),
            [only] => Ok(Some(only)),
            _ => {
                let candidates = candidates.into_iter().map(str::to_owned).collect();
                Err(NameError::AmbiguousModule { module: name.to_owned(), candidates })
            }
        }
    }

    /// The modules that a name can mean, each by one of its names.
    pub(super) fn find(&self, dialect: Dialect, name: &str, prefix: &str, indexes: &mut Indexes<'a>) -> Vec<&'a str> {
        let found = match dialect {
            Dialect::Peft | Dialect::Dotted => self.find_path(name, indexes),
            Dialect::Terms => terms::path(name).map_or_else(BTreeSet::new, |path| self.find_path(path, indexes)),
            Dialect::Lycoris => self.lookup(name.strip_prefix(prefix).unwrap_or(name), &BODY, indexes),
            Dialect::Kohya => {
                kohya::split(name).map_or_else(BTreeSet::new, |(_, places, rest)| self.lookup(rest, places, indexes))
            }
        };
        self.distinct(found)
    }

    /// The modules of a dotted path: the one that is called so, or else those that it means without its prefix.
    fn find_path(&self, path: &str, indexes: &mut Indexes<'a>) -> BTreeSet<&'a str> {
        if let Some(exact) = self.get(path) {
            return BTreeSet::from([exact]);
        }
        for (rest, places) in dotted::readings(path) {
            let names = places.iter().filter_map(|place| self.get(&format!("{place}{rest}")));
            let mut found: BTreeSet<_> = names.collect();
            if found.is_empty() {
                found = self.lookup(&flatten(rest), places, indexes);
            }
            if !found.is_empty() {
                return found;
            }
        }
        BTreeSet::new()
    }

    fn get(&self, module: &str) -> Option<&'a str> {
        self.stored.get(module).or_else(|| self.others.get(module)).copied()
    }

    /// The modules of a flattened path: the one whose path it is, or else those behind the name of a model.
    fn lookup(&self, flat: &str, places: &'static [&'static str], indexes: &mut Indexes<'a>) -> BTreeSet<&'a str> {
        let index = indexes.entry(places).or_insert_with(|| self.index(places));
        let found = index.get(flat).cloned().unwrap_or_default();
        let exact: BTreeSet<_> = found.iter().copied().filter(|module| is_flat(module, flat)).collect();
        if exact.is_empty() { found } else { exact }
    }

    fn index(&self, places: &[&str]) -> HashMap<String, BTreeSet<&'a str>> {
        let mut index: HashMap<String, BTreeSet<&str>> = HashMap::new();
        for &module in self.stored.iter().chain(&self.others) {
            for rest in places.iter().filter_map(|place| module.strip_prefix(place)) {
                index.entry(flatten(rest)).or_default().insert(module);
            }
        }
        index
    }

    /// One name of each module; what is stored under its name is shown by it.
    fn distinct(&self, found: BTreeSet<&'a str>) -> Vec<&'a str> {
        if found.len() < 2 {
            return found.into_iter().collect();
        }
        let (stored, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|module| self.stored.contains(module));
        let mut seen = HashSet::new();
        let pieces = |module: &str| match self.base {
            Some(base) => base.pieces(&format!("{module}.weight")),
            None => Some(vec![Piece { tensor: module.to_owned(), rows: 0..1 }]),
        };
        stored.into_iter().chain(others).filter(|module| seen.insert(pieces(module))).collect()
    }
}

/// Whether a path is that flattened one.
fn is_flat(path: &str, flat: &str) -> bool {
    path.len() == flat.len() && path.bytes().zip(flat.bytes()).all(|(a, b)| a == b || a == b'.' && b == b'_')
}
