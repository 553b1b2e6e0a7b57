//! The LoKr adapter: a frozen layer plus `ΔW = s·(A ⊗ B)`, trained through the two small factors.
//!
//! - `lokr_adapter`: [`LoKrAdapter`], what it holds and how it is made; `factors`: `A` and `B`, read and replaced.
//! - `forward_backward`: the adapter as a layer; `linear`: as a linear layer, where its base is one.
//! - `dora`: what changes where the weight is decomposed.
//! - `merge`: the update as a matrix, added to a weight; `in_place`: in the weight of the adapter's own base.
//! - `patches`: the adapter of a layer whose weight acts on patches, a convolution.
//! - `mixed`: a batch whose rows use different updates.
//! - `updates`: the adapter's own update and those added by name; `any_adapter`: the adapter without the type of its
//!   base.
//! - `lora_adapter`: [`LoraAdapter`], what it shares with other adapters of the LoRA family.
//! - `compiled`: the adapter made ready for inference; `diagnostics`: the adapter at a glance.
//! - `checks`: what is needed of a base.
//!
//! Uses `layer`, `update` (what is added, and its settings), `patches` and `activation`; the base it adapts is any
//! layer, so it knows none of them by its type.
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

mod any_adapter;
mod checks;
mod compiled;
mod diagnostics;
mod dora;
mod factors;
mod forward_backward;
mod in_place;
mod linear;
mod lokr_adapter;
mod lora_adapter;
mod merge;
mod mixed;
mod patches;
mod updates;

#[cfg(test)]
mod gradient_tests;

#[doc(no_inline)]
pub use crate::update::{DeltaPlacement, LoKrBuilder, LoKrInit};
pub use compiled::CompiledLoKr;
pub(crate) use compiled::linear_base;
pub use diagnostics::LoKrDiagnostics;
pub use lokr_adapter::LoKrAdapter;
pub(crate) use lokr_adapter::Prepared;
pub use lora_adapter::LoraAdapter;
