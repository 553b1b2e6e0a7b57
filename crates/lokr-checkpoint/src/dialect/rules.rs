//! What is true of all names and files of a dialect.

use super::{kohya, terms};
use crate::dialects::Dialect;
use crate::file::OutputForm;

impl Dialect {
    /// What an adapter of this dialect is on disk.
    ///
    /// # Examples
    /// ```
    /// use lokr_checkpoint::Dialect;
    /// use lokr_checkpoint::file::OutputForm;
    ///
    /// assert_eq!(Dialect::Peft.form(), OutputForm::Directory);
    /// assert_eq!(Dialect::Kohya.form(), OutputForm::File);
    /// ```
    #[must_use]
    pub fn form(self) -> OutputForm {
        if self == Self::Peft { OutputForm::Directory } else { OutputForm::File }
    }

    /// Whether all modules of an adapter have to be split by one factor, because the dialect states one for all of
    /// them.
    ///
    /// # Examples
    /// ```
    /// use lokr_checkpoint::Dialect;
    ///
    /// assert!(Dialect::Peft.has_one_factor());
    /// assert!(!Dialect::Lycoris.has_one_factor());
    /// ```
    #[must_use]
    pub fn has_one_factor(self) -> bool {
        self == Self::Peft
    }

    /// A module's name without the number of its term, where the dialect has terms: modules of one path change one
    /// weight.
    ///
    /// # Examples
    /// ```
    /// use lokr_checkpoint::Dialect;
    ///
    /// assert_eq!(Dialect::Terms.path("down.conv.term2"), "down.conv");
    /// assert_eq!(Dialect::Dotted.path("down.conv.term2"), "down.conv.term2");
    /// ```
    #[must_use]
    pub fn path(self, module: &str) -> &str {
        match self {
            Self::Terms => terms::path(module).unwrap_or(module),
            _ => module,
        }
    }

    /// Whether the files of this dialect hold `alpha`.
    pub(crate) fn stores_alpha(self) -> bool {
        self != Self::Peft
    }

    /// Whether its files can hold tensors that replace whole ones of the model, under their plain names.
    pub(crate) fn holds_whole_tensors(self) -> bool {
        matches!(self, Self::Peft | Self::Terms)
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
