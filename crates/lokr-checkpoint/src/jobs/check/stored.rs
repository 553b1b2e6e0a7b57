//! What a file holds, module by module: keys and shapes, no values.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use crate::dialect::{Key, other_algorithm, peft};
use crate::error::{FileError, InFile, Result};
use crate::file::TensorFile;
use crate::module::{ALPHA, DORA_SCALE};

/// How the change of a module is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Lokr,
    /// `LoRA` as `lora_down`, `lora_up` and `alpha`.
    LoraDown,
    /// `LoRA` as `lora_A` and `lora_B`.
    LoraA,
    Loha,
    /// The difference of a weight, bias or norm itself.
    Difference,
    /// A tensor that takes the place of the model's.
    Whole,
    Other,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lokr => "LoKr",
            Self::LoraDown | Self::LoraA => "LoRA",
            Self::Loha => "LoHa",
            Self::Difference => "full difference",
            Self::Whole => "whole tensor",
            Self::Other => "another algorithm",
        }
    }
}

/// One module.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) kind: Kind,
    /// Shapes by what follows the module's name in the keys.
    pub(super) tensors: BTreeMap<String, Vec<usize>>,
}

impl Stored {
    pub(super) fn shape(&self, suffix: &str) -> Option<&[usize]> {
        self.tensors.get(suffix).map(Vec::as_slice)
    }
}

/// A file, or what one would be.
#[derive(Debug, Default)]
pub(super) struct StoredFile {
    /// The modules by their names, prefixes included.
    pub(super) modules: BTreeMap<String, Stored>,
    /// Whether it lies in PEFT's directory.
    pub(super) in_directory: bool,
    /// PEFT's configuration, where there is one.
    pub(super) config: Option<Map<String, Value>>,
}

/// What follows the name of a LoRA's module, and how it is spelt.
const LORA: [(&str, Kind); 9] = [
    ("lora_down.weight", Kind::LoraDown),
    ("lora_up.weight", Kind::LoraDown),
    ("lora_mid.weight", Kind::LoraDown),
    ("lora_A.weight", Kind::LoraA),
    ("lora_B.weight", Kind::LoraA),
    ("lora_A.default.weight", Kind::LoraA),
    ("lora_B.default.weight", Kind::LoraA),
    ("lora_embedding_A", Kind::LoraA),
    ("lora_embedding_B", Kind::LoraA),
];

/// What follows the name of a module whose difference is stored as it is.
const DIFFERENCES: [&str; 5] = ["diff", "diff_b", "w_norm", "b_norm", "set_weight"];

impl StoredFile {
    /// Reads the header of a file, or of what a PEFT directory holds.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let in_directory = path.is_dir();
        let file = if in_directory { path.join(peft::TENSORS) } else { path.to_owned() };
        if in_directory && !file.is_file() {
            return Err(FileError::Missing { expected: peft::TENSORS.to_owned() }.in_file(path));
        }
        let file = TensorFile::open(file)?;
        let config = path.join(peft::CONFIG);
        let config = if config.is_file() {
            let text = std::fs::read(&config).in_file(&config)?;
            Some(serde_json::from_slice(&text).in_file(&config)?)
        } else {
            None
        };
        let keys = file.names().filter_map(|name| Some((name, file.info(name)?.1)));
        Ok(Self { in_directory, config, ..Self::from_keys(keys) })
    }

    /// The modules of tensors by their keys, with their shapes.
    pub(super) fn from_keys<'a>(keys: impl Iterator<Item = (&'a str, &'a [usize])>) -> Self {
        let mut modules: BTreeMap<String, Stored> = BTreeMap::new();
        for (key, shape) in keys {
            let (module, suffix, kind) = take_apart(key);
            let stored = modules
                .entry(module.to_owned())
                .or_insert_with(|| Stored { kind: kind.unwrap_or(Kind::Other), tensors: BTreeMap::new() });
            // `alpha` and `dora_scale` do not say whose they are, and a module of factors may have `diff_b` too.
            if let Some(kind) = kind.filter(|_| matches!(stored.kind, Kind::Other | Kind::Difference)) {
                stored.kind = kind;
            }
            stored.tensors.insert(suffix.to_owned(), shape.to_vec());
        }
        Self { modules, in_directory: false, config: None }
    }
}

/// A key as module, suffix, and what the suffix tells.
fn take_apart(key: &str) -> (&str, &str, Option<Kind>) {
    let ends = |suffix: &str| key.strip_suffix(suffix).and_then(|module| module.strip_suffix('.'));
    if let Some((module, suffix, kind)) = LORA.iter().find_map(|(suffix, kind)| Some((ends(suffix)?, *suffix, *kind))) {
        return (module, suffix, Some(kind));
    }
    if let Some((module, suffix)) = DIFFERENCES.iter().find_map(|suffix| Some((ends(suffix)?, *suffix))) {
        return (module, suffix, Some(Kind::Difference));
    }
    if let Some((module, suffix)) = key.rsplit_once('.').filter(|(_, last)| last.starts_with("hada_")) {
        return (module, suffix, Some(Kind::Loha));
    }
    match Key::split(key) {
        Some(parts) if parts.is_factor() => (parts.module, &key[parts.module.len() + 1..], Some(Kind::Lokr)),
        Some(parts) if matches!(parts.suffix, ALPHA | DORA_SCALE) => (parts.module, parts.suffix, None),
        _ => match other_algorithm(key) {
            Some((module, _)) if module.len() < key.len() => (module, &key[module.len() + 1..], Some(Kind::Other)),
            _ => (key, "", Some(Kind::Whole)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_of_all_algorithms_are_put_together() {
        let keys = [
            "lora_unet_a.alpha",
            "lora_unet_a.lokr_w1",
            "lora_unet_b.lora_down.weight",
            "lora_unet_b.alpha",
            "m.x.lora_A.weight",
            "m.y.hada_w1_a",
            "m.z.diff_b",
            "m.z.lokr_w1_a",
            "m.n.w_norm",
            "m.o.oft_blocks",
            "classifier.weight",
        ];
        let file = StoredFile::from_keys(keys.iter().map(|key| (*key, &[2usize, 2][..])));
        let kinds: Vec<_> = file.modules.iter().map(|(name, stored)| (name.as_str(), stored.kind)).collect();
        assert_eq!(
            kinds,
            [
                ("classifier.weight", Kind::Whole),
                ("lora_unet_a", Kind::Lokr),
                ("lora_unet_b", Kind::LoraDown),
                ("m.n", Kind::Difference),
                ("m.o", Kind::Other),
                ("m.x", Kind::LoraA),
                ("m.y", Kind::Loha),
                ("m.z", Kind::Lokr),
            ]
        );
    }
}
