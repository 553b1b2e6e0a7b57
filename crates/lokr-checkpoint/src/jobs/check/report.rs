//! The answer.

use serde::{Serialize, Serializer};

use super::program::Program;
use crate::dialects::Dialect;
use crate::jobs::lora::LoraLayout;

/// Whether a program reads a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckReport {
    /// The program.
    #[serde(serialize_with = "by_name")]
    pub program: Program,
    /// Whether it reads all of the file, with the effect that it was trained for.
    pub works: bool,
    /// What stands against the file as a whole.
    pub problems: Vec<String>,
    /// The modules by their names in the file.
    pub modules: Vec<CheckedModule>,
    /// What makes it work; nothing where it does, or where nothing is known to.
    pub remedy: Option<Remedy>,
    /// What to know of the program.
    pub note: Option<&'static str>,
}

impl CheckReport {
    /// The modules that the program does not read, or reads otherwise than they were trained.
    pub fn failing(&self) -> impl Iterator<Item = &CheckedModule> {
        self.modules.iter().filter(|module| module.fit != Fit::Reads)
    }
}

/// One module of a [`CheckReport`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckedModule {
    /// Its name in the file.
    pub name: String,
    /// Its algorithm, such as `LoKr`.
    pub algorithm: &'static str,
    /// What the program makes of it.
    pub fit: Fit,
    /// Why, where it does not read it as it was trained.
    pub reason: Option<String>,
}

/// What a program makes of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// It reads it as it was trained.
    Reads,
    /// It reads it, but to another effect.
    Differs,
    /// It leaves it out or fails.
    Fails,
}

/// What makes a program read an adapter, or do what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Converting it; whether that needs the base model.
    Convert {
        /// To what.
        to: ConvertTo,
        /// Whether the base model is needed for it, and was not given.
        needs_base: bool,
    },
    /// Merging it into the model.
    Merge,
}

/// What an adapter can be converted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConvertTo {
    /// Another dialect; `diffusion_model.` stands before dotted names.
    #[serde(serialize_with = "as_text")]
    Dialect(Dialect),
    /// A LoRA of the same change.
    #[serde(serialize_with = "as_text")]
    Lora(LoraLayout),
}

fn by_name<S: Serializer>(program: &Program, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(program.name())
}

fn as_text<T: std::fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
