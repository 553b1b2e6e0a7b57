//! How adapters of a network are saved and loaded.

use lokr_core::Scalar;

use super::base_hash::BaseCheck;
use crate::adapter::{ReadOptions, Unmatched};
use crate::dialects::Dialect;
use crate::error::{JobError, Result};
use crate::file::{FloatType, Overwrite};
use crate::module::ScaleRule;
use lokr_layers::Sequential;

/// Which updates of a network are saved: a file holds those of one name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Updates {
    /// Those of the one name that is enabled; an error where several are.
    #[default]
    Active,
    /// Those of this name.
    Named(String),
    /// Those of every name, each in a file (for PEFT: a directory) of its own, called by the name, in one directory.
    Each,
}

/// How [`save_adapters`](crate::save_adapters) saves.
///
/// # Examples
/// ```
/// use lokr_checkpoint::{Dialect, FloatType, SaveOptions, Updates};
///
/// let options = SaveOptions { dtype: Some(FloatType::Bf16), ..SaveOptions::to(Dialect::Lycoris) };
/// assert_eq!(options.updates, Updates::Active);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaveOptions {
    /// The dialect to write.
    pub dialect: Dialect,
    /// Which updates.
    pub updates: Updates,
    /// The type to round values to; the network's own otherwise.
    pub dtype: Option<FloatType>,
    /// Whether layers that train whole are saved too, which the dialects of PEFT and of terms have a place for.
    pub whole_layers: bool,
    /// Whether the header names the bases of all layers by a hash of their values, so that the adapter is put on no
    /// other: [`LoadOptions::base`]. Only this crate reads that.
    pub base_hash: bool,
    /// What becomes of files that are there.
    pub overwrite: Overwrite,
}

impl SaveOptions {
    /// The active update and the layers that train whole, in the network's own type; files that are there stay.
    #[must_use]
    pub fn to(dialect: Dialect) -> Self {
        let (updates, overwrite) = (Updates::Active, Overwrite::Refuse);
        Self { dialect, updates, dtype: None, whole_layers: true, base_hash: false, overwrite }
    }

    pub(super) fn dtype<T: Scalar>(&self) -> FloatType {
        self.dtype.unwrap_or(FloatType::of::<T>())
    }
}

impl Updates {
    /// The names that are meant.
    pub(super) fn names<T: Scalar>(&self, network: &Sequential<T>) -> Result<Vec<String>, JobError> {
        let (known, active) = (network.update_names(), network.active_update_names());
        let wrong = |expected, found: String| Err(JobError::Option { option: "updates", expected, found });
        match self {
            _ if known.is_empty() => wrong("a network with adapters", "one without".to_owned()),
            Self::Active if active.len() == 1 => Ok(active),
            Self::Active => wrong("one that is enabled, or a name, or Each", format!("enabled are {active:?}")),
            Self::Named(name) if known.contains(name) => Ok(vec![name.clone()]),
            Self::Named(name) => wrong("the name of an update", format!("{name:?}, but there are {known:?}")),
            Self::Each => Ok(known),
        }
    }
}

/// How [`load_adapters`](crate::load_adapters) loads.
///
/// # Examples
/// ```
/// use lokr_checkpoint::LoadOptions;
///
/// let options = LoadOptions { name: "style".into(), ..LoadOptions::default() };
/// assert_eq!(LoadOptions::default().name, "default");
/// # let _ = options;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LoadOptions {
    /// How the file is read.
    pub read: ReadOptions,
    /// The name that the updates get; updates that have it are replaced.
    pub name: String,
    /// What to do about modules that no layer of the network is meant by.
    pub unmatched: Unmatched,
    /// Which scale the updates get.
    pub scale: ScaleRule,
    /// Whether the bases must be those that the file was made for.
    pub base: BaseCheck,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            read: ReadOptions::default(),
            name: "default".to_owned(),
            unmatched: Unmatched::Refuse,
            scale: ScaleRule::Trained,
            base: BaseCheck::default(),
        }
    }
}
