//! An adapter from the difference of two models.
//!
//! - `options`, `report`: what is asked for, and what was found.
//! - `survey`: what two models have in common, and which weights may differ.
//! - `difference`: of one weight; `terms`, `low_rank`: the Kronecker products nearest to it.
//! - `weight`, `model`: one weight, all of them; `part`: some of them, by one process of several.

mod difference;
mod low_rank;
mod model;
mod options;
mod part;
mod report;
mod survey;
mod terms;
mod weight;

pub use model::{Extraction, extract};
pub use options::ExtractOptions;
pub(super) use part::extraction_of_parts;
pub use part::{PartOutput, extract_part};
pub use report::{ExtractReport, ExtractedModule, NotAdapted, NotAdaptedReason};
