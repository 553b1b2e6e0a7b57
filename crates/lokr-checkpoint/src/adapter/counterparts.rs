//! Tensors of two models that mean the same, whatever each calls them.

use std::collections::BTreeMap;

use super::resolve::{BaseNames, Indexes};
use crate::dialect::part::{Network, TextEncoders, kohya_name, network_path};
use crate::dialects::Dialect;
use crate::model::BaseModel;

/// Which tensor of one model another model's tensors are.
pub(crate) struct Counterparts<'a> {
    base: &'a BaseModel,
    names: BaseNames<'a>,
    indexes: Indexes<'a>,
    encoders: TextEncoders,
    /// Names by their paths within the image model.
    paths: BTreeMap<&'a str, &'a str>,
    /// What stands before all names of the other model, and before all of the base.
    prefixes: (String, String),
}

impl<'a> Counterparts<'a> {
    /// Of the tensors of `other` in `base`.
    pub(crate) fn new(base: &'a BaseModel, other: &BaseModel) -> Self {
        let encoders = TextEncoders::count(base.names().chain(other.names()));
        let paths = base.names().map(|name| (network_path(name, Network::Any), name)).collect();
        let prefixes = (prefix(other, base), prefix(base, other));
        Self { base, names: BaseNames::new(base), indexes: Indexes::new(), encoders, paths, prefixes }
    }

    /// The tensor of the base that one of the other model is: of the same name; of the same path behind another prefix,
    /// known or found by comparing all names; or the weight of the module that an adapter's name of this one means.
    pub(crate) fn of(&mut self, name: &str) -> Option<String> {
        if self.base.info(name).is_some() {
            return Some(self.base.whole(name).unwrap_or_else(|| name.to_owned()));
        }
        if let Some(found) = self.paths.get(network_path(name, Network::Any)) {
            return Some((*found).to_owned());
        }
        let (others, own) = &self.prefixes;
        let moved = name.strip_prefix(others.as_str()).map(|rest| format!("{own}{rest}"));
        if let Some(moved) = moved.filter(|moved| self.base.info(moved).is_some()) {
            return Some(moved);
        }
        let (module, parameter) = name.rsplit_once('.')?;
        let module = kohya_name(module, self.encoders, None);
        let found = self.names.find(Dialect::Kohya, &module, "", &mut self.indexes);
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some(only), None) => {
                let name = format!("{only}.{parameter}");
                self.base.info(&name)?;
                Some(self.base.whole(&name).unwrap_or(name))
            }
            _ => None,
        }
    }
}

/// What stands before most names of a model where another one has nothing: `model.`, `module.`, up to three components.
fn prefix(model: &BaseModel, other: &BaseModel) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in model.names().filter(|name| other.info(name).is_none()) {
        let ends = name.match_indices('.').map(|(dot, _)| dot + 1).take(3);
        let found = ends.into_iter().find(|&end| other.info(&name[end..]).is_some());
        if let Some(end) = found {
            *counts.entry(&name[..end]).or_default() += 1;
        }
    }
    let most = counts.into_iter().max_by_key(|&(_, count)| count);
    most.filter(|&(_, count)| 2 * count > other.names().len()).map(|(prefix, _)| prefix.to_owned()).unwrap_or_default()
}
