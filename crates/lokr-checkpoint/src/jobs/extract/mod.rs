//! An adapter from the difference of two models.
//!
//! - `options`, `report`: what is asked for, and what was found.
//! - `survey`: what two models have in common, and which weights may differ.
//! - `difference`: of one weight; `terms`, `low_rank`: the Kronecker products nearest to it.
//! - `weight`, `model`: one weight, all of them.

mod difference;
mod low_rank;
mod model;
mod options;
mod report;
mod survey;
mod terms;
mod weight;

pub use model::{Extraction, extract};
pub use options::ExtractOptions;
pub use report::{ExtractReport, ExtractedModule, NotAdapted, NotAdaptedReason};
