//! The adapter of one layer: its two factors, its scale, and the weight it makes of another.
//!
//! - `factor`: `w1` and `w2` in the forms they are stored in.
//! - `suffix`, `gather`: the tensors of a module by their suffixes, put together.
//! - `module`: the module; `check`: whether it fits a weight.
//! - `scale`: which scale stands before the product; `dora`: norms beside it.
//! - `delta`: from factors to weights.
//! - `factor_size`, `build`: computed factors brought to a size, and modules made of them.
//! - `layer`: from and to the trainable adapters of `lokr-layers`.
//!
//! It uses the tensors of `file`, and knows nothing of names in files, of models and of whole adapters.

mod build;
mod check;
mod delta;
mod dora;
mod factor;
mod factor_size;
mod gather;
mod layer;
#[allow(clippy::module_inception)] // The type after which the room is named.
mod module;
mod scale;
mod suffix;

pub(crate) use build::{NewModule, stored_dtype, tensor_with_kernel};
pub use delta::Strength;
pub(crate) use dora::{Dora, gains, needs_base, squared_norms};
pub use factor::{W1, W2};
pub use factor_size::FactorSize;
pub(crate) use factor_size::{size_factor, svd};
pub(crate) use gather::{ModuleTensors, StoredModule};
#[doc(no_inline)]
pub use lokr_layers::{DoraAxis, DoraStrength};
pub(crate) use module::Layout;
pub use module::Module;
pub use scale::ScaleRule;
pub(crate) use suffix::{ALPHA, DORA_SCALE, FACTORS};
