//! Splits a dimension in two, as the programs that write LoKr files do.

use crate::error::{KronError, Result};

/// Whose rule splits a dimension. The two differ where a positive factor divides the dimension and its square exceeds
/// it, and for negative factors other than −1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FactorizationRule {
    /// LyCORIS, sd-scripts and OneTrainer: the smaller part always comes first; every negative factor is automatic.
    #[default]
    Lycoris,
    /// PEFT and ai-toolkit: a factor that divides the dimension comes first, even when it is the larger part; only −1
    /// is automatic, and any other negative factor gives `(1, dim)`.
    Peft,
}

/// Splits `dim` into two parts whose product it is: the rows (or columns) of `A`, then those of `B`.
///
/// # Rule
/// 1. A positive `factor` that divides `dim` gives `factor` and `dim / factor`: the smaller one first by
///    [`FactorizationRule::Lycoris`], `factor` first by [`FactorizationRule::Peft`].
/// 2. Else the first part is the largest divisor of `dim` that is at most `√dim` and at most `factor`. Without the
///    second limit for an automatic factor: −1, and by LyCORIS' rule any negative one.
///
/// So factor 0, and prime dimensions, give `(1, dim)`. The factor is signed and counts as the files' integers do, so
/// that every value a file or a configuration may hold can be given here as it is.
///
/// A *larger* factor makes `A` larger and `B` smaller; up to the balanced split that means *fewer* parameters.
/// # Cost
/// At most `√dim` divisions.
/// # Errors
/// [`KronError::ZeroSize`] for `dim = 0`.
/// # Examples
/// ```
/// use lokr_core::{FactorizationRule::{Lycoris, Peft}, factorization};
/// assert_eq!(factorization(1280, -1, Lycoris)?, (32, 40));
/// assert_eq!(factorization(1280, 8, Lycoris)?, (8, 160));
/// assert_eq!(factorization(250, 8, Lycoris)?, (5, 50)); // 8 does not divide 250
/// assert_eq!(factorization(127, 8, Lycoris)?, (1, 127)); // a prime
/// assert_eq!(factorization(64, 16, Lycoris)?, (4, 16));
/// assert_eq!(factorization(64, 16, Peft)?, (16, 4)); // not sorted
/// # Ok::<(), lokr_core::KronError>(())
/// ```
pub fn factorization(dim: usize, factor: i64, rule: FactorizationRule) -> Result<(usize, usize)> {
    KronError::check_no_zero("factorization", &[("dim", dim)])?;
    let automatic = match rule {
        FactorizationRule::Lycoris => factor < 0,
        FactorizationRule::Peft => factor == -1,
    };
    // A factor beyond the address range divides no dimension and limits none.
    let factor = if automatic { usize::MAX } else { usize::try_from(factor.max(0)).unwrap_or(usize::MAX) };
    if !automatic && factor > 0 && dim.is_multiple_of(factor) {
        let (first, second) = (factor, dim / factor);
        return Ok(match rule {
            FactorizationRule::Lycoris => (first.min(second), first.max(second)),
            FactorizationRule::Peft => (first, second),
        });
    }
    let small = (1..=dim.isqrt().min(factor)).rev().find(|&d| dim.is_multiple_of(d)).unwrap_or(1);
    Ok((small, dim / small))
}

/// All divisors of `n`, ascending; empty for 0. `√n` divisions.
pub(super) fn divisors(n: usize) -> Vec<usize> {
    let mut divisors: Vec<usize> = (1..=n.isqrt()).filter(|&d| n.is_multiple_of(d)).collect();
    let large: Vec<usize> = divisors.iter().rev().map(|d| n / d).filter(|&d| d > n.isqrt()).collect();
    divisors.extend(large);
    divisors
}

#[cfg(test)]
mod tests {
    use super::FactorizationRule::{Lycoris, Peft};
    use super::*;

    /// `(dim, [factor −1, 4, 8, 16])`, as computed by LyCORIS. PEFT swaps the pairs listed in `SWAPPED`, all at 16.
    const TABLE: [(usize, [(usize, usize); 4]); 19] = [
        (64, [(8, 8), (4, 16), (8, 8), (4, 16)]),
        (80, [(8, 10), (4, 20), (8, 10), (5, 16)]),
        (96, [(8, 12), (4, 24), (8, 12), (6, 16)]),
        (127, [(1, 127), (1, 127), (1, 127), (1, 127)]),
        (128, [(8, 16), (4, 32), (8, 16), (8, 16)]),
        (250, [(10, 25), (2, 125), (5, 50), (10, 25)]),
        (256, [(16, 16), (4, 64), (8, 32), (16, 16)]),
        (320, [(16, 20), (4, 80), (8, 40), (16, 20)]),
        (384, [(16, 24), (4, 96), (8, 48), (16, 24)]),
        (512, [(16, 32), (4, 128), (8, 64), (16, 32)]),
        (640, [(20, 32), (4, 160), (8, 80), (16, 40)]),
        (768, [(24, 32), (4, 192), (8, 96), (16, 48)]),
        (1024, [(32, 32), (4, 256), (8, 128), (16, 64)]),
        (1280, [(32, 40), (4, 320), (8, 160), (16, 80)]),
        (1536, [(32, 48), (4, 384), (8, 192), (16, 96)]),
        (2048, [(32, 64), (4, 512), (8, 256), (16, 128)]),
        (3072, [(48, 64), (4, 768), (8, 384), (16, 192)]),
        (4096, [(64, 64), (4, 1024), (8, 512), (16, 256)]),
        (11008, [(86, 128), (4, 2752), (8, 1376), (16, 688)]),
    ];
    const SWAPPED: [usize; 4] = [64, 80, 96, 128];

    #[test]
    fn the_table_of_both_programs() {
        for (dim, row) in TABLE {
            for (factor, expected) in [-1, 4, 8, 16].into_iter().zip(row) {
                assert_eq!(factorization(dim, factor, Lycoris), Ok(expected), "LyCORIS, {dim}, {factor}");
                let (small, large) = expected;
                let peft = if factor == 16 && SWAPPED.contains(&dim) { (large, small) } else { expected };
                assert_eq!(factorization(dim, factor, Peft), Ok(peft), "PEFT, {dim}, {factor}");
            }
        }
    }

    /// The published loop, statement by statement, on signed integers as Python has them.
    fn original(dimension: i64, mut factor: i64, rule: FactorizationRule) -> (i64, i64) {
        if factor > 0 && dimension % factor == 0 {
            let (mut m, mut n) = (factor, dimension / factor);
            if rule == Lycoris && m > n {
                (n, m) = (m, n);
            }
            return (m, n);
        }
        if (rule == Lycoris && factor < 0) || factor == -1 {
            factor = dimension;
        }
        let (mut m, mut n) = (1, dimension);
        let length = m + n;
        while m < n {
            let mut new_m = m + 1;
            while dimension % new_m != 0 {
                new_m += 1;
            }
            let new_n = dimension / new_m;
            if new_m + new_n > length || new_m > factor {
                break;
            }
            (m, n) = (new_m, new_n);
        }
        if m > n { (n, m) } else { (m, n) }
    }

    #[test]
    fn the_original_loop_agrees() {
        for dim in 1..2000 {
            let factors = [-7, -2, -1, 0, 1, 2, 3, 4, 5, 7, 8, 12, 16, 31, 32, 64, 100, dim - 1, dim, dim + 1, 5000];
            for factor in factors {
                for rule in [Lycoris, Peft] {
                    let (first, second) = original(dim, factor, rule);
                    let expected = (first as usize, second as usize);
                    assert_eq!(factorization(dim as usize, factor, rule), Ok(expected), "{rule:?} {dim} {factor}");
                }
            }
        }
    }

    #[test]
    fn negative_factors_and_zero_follow_each_program() {
        assert_eq!(factorization(96, -2, Lycoris), Ok((8, 12)));
        assert_eq!(factorization(96, i64::MIN, Lycoris), Ok((8, 12)));
        assert_eq!(factorization(96, -2, Peft), Ok((1, 96)));
        assert_eq!(factorization(96, i64::MIN, Peft), Ok((1, 96)));
        assert_eq!(factorization(96, 0, Lycoris), Ok((1, 96)));
        assert_eq!(factorization(96, 0, Peft), Ok((1, 96)));
        assert_eq!(factorization(96, i64::MAX, Peft), Ok((8, 12)));
    }

    #[test]
    fn primes_and_one_are_not_split() {
        for prime in [2, 3, 127, 1009, 1_000_003] {
            assert_eq!(factorization(prime, -1, Lycoris), Ok((1, prime)));
            assert_eq!(factorization(prime, 8, Peft), Ok((1, prime)));
        }
        assert_eq!(factorization(1, -1, Lycoris), Ok((1, 1)));
        assert_eq!(factorization(1, 4, Peft), Ok((1, 1)));
    }

    #[test]
    fn zero_is_an_error_that_names_it() {
        let error = factorization(0, -1, Lycoris).unwrap_err();
        assert_eq!(error, KronError::ZeroSize { operation: "factorization", name: "dim" });
        assert_eq!(error.to_string(), "factorization: dim is zero");
    }

    #[test]
    fn divisors_are_complete_and_ascending() {
        for n in 0..500 {
            let plain: Vec<usize> = (1..=n).filter(|d| n % d == 0).collect();
            assert_eq!(divisors(n), plain);
        }
        assert_eq!(divisors(1_081_080).len(), 256); // 2³·3³·5·7·11·13
    }
}
