//! From which rank on programs hold a factor full.

/// The lowest rank at which LyCORIS and PEFT hold a factor of these sides full, a kernel not counted: half the larger
/// one.
pub(crate) fn lowest_full_rank((p, q): (usize, usize)) -> usize {
    p.max(q).div_ceil(2)
}

/// Whether they hold a factor of these sides low-rank at this rank.
pub(crate) fn is_low_rank(rank: usize, sides: (usize, usize)) -> bool {
    rank < lowest_full_rank(sides)
}
