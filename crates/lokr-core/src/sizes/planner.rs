//! All sensible factor shapes and ranks of a layer, the best of them, and answers to budgets.

use std::collections::BTreeMap;

use super::choice::FactorChoice;
use super::factorization::divisors;
use crate::error::{KronError, Result};
use crate::shape::KronShape;

/// All sensible choices for a layer of given sizes.
///
/// - `m` runs over the divisors of `out`, `n` over those of `in`; `A` is never the larger factor, since `B ⊗ A` has the
///   same numbers as `A ⊗ B`.
/// - `B` is full, or low-rank at 1, 2, 3, 4, 6, 8, 12, 16, … while that holds fewer values than full. All such ranks
///   are below `max(p, q)/2`, where LyCORIS and PEFT hold `B` low-rank too.
/// - Choices with as many values as the full weight are left out, unless nothing else remains.
///
/// A prime size is kept whole, 1 × N, and [`FactorChoice::note`] says so; a layer whose two sizes are prime gets LoRA.
/// # Examples
/// ```
/// use lokr_core::{ChoiceNote, Planner};
/// let planner = Planner::new(1000, 1000)?;
/// let best = planner.at_most(3000).unwrap();
/// assert_eq!((best.parameters, best.rank_bound), (2225, 1000)); // 25 × 25 ⊗ 40 × 40
/// let larger = planner.about(0.05);
/// assert!((larger.share() - 0.05).abs() < 0.005);
///
/// let primes = Planner::new(127, 131)?.about(0.05);
/// assert_eq!(primes.note(), Some(ChoiceNote::Lora { rank: 3 }));
/// # Ok::<(), lokr_core::KronError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planner {
    out_size: usize,
    in_size: usize,
    choices: Vec<FactorChoice>,
}

impl Planner {
    /// Lists the choices for a weight `(out_size, in_size)`.
    ///
    /// # Cost
    /// `√out + √in` divisions and one choice per pair of divisors and rank: hundreds for usual layers, half a million
    /// for the most divisible numbers below a million.
    /// # Errors
    /// [`KronError::ZeroSize`]; [`KronError::TooLarge`] when `8·out·in` overflows.
    pub fn new(out_size: usize, in_size: usize) -> Result<Self> {
        KronError::check_no_zero("planner", &[("out", out_size), ("in", in_size)])?;
        let weight = KronError::checked_product("planner", &[8, out_size, in_size])? / 8;
        let in_divisors = divisors(in_size);
        let mut choices = Vec::new();
        for m in divisors(out_size) {
            for &n in &in_divisors {
                let shape = KronShape::new(m, n, out_size / m, in_size / n)?;
                let KronShape { p, q, .. } = shape;
                if m * n > p * q {
                    continue;
                }
                choices.push(FactorChoice::new(shape, None)?);
                for rank in usual_ranks().take_while(|r| r * (p + q) < p * q) {
                    choices.push(FactorChoice::new(shape, Some(rank))?);
                }
            }
        }
        if choices.iter().any(|choice| choice.parameters < weight) {
            choices.retain(|choice| choice.parameters < weight);
        }
        choices.sort_unstable_by_key(FactorChoice::key);
        Ok(Self { out_size, in_size, choices })
    }

    /// Shape of the weight, `(out, in)`.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        (self.out_size, self.in_size)
    }

    /// Every choice, fewest parameters first. Never empty.
    #[must_use]
    pub fn choices(&self) -> &[FactorChoice] {
        &self.choices
    }

    /// The choices that no other beats: none has at most the parameters, at most the flops and at least the rank
    /// bound of one of these (of equals one is kept). Fewest parameters first.
    #[must_use]
    pub fn frontier(&self) -> Vec<FactorChoice> {
        // Flops → best rank bound so far, both rising; what came earlier has no more parameters.
        let mut best = BTreeMap::new();
        let unbeaten = |choice: &&FactorChoice| {
            let beaten = best.range(..=choice.flops).next_back().is_some_and(|(_, &rank)| rank >= choice.rank_bound);
            if !beaten {
                best.retain(|&flops, rank| flops < choice.flops || *rank > choice.rank_bound);
                best.insert(choice.flops, choice.rank_bound);
            }
            !beaten
        };
        self.choices.iter().filter(unbeaten).copied().collect()
    }

    /// The choice of at most `parameters` values with the highest rank bound; of these the one with the fewest flops,
    /// then the fewest values, so it need not use the budget up (see [`Planner::about`]). It lies on the frontier.
    /// `None` when even the smallest choice is larger.
    #[must_use]
    pub fn at_most(&self, parameters: usize) -> Option<FactorChoice> {
        let within = self.choices.partition_point(|choice| choice.parameters <= parameters);
        self.choices[..within].iter().min_by_key(|choice| choice.preference()).copied()
    }

    /// A choice that holds about this share of the full weight's values: of those within a tenth of it the one with
    /// the highest rank bound, then the fewest flops; when there are none, the nearest in ratio. A share that is not
    /// positive, or not a number, gives the smallest choice.
    #[must_use]
    pub fn about(&self, share: f64) -> FactorChoice {
        let wanted = share * self.out_size as f64 * self.in_size as f64;
        let target = if wanted >= 1.0 { wanted.min(f64::MAX).ln() } else { 0.0 };
        let distance = |choice: &FactorChoice| ((choice.parameters as f64).ln() - target).abs();
        let close = self.choices.iter().filter(|choice| distance(choice) <= 1.1f64.ln());
        let near = close.min_by_key(|choice| choice.preference());
        let nearest = || self.choices.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        // The list is never empty: the shape (1, 1, out, in) is always in it, or something smaller.
        near.or_else(nearest).copied().unwrap_or(self.choices[0])
    }
}

/// 1, 2, 3, 4, 6, 8, 12, 16, 24, …
fn usual_ranks() -> impl Iterator<Item = usize> {
    (0..usize::BITS - 2).flat_map(|e| [Some(1 << e), (e > 0).then(|| 3 << (e - 1))]).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sizes::ChoiceNote;

    fn beats(a: &FactorChoice, b: &FactorChoice) -> bool {
        a.parameters <= b.parameters && a.flops <= b.flops && a.rank_bound >= b.rank_bound
    }

    const LAYERS: [(usize, usize); 7] = [(1, 1), (1, 12), (127, 131), (127, 254), (24, 36), (768, 3072), (1000, 1000)];

    #[test]
    fn every_choice_multiplies_to_the_layer_and_counts_what_it_stores() {
        for (out_size, in_size) in LAYERS {
            let planner = Planner::new(out_size, in_size).unwrap();
            assert!(!planner.choices().is_empty());
            for choice in planner.choices() {
                let KronShape { m, n, p, q } = choice.shape;
                assert_eq!((m * p, n * q), (out_size, in_size));
                let (b, rank_b) = match choice.b_rank {
                    None => (p * q, p.min(q)),
                    Some(r) => (p * r + r * q, p.min(q).min(r)),
                };
                assert_eq!((choice.parameters, choice.rank_bound), (m * n + b, m.min(n) * rank_b));
                assert!(b <= p * q && m * n <= p * q);
                // The programs that choose for themselves hold these low-rank too.
                assert!(choice.b_rank.is_none_or(|r| 2 * r < p.max(q)));
            }
            assert!(planner.choices().is_sorted_by_key(|choice| choice.parameters));
        }
    }

    #[test]
    fn the_frontier_is_what_no_other_choice_beats() {
        for (out_size, in_size) in LAYERS {
            let planner = Planner::new(out_size, in_size).unwrap();
            let frontier = planner.frontier();
            for choice in planner.choices() {
                assert!(frontier.iter().any(|best| beats(best, choice)), "{choice:?}");
            }
            for (i, choice) in frontier.iter().enumerate() {
                assert!(planner.choices().contains(choice));
                assert!(!frontier.iter().enumerate().any(|(j, other)| i != j && beats(other, choice)), "{choice:?}");
            }
        }
    }

    #[test]
    fn at_most_keeps_the_budget_and_has_the_highest_rank() {
        for (out_size, in_size) in LAYERS {
            let planner = Planner::new(out_size, in_size).unwrap();
            let smallest = planner.choices()[0].parameters;
            assert_eq!(planner.at_most(smallest - 1), None);
            for budget in [smallest, 2 * smallest, 7 * smallest, out_size * in_size + 1, usize::MAX] {
                let best = planner.at_most(budget).unwrap();
                assert!(best.parameters <= budget);
                let within = planner.choices().iter().filter(|c| c.parameters <= budget);
                assert_eq!(Some(best.rank_bound), within.map(|c| c.rank_bound).max());
                assert!(planner.frontier().contains(&best));
            }
        }
    }

    #[test]
    fn about_comes_near_the_share_and_survives_any_number() {
        let planner = Planner::new(768, 3072).unwrap();
        for share in [0.001, 0.01, 0.05, 0.25, 0.9] {
            let found = planner.about(share).share();
            assert!((found / share).ln().abs() <= 1.1f64.ln(), "{share}: {found}");
        }
        let smallest = planner.choices()[0];
        for share in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY, 1e-300] {
            assert_eq!(planner.about(share).parameters, smallest.parameters);
        }
        let largest = planner.choices()[planner.choices().len() - 1];
        for share in [100.0, 1e300, f64::INFINITY] {
            assert_eq!(planner.about(share).parameters, largest.parameters);
        }
    }

    #[test]
    fn primes_and_tiny_layers_get_an_answer_with_a_note() {
        let primes = Planner::new(127, 131).unwrap();
        assert!(primes.choices().iter().all(|choice| choice.note().is_some()));
        let half = Planner::new(127, 254).unwrap();
        assert!(half.choices().iter().any(|c| c.note() == Some(ChoiceNote::OutWhole { out_size: 127 })));
        let single = Planner::new(1, 1).unwrap().about(1.0);
        assert_eq!((single.parameters, single.note()), (2, Some(ChoiceNote::Dense)));
    }

    #[test]
    fn very_divisible_sizes_are_listed() {
        let planner = Planner::new(720_720, 4096).unwrap();
        assert_eq!(planner.dim(), (720_720, 4096));
        assert!(planner.at_most(1_000_000).is_some());
    }

    #[test]
    fn zero_sizes_and_overflow_are_errors() {
        let zero = |name| KronError::ZeroSize { operation: "planner", name };
        assert_eq!(Planner::new(0, 3), Err(zero("out")));
        assert_eq!(Planner::new(3, 0), Err(zero("in")));
        assert!(matches!(Planner::new(usize::MAX / 4, 2), Err(KronError::TooLarge { .. })));
    }
}
