//! One number for all that an update adds.

use std::hash::{DefaultHasher, Hash, Hasher};

use lokr_core::Scalar;

use super::lokr_update::LoKrUpdate;

impl<T: Scalar> LoKrUpdate<T> {
    /// Equal for updates that add the same, bit by bit, and by all likelihood for no others.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (strength, delta) in self.terms() {
            strength.to_f64_exact().to_bits().hash(&mut hasher);
            for part in delta.parts() {
                part.dim().hash(&mut hasher);
                part.iter().for_each(|value| value.to_f64_exact().to_bits().hash(&mut hasher));
            }
        }
        if let Some(dora) = self.decomposition() {
            self.multiplier().to_f64_exact().to_bits().hash(&mut hasher);
            self.dora_strength().hash(&mut hasher);
            dora.axis.hash(&mut hasher);
            dora.norms().iter().for_each(|norm| norm.to_f64_exact().to_bits().hash(&mut hasher));
        }
        hasher.finish()
    }
}
