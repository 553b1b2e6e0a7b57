//! How a step is made of gradients.
//!
//! - `traits`: [`Optimizer`], what every optimizer can do.
//! - `sgd`: [`Sgd`], plain or with momentum.
//! - `adam`: [`Adam`] and [`AdamW`]; `moments`: what both do.
//! - `soap`: [`Soap`], Adam in the eigenvectors of Kronecker-factored curvature; `sides`: those of one matrix.
//! - `groups`: [`Group`], settings of their own for some of the parameters.
//! - `memory`: what is kept of past gradients, and how it is saved.
//! - `serialize`: optimizers by `serde` (feature `serde`).
//! - `update`: what all steps are made of; `checks`: of settings.
//!
//! Uses `layer` and the run's `state`.

mod adam;
mod checks;
mod groups;
mod memory;
mod moments;
#[cfg(feature = "serde")]
mod serialize;
mod sgd;
mod sides;
mod soap;
mod traits;
mod update;

#[cfg(test)]
mod optimizer_tests;
#[cfg(test)]
mod state_tests;

pub use adam::{Adam, AdamW, AdamWSettings};
pub use groups::Group;
pub use moments::AdamSettings;
pub use sgd::{Momentum, Sgd, SgdSettings};
pub use soap::{Soap, SoapSettings};
pub use traits::Optimizer;
