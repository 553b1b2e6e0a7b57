//! What of a network goes to files, and back into one? Its adapters in every dialect, and the layers that trained whole
//! beside them.
//!
//! - `save`: [`save_adapters`]; `load`: [`load_adapters`].
//! - `cdka`: [`save_cdka`] and [`load_cdka`], sums under the keys of CDKA.
//! - `options`: [`SaveOptions`] and [`LoadOptions`], and which updates are meant.
//! - `whole`: layers that were trained whole, PEFT's `modules_to_save`.
//! - `base_hash`: [`base_hash`], whether an adapter belongs to the base it is put on.
//! - `placement`: where updates enter, which no other program stores.
//!
//! It uses the adapters of `adapter` and the modules of `module`, and networks as `lokr-layers` has them; layers are
//! found by their names, and no base model is needed.

mod base_hash;
mod cdka;
mod load;
mod options;
mod placement;
mod save;
mod whole;

pub use base_hash::{BaseCheck, base_hash};
pub use cdka::{load_cdka, save_cdka};
pub use load::{LoadedAdapters, load_adapters};
pub use options::{LoadOptions, SaveOptions, Updates};
pub use save::{SavedAdapter, save_adapters};
