//! Which scale `s` stands before the Kronecker product.

use super::module::Module;
use crate::error::{ModuleError, Result};

/// Which scale `s` to apply: the number that an adapter *on disk* stands for, as it follows from `alpha`, the rank or a
/// configuration. The `scaling` of an adapter in training ([`LoKrAdapter::scaling`](lokr_layers::LoKrAdapter::scaling))
/// is the same number once it is settled, for a layer that is at hand.
///
/// # Examples
/// ```
/// use lokr_checkpoint::{Strength, ScaleRule};
///
/// let like_lycoris = Strength { scale: ScaleRule::LikeLycorisMerge, ..Strength::default() };
/// assert_eq!(Strength::default().scale, ScaleRule::Trained);
/// assert_eq!(like_lycoris.multiplier, 1.0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum ScaleRule {
    /// The scale the adapter was trained with, by the rule of its dialect.
    #[default]
    Trained,
    /// The square of it: what LyCORIS's `merge_to` applies, which scales twice. For comparing only.
    LikeLycorisMerge,
    /// This one, whatever the file says.
    Fixed(f64),
}

impl Module {
    /// The scale that a rule gives.
    ///
    /// # Errors
    /// [`ModuleError::ScaleUnknown`].
    pub fn scale_by(&self, rule: ScaleRule) -> Result<f64> {
        let trained =
            || self.scale().ok_or_else(|| ModuleError::ScaleUnknown { module: self.name().to_owned() }.into());
        match rule {
            ScaleRule::Trained => trained(),
            ScaleRule::LikeLycorisMerge => trained().map(|s| s * s),
            ScaleRule::Fixed(s) => Ok(s),
        }
    }
}
