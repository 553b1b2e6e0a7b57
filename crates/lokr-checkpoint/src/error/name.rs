//! What is wrong with the names in an adapter, by themselves or beside those of a base model.

use std::fmt;

use thiserror::Error;

use super::list::{counted, list};
use crate::dialects::Dialect;

/// What is wrong with the names in an adapter, by themselves or beside those of a base model.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NameError {
    /// A file without a single LoKr tensor.
    #[error("no lokr tensors in this file")]
    NotLokr,
    /// Tensors of an algorithm that is not understood, or that the dialect has no place for.
    #[error("{key}: a tensor of {algorithm}, which cannot be applied; of such modules: {}", list(modules))]
    OtherAlgorithm {
        /// The first tensor.
        key: String,
        /// Its algorithm.
        algorithm: &'static str,
        /// The modules of all such tensors.
        modules: Vec<String>,
    },
    /// A Tucker core of the first factor, which LyCORIS has a name for and no program writes.
    #[error("{key}: no program writes a lokr_t1, and what it would mean is not known")]
    TuckerFirstFactor {
        /// The tensor.
        key: String,
    },
    /// A tensor that no dialect has.
    #[error("{key}: not a key of the {dialect} dialect")]
    UnknownKey {
        /// The tensor.
        key: String,
        /// The dialect read.
        dialect: Dialect,
    },
    /// Tensors of two dialects in one file.
    #[error("mixed dialects: {first} is {first_dialect}, {second} is {second_dialect}")]
    MixedDialects {
        /// A key.
        first: String,
        /// Its dialect.
        first_dialect: Dialect,
        /// Another key.
        second: String,
        /// Its dialect.
        second_dialect: Dialect,
    },
    /// `alpha` or `dora_scale` in a PEFT adapter, whose scale is in its configuration and which has no DoRA.
    #[error("mixed dialects: {key} in a PEFT adapter; PEFT ignores it")]
    NotPeft {
        /// The tensor.
        key: String,
    },
    /// Dotted names without any `alpha`: PEFT without its configuration, or a file whose scale is 1.
    #[error("{key} fits the dialects {first} and {second}, which differ in scale; say which")]
    DialectUnclear {
        /// An example.
        key: String,
        /// A dialect that fits.
        first: Dialect,
        /// Another one.
        second: Dialect,
    },
    /// The state of a live PEFT model with several adapters.
    #[error("{first} and {second} belong to two adapters; save them one by one")]
    SeveralAdapters {
        /// A key of one.
        first: String,
        /// A key of another.
        second: String,
    },
    /// Two keys that mean one tensor.
    #[error("{first} and {second} both mean {target}")]
    DuplicateTarget {
        /// A key or module.
        first: String,
        /// Another one.
        second: String,
        /// What both mean.
        target: String,
    },
    /// A name that several modules of the base model have.
    #[error("{module} matches several modules of the base model: {}", list(candidates))]
    AmbiguousModule {
        /// The name in the adapter.
        module: String,
        /// The modules it matches.
        candidates: Vec<String>,
    },
    /// A tensor that holds several modules, or modules that another program keeps in one, of sizes that cannot be.
    #[error(
        "{module}: {tensor} has {rows} rows and {columns} columns, which cannot be shared out among {}",
        parts.join(", ")
    )]
    RowsDoNotAddUp {
        /// The module asked for.
        module: String,
        /// The module that the base model stores.
        tensor: String,
        /// Its rows.
        rows: usize,
        /// Its columns.
        columns: usize,
        /// The modules whose rows lie in it, or which it would consist of.
        parts: Vec<String>,
    },
    /// Modules that the base model does not have.
    #[error("{} of {} not in the base model: {}", modules.len(), are(*total, "module"), list(modules))]
    UnmatchedModules {
        /// The modules.
        modules: Vec<String>,
        /// What the names of the other modules begin with and those of these do not, such as `lora_unet_`: they are of
        /// another model of the same pipeline. Empty where names do not tell.
        matched: Vec<String>,
        /// How many modules the adapter has.
        total: usize,
    },
    /// Modules of several models, all of which a base model that is one of them has.
    #[error(
        "the adapter is of several models ({}), the base model is one of them{}: say which, or give the whole pipeline",
        prefixes.join(", "),
        if lacking.is_empty() { String::new() } else { format!(" and does not have {}", list(lacking)) }
    )]
    SeveralModels {
        /// What the names of each model begin with, of those whose names the base model has.
        prefixes: Vec<String>,
        /// Modules that the base model does not have.
        lacking: Vec<String>,
    },
    /// Not a single module is in the base model.
    #[error(
        "{} in the base model: {sides}; is it the right one? --rename FROM=TO changes the adapter's names",
        if *total == 1 { format!("the module {example} is not") } else { format!("none of the {total} modules is") }
    )]
    NothingMatches {
        /// How many modules the adapter has.
        total: usize,
        /// The first of them.
        example: String,
        /// What the two have instead.
        sides: Box<BothSides>,
    },
    /// Names that mean modules only together with a base model.
    #[error("{module}: a {dialect} name says what it adapts only together with the base model; give it")]
    BaseNeeded {
        /// The first module.
        module: String,
        /// The dialect.
        dialect: Dialect,
    },
}

/// Some modules of an adapter and of a base model that have none in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BothSides {
    /// Modules of the adapter.
    pub adapter: Vec<String>,
    /// Models whose modules are called as the adapter's.
    pub adapter_of: Vec<&'static str>,
    /// Modules of the base model.
    pub base: Vec<String>,
    /// Models whose modules are called as the base model's.
    pub base_of: Vec<&'static str>,
}

impl fmt::Display for BothSides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sides = [("adapter", &self.adapter, &self.adapter_of), ("model", &self.base, &self.base_of)];
        for (number, (side, modules, families)) in sides.into_iter().enumerate() {
            write!(f, "{}the {side} has {}", if number == 0 { "" } else { ", " }, modules.join(", "))?;
            if !families.is_empty() {
                write!(f, " (names of {})", families.join(" or "))?;
            }
        }
        Ok(())
    }
}

/// `1 module is`, `2 modules are`.
fn are(count: usize, thing: &str) -> String {
    format!("{} {}", counted(count, thing), if count == 1 { "is" } else { "are" })
}
