//! Tensors of two models that mean the same, whatever each calls them.

use std::collections::BTreeMap;

use super::resolve::{BaseNames, Indexes};
use crate::dialect::part::{TextEncoders, kohya_name, network_path};
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
}

impl<'a> Counterparts<'a> {
    /// Of the tensors of `other` in `base`.
    pub(crate) fn new(base: &'a BaseModel, other: &BaseModel) -> Self {
        let encoders = TextEncoders::count(base.names().chain(other.names()));
        let paths = base.names().map(|name| (network_path(name), name)).collect();
        Self { base, names: BaseNames::new(base), indexes: Indexes::new(), encoders, paths }
    }

    /// The tensor of the base that one of the other model is: of the same name; of the same path behind another prefix;
    /// or the weight of the module that an adapter's name of this one means.
    pub(crate) fn of(&mut self, name: &str) -> Option<String> {
        if self.base.info(name).is_some() {
            return Some(self.base.whole(name).unwrap_or_else(|| name.to_owned()));
        }
        if let Some(found) = self.paths.get(network_path(name)) {
            return Some((*found).to_owned());
        }
        let (module, parameter) = name.rsplit_once('.')?;
        let module = kohya_name(module, self.encoders, None);
        let found = self.names.find(Dialect::Kohya, &module, "", &mut self.indexes);
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some(only), None) => Some(format!("{only}.{parameter}")).filter(|name| self.base.info(name).is_some()),
            _ => None,
        }
    }
}
