//! Where the modules of an adapter belong in a model, as far as is known.

use super::adapter::Adapter;
use super::targets::{Names, targets};
use crate::dialect::dotted;
use crate::dialect::part::{IMAGE_PREFIX, Network, TextEncoders};
use crate::dialects::Dialect;
use crate::error::Result;
use crate::model::BaseModel;
use crate::module::Module;

/// The place of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The path in the model, with dots.
    Path(String),
    /// A path whose dots are lost, and the name it was read from.
    Flat { name: String, rest: String },
}

/// A module on its way to another adapter.
pub(super) struct PlacedModule {
    pub(super) module: Module,
    /// Its name where it comes from.
    pub(super) name: String,
    pub(super) place: Place,
    /// The shape of its weight, where the base model is known.
    pub(super) weight: Option<Vec<usize>>,
}

/// An adapter's modules with their places: from the base model, or as far as the names themselves tell.
pub(super) fn place_modules(adapter: &Adapter, base: Option<&BaseModel>) -> Result<Vec<PlacedModule>> {
    if base.is_some() {
        let placed = targets(adapter, base, Names::Base)?.into_iter().map(|target| PlacedModule {
            module: target.module.clone(),
            name: target.module.name().to_owned(),
            place: Place::Path(target.name),
            weight: target.weight,
        });
        return Ok(placed.collect());
    }
    let place = |name: &str| match adapter.dialect() {
        Dialect::Dotted => Place::Path(dotted::strip(name).to_owned()),
        Dialect::Peft | Dialect::Terms => Place::Path(adapter.dialect().path(name).to_owned()),
        Dialect::Lycoris => {
            let rest = name.strip_prefix(adapter.prefix()).unwrap_or(name);
            Place::Flat { name: name.to_owned(), rest: rest.to_owned() }
        }
        Dialect::Kohya => {
            // The other prefixes say which model a name is in, which is lost without them.
            let rest = name.strip_prefix(IMAGE_PREFIX).unwrap_or(name);
            Place::Flat { name: name.to_owned(), rest: rest.to_owned() }
        }
    };
    let placed = adapter.modules().iter().map(|(name, module)| PlacedModule {
        module: module.clone(),
        name: name.clone(),
        place: place(name),
        weight: None,
    });
    Ok(placed.collect())
}

/// How many text encoders the model of these modules has.
pub(super) fn text_encoders(modules: &[PlacedModule]) -> TextEncoders {
    TextEncoders::count(modules.iter().filter_map(|module| match &module.place {
        Place::Path(path) => Some(path.as_str()),
        Place::Flat { .. } => None,
    }))
}

/// What the paths in a base model are in.
pub(crate) fn network(base: &BaseModel) -> Network {
    if base.components().next().is_some() { Network::Pipeline } else { Network::Any }
}
