//! How programs name LoKr tensors and where they keep the scale, dialect by dialect.
//!
//! - `rules`: what is true of all names and files of a dialect.
//! - `key`: a key taken apart; `detect`: whose keys a file has.
//! - `peft`, `peft_config`, `peft_fit`: PEFT's names, its configuration, and one that fits given modules.
//! - `lycoris`, `kohya`, `dotted`, `terms`: the names of the other dialects.
//! - `part`: the names that are written, by the model of several that a module is in.
//! - `openclip`: the names that adapters carry for the modules of this text encoder.
//!
//! It uses the modules of `module`, the JSON of `file` and the places of `family`; what is done with a name is the
//! affair of `adapter`.

mod detect;
pub(crate) mod dotted;
mod key;
pub(crate) mod kohya;
pub(crate) mod lycoris;
pub(crate) mod openclip;
pub(crate) mod part;
pub(crate) mod peft;
mod peft_config;
mod peft_fit;
mod rules;
pub(crate) mod terms;

pub use crate::dialects::Dialect;
pub(crate) use detect::{ConfigPlace, Evidence, detect};
pub(crate) use key::{Key, other_algorithm};
pub use peft_config::PeftConfig;
pub(crate) use peft_fit::{Holds, config_for};
