//! The LoKr adapter: a frozen layer plus `ΔW = s·(A ⊗ B)`, trained through the two small factors.
//!
//! # What it costs
//! `rank(A ⊗ B) = rank(A)·rank(B)`, so a small pair of factors makes an update of high rank. But the shapes must
//! multiply to the weight's: two full factors of an `(out, in)` weight hold `m·n + p·q ≥ 2·√(out·in)` values, because
//! `(m·n)·(p·q) = out·in`. Only low-rank halves go below. For a weight of shape `(1000, 1000)`, where the balanced
//! factors are `A (25, 25)` and `B (40, 40)`:
//!
//! | update | trainable values | largest rank of `ΔW` |
//! |---|---|---|
//! | full fine-tuning | 1 000 000 | 1000 |
//! | LoRA, rank 8 | 16 000 | 8 |
//! | LoKr, both factors full | 2 225 | 1000 |
//! | LoKr, rank 8 (`B` held as `(40, 8)·(8, 40)`) | 1 265 | 25·8 = 200 |
//!
//! An often copied example, `(50, 4) ⊗ (20, 4)` as an update of a `(1000, 1000)` weight with 280 values, is impossible:
//! that product has shape `(1000, 16)`.

mod adapter;
mod builder;
mod compiled;
mod diagnostics;
#[cfg(test)]
mod gradient_tests;
mod init;
mod layer;
mod merge;

pub use adapter::LoKrAdapter;
pub use builder::LoKrBuilder;
pub use compiled::CompiledLoKr;
pub use diagnostics::LoKrDiagnostics;
pub use init::LoKrInit;

/// Where the adapter's update enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeltaPlacement {
    /// `y = activation(W·x + bias + ΔW·x)`: before the base's activation, so that merging is exact. Needs a base with
    /// a weight matrix, and is the default for such a base.
    BeforeActivation,
    /// `y = base(x) + ΔW·x`: after everything the base does. The only possibility for a base without a weight matrix.
    /// Cannot be merged unless the base's activation is the identity.
    AfterActivation,
}
