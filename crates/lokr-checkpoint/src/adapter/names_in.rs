//! What an adapter's modules are called in another dialect, for jobs that write something else than `LoKr` there.

use std::collections::BTreeMap;

use super::adapter::Adapter;
use super::place::{PlacedModule, network, place_modules, text_encoders};
use super::rename::Namer;
use crate::dialect::dotted;
use crate::dialect::part::TextEncoders;
use crate::dialects::Dialect;
use crate::error::{InFile, NameError, Result};
use crate::model::BaseModel;

/// The new names by the modules' names in the adapter, without PEFT's prefix. The terms of a sum have one.
pub(crate) fn names_in(
    adapter: &Adapter,
    base: Option<&BaseModel>,
    dialect: Dialect,
    prefix: Option<&str>,
) -> Result<BTreeMap<String, String>> {
    find(adapter, base, dialect, prefix).in_file(adapter.path())
}

fn find(
    adapter: &Adapter,
    base: Option<&BaseModel>,
    dialect: Dialect,
    prefix: Option<&str>,
) -> Result<BTreeMap<String, String>> {
    let placed = place_modules(adapter, base)?;
    let encoders = base.map_or_else(|| text_encoders(&placed), |base| TextEncoders::count(base.names()));
    let namer = Namer { dialect, prefix, encoders, network: base.map(network).unwrap_or_default() };
    // Names of its own dialect stay: those of kohya's files depend on how many text encoders the program counts.
    let stay = adapter.dialect() == dialect && prefix.is_none();
    let (mut names, mut first_of) = (BTreeMap::new(), BTreeMap::new());
    for PlacedModule { name: old, place, .. } in &placed {
        let name = if stay { old.clone() } else { namer.name(place)? };
        let new = if dialect == Dialect::Dotted && prefix.is_none() { dotted::written(&name)? } else { name };
        let first: &&str = first_of.entry(new.clone()).or_insert(&**old);
        if adapter.dialect().path(first) != adapter.dialect().path(old) {
            let (first, second) = ((*first).to_owned(), old.clone());
            return Err(NameError::DuplicateTarget { first, second, target: new }.into());
        }
        names.insert(old.clone(), new);
    }
    Ok(names)
}
