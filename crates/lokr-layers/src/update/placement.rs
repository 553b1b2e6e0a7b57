//! Where the adapter's update enters.

/// Where the adapter's update enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum DeltaPlacement {
    /// `y = activation(W·x + bias + ΔW·x)`: before the base's activation, so that merging is exact. Needs a base with
    /// a weight matrix, and is the default for such a base.
    BeforeActivation,
    /// `y = base(x) + ΔW·x`: after everything the base does. The only possibility for a base without a weight matrix.
    /// Cannot be merged unless the base's activation is the identity.
    AfterActivation,
}
