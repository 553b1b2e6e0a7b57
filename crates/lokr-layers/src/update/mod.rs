//! What is added to a weight, and how is it trained? `s·(A ⊗ B)`, or a sum of such terms, without any layer.
//!
//! - `lokr_update`: [`LoKrUpdate`], what it holds; `factors`: `A` and `B`, read and replaced; `term`: one product, in
//!   one of its forms; `tucker`: a second factor made of three; `lora`: updates as LoRA and back.
//! - `builder`: [`LoKrBuilder`], the settings of a new one, alone [`LoKrSettings`]; `settings`: what they make.
//! - `kernel`: updates of convolutions.
//! - `init`: the numbers factors start with; `principal`: those of the nearest product of a matrix.
//! - `step`: what training computes, `pass`: what it keeps; `dropout`: what it leaves out at random; `learned`: numbers
//!   that are trained.
//! - `dora`: weight decomposition, with norms that are trained; `gains`: what is computed of them; `decomposed`: the
//!   norms of `W + ΔW` in one pass over `W`.
//! - `combine`: sums, means and fewer products; `balance`: factors of equal norms, and updates of limited ones.
//! - `parameters`: the trainable values by name; `fingerprint`: one number for all values.
//! - `spec`: [`UpdateSpec`], an update as data without its values.
//! - `serialize`: settings by `serde` (feature `serde`).
//! - `placement`: whether it enters before a layer's activation or after it.
//! - `halves`: factors held low-rank; `checks`: what is refused.
//!
//! Uses the errors and buffers of the crate; an update knows matrices and no layer.

mod balance;
mod builder;
mod checks;
mod combine;
mod decomposed;
mod dora;
mod dropout;
mod factors;
mod fingerprint;
mod gains;
mod halves;
mod init;
mod kernel;
mod learned;
mod lokr_update;
mod lora;
mod parameters;
mod pass;
mod placement;
mod principal;
#[cfg(feature = "serde")]
mod serialize;
mod settings;
mod spec;
mod step;
mod term;
mod tucker;

pub use builder::{LoKrBuilder, LoKrSettings};
pub(crate) use checks::TYPE_NAME;
pub(crate) use decomposed::Scratch;
pub(crate) use dora::Gains;
pub use dora::{DoraAxis, DoraStrength};
pub(crate) use halves::inner_rank;
pub use init::LoKrInit;
pub use lokr_update::LoKrUpdate;
pub use lora::LoraHalves;
pub use placement::DeltaPlacement;
pub use spec::{DropoutSpec, TermForm, TermSpec, UpdateSpec};
pub use tucker::TuckerFactor;
