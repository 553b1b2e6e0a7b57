//! The adapter of one layer: its two factors, its scale, and the weight it makes of another; and what files hold beside
//! such modules.
//!
//! - `factor`: `w1` and `w2` in the forms they are stored in; `tucker`: the core that both LoKr and others have.
//! - `suffix`, `gather`: the tensors of a module by their suffixes, put together.
//! - `module`: the module; `check`: whether it fits a weight.
//! - `scale`: which scale stands before the product; `dora`: norms beside it.
//! - `delta`: from factors to weights.
//! - `factor_size`, `build`: computed factors brought to a size, and modules made of them.
//! - `layer`: from and to the trainable adapters of `lokr-layers`.
//! - `other`: the change of a parameter by another algorithm, which is one of `lora`, `loha` and `difference`;
//!   `delta_rows`: that change on some rows of a weight.
//! - `any`: a module of whichever algorithm.
//!
//! It uses the tensors of `file`, and knows nothing of names in files, of models and of whole adapters.

mod any;
mod build;
mod check;
mod delta;
mod delta_rows;
mod difference;
mod dora;
mod factor;
mod factor_size;
mod gather;
mod layer;
mod loha;
mod lora;
#[allow(clippy::module_inception)] // The type after which the room is named.
mod module;
mod other;
mod scale;
mod suffix;
mod tucker;

pub(crate) use any::AnyModule;
pub(crate) use build::{NewModule, stored_dtype, tensor_with_kernel};
pub use delta::Strength;
pub(crate) use delta_rows::DeltaRows;
pub use difference::Difference;
pub(crate) use dora::{Dora, gains, needs_base, squared_norms};
pub use factor::{W1, W2};
pub use factor_size::FactorSize;
pub(crate) use factor_size::{size_factor, svd};
pub(crate) use gather::{ModuleTensors, StoredChange, StoredModule};
pub(crate) use layer::weight_shape;
pub use loha::LohaFactors;
#[doc(no_inline)]
pub use lokr_layers::{DoraAxis, DoraStrength};
pub use lora::LoraFactors;
pub(crate) use module::Layout;
pub use module::Module;
pub(crate) use other::flat;
pub use other::{Change, OtherModule, Parameter};
pub use scale::ScaleRule;
pub(crate) use suffix::{ALPHA, DORA_SCALE, FACTORS, LORA, LORA_MID, MAGNITUDES, others as other_suffixes};
