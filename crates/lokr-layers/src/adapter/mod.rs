//! The LoKr adapter: a frozen layer plus `ΔW = s·(A ⊗ B)`, trained through the two small factors.
//!
//! - `lokr_adapter`: [`LoKrAdapter`], what it holds.
//! - `builder`: its settings; `init`: the numbers its factors start with.
//! - `forward_backward`: the adapter as a layer.
//! - `factors`: `A` and `B`, read and replaced; `halves`: those held low-rank.
//! - `merge`: the update as a matrix, added to a weight.
//! - `lora_adapter`: [`LoraAdapter`], what it shares with other adapters of the LoRA family.
//! - `compiled`: the adapter made ready for inference; `diagnostics`: the adapter at a glance.
//! - `placement`: whether the update enters before the base's activation or after it; `checks`: what is refused.
//!
//! Uses `layer` and `activation`; the base it adapts is any layer, so it knows none of them by its type.
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

mod builder;
mod checks;
mod compiled;
mod diagnostics;
mod factors;
mod forward_backward;
mod halves;
mod init;
mod lokr_adapter;
mod lora_adapter;
mod merge;
mod placement;

#[cfg(test)]
mod gradient_tests;

pub use builder::LoKrBuilder;
pub use compiled::CompiledLoKr;
pub use diagnostics::LoKrDiagnostics;
pub use init::LoKrInit;
pub use lokr_adapter::LoKrAdapter;
pub use lora_adapter::LoraAdapter;
pub use placement::DeltaPlacement;
