//! Which updates have been merged into a weight, and how it comes back.

/// How a weight comes back from a merge in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Restore {
    /// By subtracting, exact to rounding; needs no memory.
    #[default]
    Rounded,
    /// Bit for bit, from a copy that is kept meanwhile.
    Exact,
}

/// The updates that are in a weight, each by a fingerprint of all its values: a merge that is made twice, or one that
/// is undone without having been made, is found out.
///
/// A layer keeps one beside its weight and hands it out by [`crate::LinearLayer::merges`]. Whoever writes other values
/// into the weight clears it, since nobody knows then what is in the weight.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, FullyConnected, LayerError, LinearLayer, LoKrAdapter, LoKrInit};
/// use ndarray::{Array1, Array2};
///
/// let base = FullyConnected::from_arrays(Array2::<f32>::zeros((6, 4)), Array1::zeros(6), Activation::Identity)?;
/// let adapter = LoKrAdapter::builder(base.clone()).init(LoKrInit::Random).build()?;
/// let mut layer = base;
/// adapter.merge_into(&mut layer)?;
/// assert!(matches!(adapter.merge_into(&mut layer), Err(LayerError::AlreadyMerged { .. })));
/// adapter.unmerge_from(&mut layer)?;
/// assert!(matches!(adapter.unmerge_from(&mut layer), Err(LayerError::NotMerged { .. })));
/// assert!(layer.merges().is_some_and(|merges| merges.is_empty()));
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merges {
    fingerprints: Vec<u64>,
}

impl Merges {
    /// Whether nothing is known to have been merged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fingerprints.is_empty()
    }

    /// Forgets all of them: the weight is another one.
    pub fn clear(&mut self) {
        self.fingerprints.clear();
    }

    pub(crate) fn contains(&self, fingerprint: u64) -> bool {
        self.fingerprints.contains(&fingerprint)
    }

    pub(crate) fn insert(&mut self, fingerprint: u64) {
        self.fingerprints.push(fingerprint);
    }

    pub(crate) fn remove(&mut self, fingerprint: u64) {
        self.fingerprints.retain(|&other| other != fingerprint);
    }
}
