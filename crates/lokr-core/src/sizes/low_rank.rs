//! From which rank on a factor is held full.

/// The lowest rank at which the programs that write LoKr files hold a factor of shape `(rows, cols)` full: half its
/// larger side, rounded up. Below it they hold the factor as two halves.
///
/// # Examples
/// ```
/// use lokr_core::sizes::lowest_full_rank;
/// assert_eq!(lowest_full_rank((40, 16)), 20);
/// assert_eq!(lowest_full_rank((3, 5)), 3); // 2 < 5/2 is low-rank, 3 is not
/// ```
#[must_use]
pub fn lowest_full_rank((rows, cols): (usize, usize)) -> usize {
    rows.max(cols).div_ceil(2)
}

/// Whether the programs that write LoKr files hold a factor of shape `(rows, cols)` low-rank at this rank:
/// `rank < max(rows, cols)/2`, without the rounding of an integer half.
///
/// # Examples
/// ```
/// use lokr_core::sizes::is_low_rank;
/// assert!(is_low_rank(19, (40, 16)) && !is_low_rank(20, (40, 16)));
/// ```
#[must_use]
pub fn is_low_rank(rank: usize, shape: (usize, usize)) -> bool {
    rank < lowest_full_rank(shape)
}
