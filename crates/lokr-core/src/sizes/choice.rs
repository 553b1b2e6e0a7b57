//! One choice of factor shapes and rank for a layer, in numbers.

use std::cmp::Reverse;
use std::fmt;

use smallvec::smallvec;

use crate::contraction::{Order, Pass, cheapest_interleaving};
use crate::error::{KronError, Result};
use crate::shape::KronShape;

/// One way to build `ΔW (out, in)` as `A ⊗ B`, and what it costs.
///
/// # Examples
/// ```
/// use lokr_core::{FactorChoice, KronShape};
/// let shape = KronShape::new(25, 25, 40, 40)?;
/// let full = FactorChoice::new(shape, None)?;
/// assert_eq!((full.parameters, full.rank_bound), (25 * 25 + 40 * 40, 1000));
/// let low = FactorChoice::new(shape, Some(8))?; // B (40, 8)·(8, 40)
/// assert_eq!((low.parameters, low.rank_bound), (25 * 25 + 8 * 80, 25 * 8));
/// # Ok::<(), lokr_core::KronError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FactorChoice {
    /// Sizes of the factors.
    pub shape: KronShape,
    /// `None`: `B` is held full. `Some(r)`: `B` is held as `(p, r)·(r, q)`.
    pub b_rank: Option<usize>,
    /// Values to train and store: `m·n + p·q`, or `m·n + r·(p + q)`.
    pub parameters: usize,
    /// Flops of a forward pass per sample, in the cheapest order of contraction.
    pub flops: usize,
    /// The largest rank the product can have: `rank A · rank B`, with `rank A ≤ min(m, n)` and
    /// `rank B ≤ min(p, q, r)`.
    pub rank_bound: usize,
}

impl FactorChoice {
    /// The numbers of two factors of this shape, with a full second factor or one of rank `r`.
    ///
    /// # Errors
    /// [`KronError::ZeroSize`] for rank 0, [`KronError::TooLarge`] when a count could overflow.
    pub fn new(shape: KronShape, b_rank: Option<usize>) -> Result<Self> {
        let KronShape { m, n, p, q } = shape;
        let Some(r) = b_rank else {
            // `flops` is at most four times the element count.
            KronError::checked_product("planner", &[4, m, n, p, q])?;
            let (parameters, flops) = (shape.parameter_count(), Order::cheapest(shape).flops(shape));
            return Ok(Self { shape, b_rank, parameters, flops, rank_bound: m.min(n) * p.min(q) });
        };
        KronError::check_no_zero("planner", &[("rank", r)])?;
        KronError::checked_product("planner", &[8, r, p.saturating_add(q), m, n])?;
        let (_, flops) = cheapest_interleaving(&[smallvec![(m, n)], smallvec![(r, q), (p, r)]], Pass::Forward);
        // `B` formed once for a whole batch costs nothing per sample.
        let flops = flops.min(Order::cheapest(shape).flops(shape));
        Ok(Self { shape, b_rank, parameters: m * n + r * (p + q), flops, rank_bound: m.min(n) * p.min(q).min(r) })
    }

    /// The parameters as a share of the full weight's `out·in`.
    #[must_use]
    pub fn share(&self) -> f64 {
        let (rows, cols) = self.shape.dim();
        self.parameters as f64 / (rows as f64 * cols as f64)
    }

    /// What makes this choice less than a true Kronecker product, said plainly; `None` when both sizes are split.
    #[must_use]
    pub fn note(&self) -> Option<ChoiceNote> {
        let KronShape { m, n, p, q } = self.shape;
        let (out_size, in_size) = self.shape.dim();
        let (out_whole, in_whole) = (m == 1 || p == 1, n == 1 || q == 1);
        match (self.b_rank, out_whole, in_whole) {
            (Some(rank), ..) if m * n == 1 => Some(ChoiceNote::Lora { rank }),
            (None, ..) if m * n == 1 || p * q == 1 => Some(ChoiceNote::Dense),
            (_, true, true) => Some(ChoiceNote::Outer),
            (_, true, false) => Some(ChoiceNote::OutWhole { out_size }),
            (_, false, true) => Some(ChoiceNote::InWhole { in_size }),
            (_, false, false) => None,
        }
    }

    /// The order of lists: fewest parameters first, then fewest flops, then the highest rank, then the smaller `A`.
    pub(super) fn key(&self) -> impl Ord + use<> {
        let KronShape { m, n, .. } = self.shape;
        (self.parameters, self.flops, Reverse(self.rank_bound), m * n, m)
    }

    /// The order of preference once the parameters are settled: highest rank, then fewest flops and parameters.
    pub(super) fn preference(&self) -> impl Ord + use<> {
        (Reverse(self.rank_bound), self.flops, self.key())
    }
}

/// Why a choice is not a Kronecker product of two proper matrices. Prime sizes leave nothing better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChoiceNote {
    /// `A` is 1 × 1 and `B` is low-rank.
    Lora {
        /// Rank of `B`.
        rank: usize,
    },
    /// One factor is 1 × 1 and the other the whole matrix.
    Dense,
    /// Neither size is split: a column times a row.
    Outer,
    /// The output size is kept whole.
    OutWhole {
        /// The output size.
        out_size: usize,
    },
    /// The input size is kept whole.
    InWhole {
        /// The input size.
        in_size: usize,
    },
}

impl fmt::Display for ChoiceNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lora { rank } => write!(f, "A is 1 × 1: this is plain LoRA of rank {rank}"),
            Self::Dense => write!(f, "one factor is 1 × 1: this is a full matrix and saves nothing"),
            Self::Outer => write!(f, "neither size is split: the product is a column times a row, of rank 1"),
            Self::OutWhole { out_size } => write!(f, "the output size is not split: {out_size} = 1 × {out_size}"),
            Self::InWhole { in_size } => write!(f, "the input size is not split: {in_size} = 1 × {in_size}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flops_of_a_low_rank_choice_are_the_cheapest_of_its_orders() {
        for (m, n, p, q, r) in [(3, 5, 40, 60, 2), (64, 32, 8, 100, 3), (2, 90, 70, 4, 1), (4, 4, 3, 3, 9)] {
            let shape = KronShape::new(m, n, p, q).unwrap();
            let by_hand = [
                n * q * r + n * r * p + m * n * p, // right half, left half, A
                n * q * r + m * n * r + m * r * p, // right half, A, left half
                m * n * q + m * q * r + m * r * p, // A, right half, left half
                n * q * p + m * n * p,             // B formed for the batch
                m * n * q + m * q * p,
            ];
            let expected = by_hand.into_iter().min().map(|multiply_adds| 2 * multiply_adds);
            assert_eq!(Some(FactorChoice::new(shape, Some(r)).unwrap().flops), expected);
        }
    }

    #[test]
    fn notes_say_what_is_not_split() {
        let notes = |m, n, p, q, rank| FactorChoice::new(KronShape::new(m, n, p, q).unwrap(), rank).unwrap().note();
        assert_eq!(notes(1, 1, 6, 6, Some(2)), Some(ChoiceNote::Lora { rank: 2 }));
        assert_eq!(notes(7, 1, 1, 5, None), Some(ChoiceNote::Outer));
        assert_eq!(notes(2, 1, 3, 5, None), Some(ChoiceNote::InWhole { in_size: 5 }));
        assert_eq!(notes(2, 2, 3, 3, None), None);
        assert_eq!(ChoiceNote::OutWhole { out_size: 127 }.to_string(), "the output size is not split: 127 = 1 × 127");
    }

    #[test]
    fn rank_zero_and_overflow_are_errors() {
        let shape = KronShape::new(2, 3, 4, 5).unwrap();
        let zero = KronError::ZeroSize { operation: "planner", name: "rank" };
        assert_eq!(FactorChoice::new(shape, Some(0)), Err(zero));
        assert!(matches!(FactorChoice::new(shape, Some(usize::MAX)), Err(KronError::TooLarge { .. })));
    }
}
