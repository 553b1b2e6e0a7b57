//! From the names of one dialect to those of another.

use super::place::Place;
use crate::dialect::lycoris::{self, flatten};
use crate::dialect::part::{IMAGE_PREFIX, Network, TextEncoders, dotted_name, kohya_name, network_path};
use crate::dialect::{kohya, peft, terms};
use crate::dialects::Dialect;
use crate::error::{ModuleError, NameError, Result};

/// How a dialect names modules.
pub(super) struct Namer<'a> {
    pub(super) dialect: Dialect,
    /// What stands before every name in place of what is usual.
    pub(super) prefix: Option<&'a str>,
    pub(super) encoders: TextEncoders,
    /// What the paths are in.
    pub(super) network: Network,
}

impl Namer<'_> {
    /// What stands before all names of the file: what [`Adapter::prefix`] says.
    pub(super) fn file_prefix(&self) -> &str {
        match self.dialect {
            Dialect::Peft => self.prefix.unwrap_or(peft::PREFIX),
            Dialect::Lycoris => self.prefix.unwrap_or(lycoris::PREFIX),
            Dialect::Kohya | Dialect::Dotted | Dialect::Terms => "",
        }
    }

    /// The module's name, without the file's prefix in PEFT only.
    pub(super) fn name(&self, place: &Place) -> Result<String> {
        let prefix = self.prefix.unwrap_or_default();
        let name = match (self.dialect, place) {
            (Dialect::Peft, Place::Path(path)) => network_path(path, self.network).to_owned(),
            (Dialect::Dotted, Place::Path(path)) => dotted_name(path, self.prefix),
            (Dialect::Terms, Place::Path(path)) => terms::name(&format!("{prefix}{path}"), 0),
            (Dialect::Lycoris, Place::Path(path)) => {
                format!("{}{}", self.file_prefix(), flatten(network_path(path, self.network)))
            }
            (Dialect::Kohya, Place::Path(path)) => kohya_name(path, self.encoders, self.prefix),
            (Dialect::Lycoris, Place::Flat { name, rest }) if kohya::split(name).is_none() || name != rest => {
                format!("{}{rest}", self.file_prefix())
            }
            (Dialect::Kohya, Place::Flat { name, rest }) if kohya::split(name).is_none() || name != rest => {
                format!("{}{rest}", self.prefix.unwrap_or(IMAGE_PREFIX))
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
