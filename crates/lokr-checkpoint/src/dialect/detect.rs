//! Which dialect's keys a file has.

use super::key::Key;
use super::{dotted, peft};
use crate::dialects::Dialect;
use crate::error::{NameError, Result};
use crate::module::ALPHA;

/// What detection looks at besides the keys.
pub(crate) struct Evidence<'a> {
    /// The prefix of LyCORIS names.
    pub(crate) prefix: &'a str,
    /// Whether a PEFT configuration is at hand.
    pub(crate) config: ConfigPlace,
}

/// Where PEFT's configuration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConfigPlace {
    Nowhere,
    /// In the same folder as the tensors, perhaps by chance.
    Beside,
    /// In the PEFT directory that is read, or where an option says: the tensors are meant as PEFT's.
    Given,
}

/// The dialect of a file's keys.
pub(crate) fn detect<'a>(
    names: impl Iterator<Item = &'a str> + Clone,
    evidence: &Evidence<'_>,
) -> Result<Dialect, NameError> {
    let keys = names.filter_map(|name| Some((name, Key::split(name)?)));
    let has_alpha = keys.clone().any(|(_, key)| key.suffix == ALPHA);
    // Where there is LoKr, its names decide, and what stands beside it must have such names.
    let has_factors = keys.clone().any(|(_, key)| key.is_factor());
    let decides = |key: &Key<'_>| if has_factors { key.is_factor() } else { key.is_other() };
    let mut found: Option<(&str, Dialect)> = None;
    for (name, key) in keys.filter(|(_, key)| decides(key)) {
        let dialect = classify(name, &key, evidence, has_alpha)?;
        match found {
            Some((first, first_dialect)) if first_dialect != dialect => {
                return Err(NameError::MixedDialects {
                    first: first.to_owned(),
                    first_dialect,
                    second: name.to_owned(),
                    second_dialect: dialect,
                });
            }
            Some(_) => {}
            None => found = Some((name, dialect)),
        }
    }
    match found {
        None => Err(NameError::NotLokr),
        Some((name, dialect)) if dialect != Dialect::Peft && evidence.config == ConfigPlace::Given => {
            Err(NameError::MixedDialects {
                first: peft::CONFIG.to_owned(),
                first_dialect: Dialect::Peft,
                second: name.to_owned(),
                second_dialect: dialect,
            })
        }
        Some((_, dialect)) => Ok(dialect),
    }
}

fn classify(name: &str, key: &Key<'_>, evidence: &Evidence<'_>, has_alpha: bool) -> Result<Dialect, NameError> {
    let module = key.module;
    if key.is_factor() && key.adapter.is_some() || module.starts_with(peft::PREFIX) {
        return Ok(Dialect::Peft);
    }
    if Dialect::Lycoris.accepts(module, evidence.prefix) {
        return Ok(Dialect::Lycoris);
    }
    if Dialect::Kohya.accepts(module, evidence.prefix) {
        return Ok(Dialect::Kohya);
    }
    match evidence.config {
        ConfigPlace::Given => return Ok(Dialect::Peft),
        // Without a configuration, other algorithms' scales are read alike everywhere.
        _ if dotted::is_unmistakable(module) || has_alpha || key.is_other() => return Ok(Dialect::Dotted),
        ConfigPlace::Beside => return Ok(Dialect::Peft),
        ConfigPlace::Nowhere => {}
    }
    Err(NameError::DialectUnclear { key: name.to_owned(), first: Dialect::Peft, second: Dialect::Dotted })
}
