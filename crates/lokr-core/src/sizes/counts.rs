//! How many values LoKr and LoRA hold for one layer, and what rank they reach, side by side.

use std::fmt;

use super::choice::FactorChoice;
use super::factorization::{FactorizationRule, factorization};
use super::low_rank::is_low_rank;
use crate::error::{KronError, Result};
use crate::shape::KronShape;

/// Parameter counts of a layer `(out, in)` at one rank setting: the full weight, LoRA, and LoKr on the balanced shapes
/// that LyCORIS and PEFT choose by themselves.
///
/// # Examples
/// The counts at 1000 × 1000 and rank 8. Two full factors can never hold fewer than 2000 values: `m·n + p·q` with
/// `(m·n)·(p·q) = out·in` is at least `2·√(out·in)`.
/// ```
/// let counts = lokr_core::ParameterCounts::new(1000, 1000, 8)?;
/// assert_eq!(counts.lora, 16_000); // rank 8
/// assert_eq!(counts.full_factors_minimum, 2_000);
/// assert_eq!((counts.full.parameters, counts.full.rank_bound), (2_225, 1_000)); // 25 × 25 ⊗ 40 × 40
/// assert_eq!((counts.low_rank.parameters, counts.low_rank.rank_bound), (1_265, 200)); // B (40, 8)·(8, 40)
/// # Ok::<(), lokr_core::KronError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParameterCounts {
    /// The rank setting.
    pub rank: usize,
    /// The full weight, `out·in`.
    pub weight: usize,
    /// LoRA at this rank, `rank·(out + in)`; its rank is at most `rank`.
    pub lora: usize,
    /// No two full factors of this layer hold fewer values than this: `2·√(out·in)`, rounded up.
    pub full_factors_minimum: usize,
    /// LoKr with two full factors.
    pub full: FactorChoice,
    /// LoKr at this rank: `B` low-rank when `rank < max(p, q)/2`, else full.
    pub low_rank: FactorChoice,
}

impl ParameterCounts {
    /// Counts for a weight `(out_size, in_size)`.
    ///
    /// # Errors
    /// [`KronError::ZeroSize`] for a size or rank of zero, [`KronError::TooLarge`] when a count could overflow.
    pub fn new(out_size: usize, in_size: usize, rank: usize) -> Result<Self> {
        KronError::check_no_zero("parameter counts", &[("out", out_size), ("in", in_size), ("rank", rank)])?;
        let four_weights = KronError::checked_product("parameter counts", &[4, out_size, in_size])?;
        let lora = KronError::checked_product("parameter counts", &[rank, out_size.saturating_add(in_size)])?;
        let (m, p) = factorization(out_size, -1, FactorizationRule::Lycoris)?;
        let (n, q) = factorization(in_size, -1, FactorizationRule::Lycoris)?;
        let shape = KronShape::new(m, n, p, q)?;
        let floor = four_weights.isqrt();
        Ok(Self {
            rank,
            weight: four_weights / 4,
            lora,
            full_factors_minimum: if floor * floor == four_weights { floor } else { floor + 1 },
            full: FactorChoice::new(shape, None)?,
            low_rank: FactorChoice::new(shape, is_low_rank(rank, (p, q)).then_some(rank))?,
        })
    }
}

/// A small table, one line each.
impl fmt::Display for ParameterCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (out_size, in_size) = self.full.shape.dim();
        let KronShape { m, n, p, q } = self.full.shape;
        let mut line = |name: &str, parameters: usize, rank: usize| {
            let share = 100.0 * parameters as f64 / self.weight as f64;
            writeln!(f, "{name:<40} {parameters:>12} values {share:>8.3} % of the weight, rank at most {rank}")
        };
        line(&format!("weight {out_size} × {in_size}"), self.weight, out_size.min(in_size))?;
        line(&format!("LoRA, rank {}", self.rank), self.lora, self.rank.min(out_size).min(in_size))?;
        line(&format!("LoKr {m} × {n} ⊗ {p} × {q}, full"), self.full.parameters, self.full.rank_bound)?;
        let second = match self.low_rank.b_rank {
            Some(rank) => format!("LoKr {m} × {n} ⊗ ({p} × {rank})·({rank} × {q})"),
            None => format!("LoKr at rank {}: full", self.rank),
        };
        line(&second, self.low_rank.parameters, self.low_rank.rank_bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sizes::Planner;

    #[test]
    fn no_two_full_factors_are_smaller_than_the_minimum() {
        for (out_size, in_size) in [(1000, 1000), (12, 7), (1, 1), (768, 3072), (127, 254), (30, 30)] {
            let minimum = ParameterCounts::new(out_size, in_size, 1).unwrap().full_factors_minimum;
            let planner = Planner::new(out_size, in_size).unwrap();
            let full = planner.choices().iter().filter(|c| c.b_rank.is_none()).map(|c| c.parameters).min();
            assert!(full.is_none_or(|smallest| smallest >= minimum), "{out_size} × {in_size}");
            assert!((minimum as f64 - 2.0 * ((out_size * in_size) as f64).sqrt()).abs() < 1.0);
        }
        // Reached: 25 × 40 ⊗ 40 × 25 holds exactly 2000.
        let smallest = Planner::new(1000, 1000).unwrap();
        assert!(smallest.choices().iter().any(|c| c.b_rank.is_none() && c.parameters == 2000));
    }

    #[test]
    fn a_rank_of_half_the_larger_side_or_more_means_a_full_second_factor() {
        // 1000 = 25 · 40: low-rank below 20. With an odd larger side, 15 = 3 · 5: 2 < 2.5 is low-rank, 3 is full.
        let b_rank = |size, rank| ParameterCounts::new(size, size, rank).unwrap().low_rank.b_rank;
        assert_eq!((b_rank(1000, 19), b_rank(1000, 20)), (Some(19), None));
        assert_eq!((b_rank(15, 2), b_rank(15, 3)), (Some(2), None));
    }

    #[test]
    fn the_table_reads_as_one_line_each() {
        let table = ParameterCounts::new(1000, 1000, 8).unwrap().to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[1].starts_with("LoRA, rank 8 ") && lines[1].contains(" 16000 values    1.600 %"), "{table}");
        assert!(lines[3].starts_with("LoKr 25 × 25 ⊗ (40 × 8)·(8 × 40)") && lines[3].ends_with("200"), "{table}");
        assert!(ParameterCounts::new(6, 6, 8).unwrap().to_string().contains("LoKr at rank 8: full"));
    }

    #[test]
    fn zero_and_overflow_are_errors() {
        let zero = |name| KronError::ZeroSize { operation: "parameter counts", name };
        assert_eq!(ParameterCounts::new(0, 4, 1), Err(zero("out")));
        assert_eq!(ParameterCounts::new(4, 0, 1), Err(zero("in")));
        assert_eq!(ParameterCounts::new(4, 4, 0), Err(zero("rank")));
        assert!(matches!(ParameterCounts::new(usize::MAX, 2, 1), Err(KronError::TooLarge { .. })));
        assert!(matches!(ParameterCounts::new(4, 4, usize::MAX), Err(KronError::TooLarge { .. })));
    }
}
