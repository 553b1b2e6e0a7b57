//! From the names of one dialect to those of another.

use super::adapter::Adapter;
use super::targets::{Names, targets};
use crate::dialect::kohya::TextEncoders;
use crate::dialect::lycoris::flatten;
use crate::dialect::{dotted, kohya, lycoris, peft, terms};
use crate::dialects::Dialect;
use crate::error::{ModuleError, NameError, Result};
use crate::model::BaseModel;

/// Where a module belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The path in the model, with dots.
    Path(String),
    /// A path whose dots are lost, and the name it was read from.
    Flat { name: String, rest: String },
}

/// A module's name in an adapter, its place, and its weight's shape where the base model is known.
pub(crate) struct Located {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) weight: Option<Vec<usize>>,
}

/// The places of an adapter's modules: from the base model, or as far as the names themselves tell.
pub(crate) fn locate(adapter: &Adapter, base: Option<&BaseModel>) -> Result<Vec<Located>> {
    if base.is_some() {
        let located = targets(adapter, base, Names::Base)?.into_iter().map(|target| Located {
            name: target.module.name().to_owned(),
            place: Place::Path(target.name),
            weight: target.weight,
        });
        return Ok(located.collect());
    }
    let place = |name: &str| match adapter.dialect() {
        Dialect::Peft => Place::Path(name.to_owned()),
        Dialect::Dotted => Place::Path(dotted::strip(name).to_owned()),
        Dialect::Terms => Place::Path(terms::path(name).unwrap_or(name).to_owned()),
        Dialect::Lycoris => {
            let rest = name.strip_prefix(adapter.prefix()).unwrap_or(name);
            Place::Flat { name: name.to_owned(), rest: rest.to_owned() }
        }
        Dialect::Kohya => {
            // The other prefixes say which model a name is in, which is lost without them.
            let rest = name.strip_prefix(kohya::IMAGE_PREFIX).unwrap_or(name);
            Place::Flat { name: name.to_owned(), rest: rest.to_owned() }
        }
    };
    let names = adapter.modules().keys();
    Ok(names.map(|name| Located { name: name.clone(), place: place(name), weight: None }).collect())
}

/// How a dialect names modules.
pub(crate) struct Namer<'a> {
    pub(crate) dialect: Dialect,
    /// What stands before every name in place of what is usual.
    pub(crate) prefix: Option<&'a str>,
    pub(crate) encoders: TextEncoders,
}

impl Namer<'_> {
    /// What stands before all names of the file: what [`Adapter::prefix`] says.
    pub(crate) fn file_prefix(&self) -> &str {
        match self.dialect {
            Dialect::Peft => self.prefix.unwrap_or(peft::PREFIX),
            Dialect::Lycoris => self.prefix.unwrap_or(lycoris::PREFIX),
            Dialect::Kohya | Dialect::Dotted | Dialect::Terms => "",
        }
    }

    /// The module's name, without the file's prefix in PEFT only.
    pub(crate) fn name(&self, place: &Place) -> Result<String> {
        let prefix = self.prefix.unwrap_or_default();
        let name = match (self.dialect, place) {
            (Dialect::Peft, Place::Path(path)) => path.clone(),
            (Dialect::Dotted, Place::Path(path)) => format!("{prefix}{path}"),
            (Dialect::Terms, Place::Path(path)) => terms::name(&format!("{prefix}{path}"), 0),
            (Dialect::Lycoris, Place::Path(path)) => format!("{}{}", self.file_prefix(), flatten(path)),
            (Dialect::Kohya, Place::Path(path)) if self.prefix.is_some() => format!("{prefix}{}", flatten(path)),
            (Dialect::Kohya, Place::Path(path)) => kohya::name(path, self.encoders),
            (Dialect::Lycoris, Place::Flat { name, rest }) if kohya::split(name).is_none() || name != rest => {
                format!("{}{rest}", self.file_prefix())
            }
            (Dialect::Kohya, Place::Flat { name, rest }) if kohya::split(name).is_none() || name != rest => {
                format!("{}{rest}", self.prefix.unwrap_or(kohya::IMAGE_PREFIX))
            }
            (Dialect::Kohya, Place::Flat { name, .. }) if self.prefix.is_none() => name.clone(),
            (_, Place::Flat { name, .. }) => {
                let dialect = if kohya::split(name).is_some() { Dialect::Kohya } else { Dialect::Lycoris };
                return Err(NameError::BaseNeeded { module: name.clone(), dialect }.into());
            }
        };
        if self.dialect.accepts(&name, self.file_prefix()) {
            return Ok(name);
        }
        let reason = "the prefix is not one of its own";
        Err(ModuleError::CannotHold { module: name, dialect: self.dialect, reason }.into())
    }
}
