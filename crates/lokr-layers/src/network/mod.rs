//! How do layers become a network, and how is a network adapted?
//!
//! - `sequential`: [`Sequential`], layers one after the other, with names; `pass`: it as a layer.
//! - `reach`: layers and adapters by their names.
//! - `adapt`: adapters on the layers that are meant; `freeze`: layers that are kept as they are.
//! - `shared`: [`Shared`], layers whose values many networks share; `mixed`: rows that use different updates.
//! - `compiled`: [`CompiledNetwork`], a network made ready for inference; `compiled_conv`: a convolution in it.
//! - `diagnostics`: [`NetworkDiagnostics`], all adapters at a glance.
//! - `updates`: [`PlacedUpdate`], updates under one name on many layers.
//! - `settings`: [`AdaptSettings`], which adapters; `report`: [`AdaptReport`], what was done.
//! - `select`: [`Select`], which layers are meant; `pattern`: [`NamePattern`], rules for names, PEFT's among them.
//!
//! Uses `layer`, `adapter` and `update`, of `plain` what is compiled, and of `activation` what a network ends in.

mod adapt;
mod compiled;
mod compiled_conv;
mod diagnostics;
mod freeze;
mod mixed;
mod pass;
mod pattern;
mod reach;
mod report;
mod select;
mod sequential;
mod settings;
mod shared;
mod updates;

#[cfg(test)]
mod adapt_tests;
#[cfg(test)]
mod sequential_tests;

pub use compiled::{CompiledNetwork, Workspace, supports_compilation};
pub use diagnostics::NetworkDiagnostics;
pub use pattern::NamePattern;
pub use report::{AdaptReport, AdaptedLayer};
pub use select::Select;
pub use sequential::Sequential;
pub use settings::AdaptSettings;
pub use shared::Shared;
pub use updates::PlacedUpdate;
