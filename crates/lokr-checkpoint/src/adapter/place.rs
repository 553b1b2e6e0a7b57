//! Where the modules of an adapter belong in a model, as far as is known.

use super::adapter::Adapter;
use super::resolve::Unmatched;
use super::targets::{Names, targets};
use crate::dialect::dotted;
use crate::dialect::part::{IMAGE_PREFIX, Network, TextEncoders};
use crate::dialects::Dialect;
use crate::error::Result;
use crate::model::BaseModel;
use crate::module::{Module, OtherModule};

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
    let placed = adapter.modules().iter().map(|(name, module)| PlacedModule {
        module: module.clone(),
        name: name.clone(),
        place: place(adapter, name),
        weight: None,
    });
    Ok(placed.collect())
}

/// The place that a name itself tells.
fn place(adapter: &Adapter, name: &str) -> Place {
    match adapter.dialect() {
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
    }
}

/// What another algorithm changes, on its way to another adapter.
pub(super) struct PlacedOther {
    pub(super) module: OtherModule,
    pub(super) place: Place,
}

/// What other algorithms change, with the places of their modules, as [`place_modules`] finds them.
pub(super) fn place_others(adapter: &Adapter, base: Option<&BaseModel>) -> Result<Vec<PlacedOther>> {
    let placed = |(module, place): (&OtherModule, Place)| PlacedOther { module: module.clone(), place };
    let Some(base) = base.filter(|_| !adapter.others().is_empty()) else {
        let own = adapter.others().iter().map(|module| (module, place(adapter, module.name())));
        return Ok(own.map(placed).collect());
    };
    let resolution = adapter.resolve(base, Unmatched::Refuse)?;
    let found = adapter.others().iter().zip(resolution.others()).filter_map(|(module, target)| {
        let target = target?;
        let parameter = format!(".{}", module.parameter());
        Some((module, Place::Path(target.strip_suffix(&parameter).unwrap_or(target).to_owned())))
    });
    Ok(found.map(placed).collect())
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
