//! What is wrong with the names in an adapter, by themselves or beside those of a base model.

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
    /// A tensor that belongs to another kind of adapter.
    #[error("{key}: a tensor of {algorithm}, not of LoKr")]
    OtherAlgorithm {
        /// The tensor.
        key: String,
        /// The kind.
        algorithm: &'static str,
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
        "{} in the base model{}: is it the right one?",
        if *total == 1 { format!("the module {example} is not") } else { format!("none of the {total} modules is") },
        if *total == 1 { String::new() } else { format!(" (the first is {example})") }
    )]
    NothingMatches {
        /// How many modules the adapter has.
        total: usize,
        /// One of them.
        example: String,
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

/// `1 module is`, `2 modules are`.
fn are(count: usize, thing: &str) -> String {
    format!("{} {}", counted(count, thing), if count == 1 { "is" } else { "are" })
}
