//! Which factors for a layer? Splits of its sizes, what they cost, and a planner over all of them. Integers only.
//!
//! - `factorization`: [`factorization()`], the splits that LyCORIS and PEFT choose.
//! - `low_rank`: [`is_low_rank`], when they hold a factor as two halves.
//! - `choice`: [`FactorChoice`], one choice of shapes and rank, in numbers.
//! - `planner`: [`Planner`], all sensible choices and answers to budgets.
//! - `counts`: [`ParameterCounts`], LoKr beside LoRA and the full weight.
//!
//! The room uses the flop counts of `contraction`, and no other.

mod choice;
mod counts;
mod factorization;
mod low_rank;
mod planner;

pub use choice::{ChoiceNote, FactorChoice};
pub use counts::ParameterCounts;
pub use factorization::{FactorizationRule, factorization};
pub use low_rank::{is_low_rank, lowest_full_rank};
pub use planner::Planner;
