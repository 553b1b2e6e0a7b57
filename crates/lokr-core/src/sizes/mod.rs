//! Which factors for a layer: splits of its sizes, their costs, and a planner over all of them.

mod choice;
mod counts;
mod factorization;
mod planner;

pub use choice::{Choice, Note};
pub use counts::ParameterCounts;
pub use factorization::{FactorizationRule, factorization};
pub use planner::Planner;
