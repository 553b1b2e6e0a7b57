//! How a step is made of gradients.
//!
//! - `traits`: [`Optimizer`], what every optimizer can do.
//! - `sgd`: [`Sgd`], plain or with momentum.
//! - `adam`: [`Adam`] and [`AdamW`]; `moments`: what both do.
//! - `update`: what all steps are made of, and the checks of settings.
//!
//! Uses `layer`.

mod adam;
mod moments;
mod sgd;
mod traits;
mod update;

#[cfg(test)]
mod optimizer_tests;

pub use adam::{Adam, AdamW};
pub use moments::AdamSettings;
pub use sgd::{Momentum, Sgd, SgdSettings};
pub use traits::Optimizer;
