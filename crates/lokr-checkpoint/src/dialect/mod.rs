//! The ways programs name LoKr tensors.

pub(crate) mod dotted;
pub(crate) mod key;
pub(crate) mod kohya;
pub(crate) mod lycoris;
pub(crate) mod openclip;
pub(crate) mod peft;
pub(crate) mod peft_config;
pub(crate) mod peft_fit;
pub(crate) mod sdxl;
pub(crate) mod terms;

use std::fmt;

use crate::save::PEFT_CONFIG;
use crate::{CheckpointError, Result};
use key::Key;

/// A way of naming tensors and of storing the scale.
///
/// | dialect | a key | the scale is in |
/// |---|---|---|
/// | PEFT | `base_model.model.down.conv.lokr_w1` | `adapter_config.json` |
/// | LyCORIS | `lycoris_down_conv.lokr_w1` | `alpha` tensors |
/// | kohya | `lora_unet_down_conv.lokr_w1` | `alpha` tensors |
/// | dotted | `diffusion_model.down.conv.lokr_w1` | `alpha` tensors |
/// | terms | `down.conv.term0.lokr_w1` | `alpha` tensors |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Dialect {
    /// PEFT: a directory, the bare names of an injected model, or a live model's state with `.default` behind each name.
    Peft,
    /// LyCORIS's wrapper: one prefix, then the module's path with `_` for `.`.
    Lycoris,
    /// kohya's scripts and OneTrainer: a prefix per model, then the path with `_` for `.`.
    Kohya,
    /// ai-toolkit and ComfyUI: the path as it is, behind the name of a model or nothing.
    Dotted,
    /// `lokr`'s own, for sums of several Kronecker products, which no other dialect holds: a module per term, named by the
    /// path and `.term0`, `.term1` and so on. The file's header says `lokr_format: sum_of_terms`; other programs find no
    /// module of theirs in it.
    Terms,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Peft => "PEFT",
            Self::Lycoris => "LyCORIS",
            Self::Kohya => "kohya",
            Self::Dotted => "dotted",
            Self::Terms => "terms",
        })
    }
}

impl Dialect {
    /// Whether the files of this dialect hold `alpha`.
    pub(crate) fn stores_alpha(self) -> bool {
        self != Self::Peft
    }

    /// Whether a module's name can be one of this dialect. `prefix` is that of LyCORIS files.
    pub(crate) fn accepts(self, module: &str, prefix: &str) -> bool {
        match self {
            Self::Peft | Self::Dotted => true,
            Self::Lycoris => module.starts_with(prefix),
            Self::Kohya => kohya::split(module).is_some(),
            Self::Terms => terms::path(module).is_some(),
        }
    }
}

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
pub(crate) fn detect<'a>(keys: impl Iterator<Item = &'a str> + Clone, evidence: &Evidence<'_>) -> Result<Dialect> {
    let keys = keys.filter_map(|key| Some((key, Key::split(key)?)));
    let has_alpha = keys.clone().any(|(_, parts)| parts.suffix == crate::parts::ALPHA);
    let mut found: Option<(&str, Dialect)> = None;
    for (key, parts) in keys.filter(|(_, parts)| parts.is_factor()) {
        let dialect = classify(key, &parts, evidence, has_alpha)?;
        match found {
            Some((first, first_dialect)) if first_dialect != dialect => {
                return Err(CheckpointError::MixedDialects {
                    first: first.to_owned(),
                    first_dialect,
                    second: key.to_owned(),
                    second_dialect: dialect,
                });
            }
            Some(_) => {}
            None => found = Some((key, dialect)),
        }
    }
    match found {
        None => Err(CheckpointError::NotLokr),
        Some((key, dialect)) if dialect != Dialect::Peft && evidence.config == ConfigPlace::Given => {
            Err(CheckpointError::MixedDialects {
                first: PEFT_CONFIG.to_owned(),
                first_dialect: Dialect::Peft,
                second: key.to_owned(),
                second_dialect: dialect,
            })
        }
        Some((_, dialect)) => Ok(dialect),
    }
}

fn classify(key: &str, parts: &Key<'_>, evidence: &Evidence<'_>, has_alpha: bool) -> Result<Dialect> {
    let module = parts.module;
    if parts.adapter.is_some() || module.starts_with(peft::PREFIX) {
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
        _ if dotted::is_unmistakable(module) || has_alpha => return Ok(Dialect::Dotted),
        ConfigPlace::Beside => return Ok(Dialect::Peft),
        ConfigPlace::Nowhere => {}
    }
    Err(CheckpointError::DialectUnclear { key: key.to_owned(), first: Dialect::Peft, second: Dialect::Dotted })
}
