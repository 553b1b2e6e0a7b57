//! How large a second factor may be, and making it so.

use lokr_core::sizes::is_low_rank;
use lokr_core::{Factor, Kron, KronShape, NearestOptions, nearest_kron};
use ndarray::{Array1, Array2, array, s};

use crate::error::{JobError, Result};
use crate::file::product;

/// How `w2` is to be held by [`extract`](crate::extract), [`resize`](crate::resize()) and
/// [`combine`](crate::combine()).
///
/// A rank is used only where LyCORIS and PEFT use one too, `rank < max(p, q)/2` with `q` counted without the kernel;
/// they take everything else for full.
///
/// # Examples
/// ```
/// use lokr_checkpoint::FactorSize;
/// assert!(matches!(FactorSize::default(), FactorSize::Full));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum FactorSize {
    /// `w2 (p, q, kernel…)`.
    #[default]
    Full,
    /// `w2_a (p, r) · w2_b (r, q·K)` with this `r`.
    Rank(usize),
    /// The smallest rank that keeps this share of the energy (of `‖·‖_F²`), above 0 and at most 1; full where none that
    /// LyCORIS and PEFT would use does.
    Energy(f64),
}

impl FactorSize {
    /// [`JobError::Option`] for rank 0 and shares outside `(0, 1]`.
    pub(crate) fn check(self) -> Result<(), JobError> {
        let error = |option, expected, found| Err(JobError::Option { option, expected, found });
        match self {
            Self::Rank(0) => error("rank", "a positive number", "0".to_owned()),
            Self::Energy(share) if !(share > 0.0 && share <= 1.0) => {
                error("energy", "a share above 0 and at most 1", share.to_string())
            }
            _ => Ok(()),
        }
    }
}

/// A factor as asked for, and the share of its own energy that is left.
pub(crate) struct SizedFactor {
    pub(crate) factor: Factor<'static, f64>,
    pub(crate) energy: f64,
}

/// Up to this shorter side all singular values are computed; beyond it, where the rank is known, the leading ones only.
const DIRECT_SIDE: usize = 512;

/// `b (p, q·K)` as `size` says, where `q` is `b`'s columns over `kernel`.
pub(crate) fn size_factor(b: Factor<'_, f64>, kernel: &[usize], size: FactorSize) -> Result<SizedFactor> {
    let (p, columns) = b.dim();
    let sides = (p, columns / product(kernel).max(1));
    match size {
        FactorSize::Rank(rank) if matches!(&b, Factor::LowRank(low) if low.rank() <= rank && is_low_rank(low.rank(), sides)) => {
            Ok(SizedFactor { factor: b.into_owned(), energy: 1.0 })
        }
        FactorSize::Full => Ok(SizedFactor { factor: b.to_dense().into(), energy: 1.0 }),
        FactorSize::Rank(rank) if !is_low_rank(rank, sides) => size_factor(b, kernel, FactorSize::Full),
        FactorSize::Rank(rank) => {
            let bound = b.rank_bound();
            if rank >= bound {
                return Ok(SizedFactor { factor: b.into_owned(), energy: 1.0 });
            }
            if bound > DIRECT_SIDE { leading(&b.dense().into_owned(), rank) } else { truncated(&b, |_| Some(rank)) }
        }
        FactorSize::Energy(share) => truncated(&b, |values| {
            let total: f64 = values.iter().map(|x| x * x).sum();
            // Rounding may leave the last of all values out of a sum that should be everything.
            let wanted = share * total * (1.0 - 4.0 * f64::EPSILON);
            let mut sum = 0.0;
            let reached = values.iter().position(|x| {
                sum += x * x;
                sum >= wanted
            });
            reached.map(|index| index + 1).filter(|&rank| is_low_rank(rank, sides))
        }),
    }
}

/// The singular value decomposition of one matrix, as that of `1 ⊗ B`.
pub(crate) fn svd<'a>(b: impl Into<Factor<'a, f64>>) -> Result<lokr_core::KronSvd<f64>> {
    Ok(Kron::new(array![[1.0]], b)?.svd()?)
}

/// The best approximation of the rank that `choose` finds in the singular values, or the factor in full.
fn truncated(b: &Factor<'_, f64>, choose: impl Fn(&Array1<f64>) -> Option<usize>) -> Result<SizedFactor> {
    let svd = svd(b.view())?;
    let values = svd.values().to_owned();
    let Some(rank) = choose(&values).map(|rank| rank.min(values.len())) else {
        return Ok(SizedFactor { factor: b.to_dense().into(), energy: 1.0 });
    };
    let (left, right) = svd.low_rank(rank)?;
    let total = values.dot(&values);
    let kept = values.slice(s![..rank]);
    let energy = if total > 0.0 { kept.dot(&kept) / total } else { 1.0 };
    Ok(SizedFactor { factor: Factor::low_rank(left, right)?, energy })
}

/// As [`truncated`] by iteration: a matrix is the rearrangement of itself for factors `(p, 1)` and `(1, q)`.
fn leading(b: &Array2<f64>, rank: usize) -> Result<SizedFactor> {
    let (p, columns) = b.dim();
    let nearest = nearest_kron(b, KronShape::new(p, 1, 1, columns)?, rank, &NearestOptions::default())?;
    let (mut left, mut right) = (Array2::zeros((p, rank)), Array2::zeros((rank, columns)));
    for (index, term) in nearest.terms.iter().enumerate() {
        left.column_mut(index).assign(&term.a().dense().column(0));
        right.row_mut(index).assign(&term.b().dense().row(0));
    }
    Ok(SizedFactor { factor: Factor::low_rank(left, right)?, energy: nearest.energy })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(p: usize, q: usize) -> Array2<f64> {
        Array2::from_shape_fn((p, q), |(i, j)| ((i * 31 + j * 17 + i * j * 7) % 23) as f64 / 9.0 - 1.1)
    }

    #[test]
    fn the_iteration_gives_the_best_approximation_too() {
        let b = matrix(40, 90);
        for rank in [1, 3, 11] {
            let (direct, iterated) = (truncated(&(&b).into(), |_| Some(rank)).unwrap(), leading(&b, rank).unwrap());
            assert!((direct.energy - iterated.energy).abs() < 1e-9, "{} {}", direct.energy, iterated.energy);
            let miss = &iterated.factor.dense() - &b;
            let missing = miss.iter().map(|x| x * x).sum::<f64>() / b.iter().map(|x| x * x).sum::<f64>();
            assert!((missing - (1.0 - direct.energy)).abs() < 1e-9);
        }
    }

    #[test]
    fn a_rank_that_programs_take_for_full_is_held_full() {
        let b = matrix(6, 8);
        for (rank, low) in [(1, true), (3, true), (4, false), (9, false)] {
            let sized = size_factor((&b).into(), &[], FactorSize::Rank(rank)).unwrap();
            assert_eq!(matches!(sized.factor, Factor::LowRank(_)), low, "{rank}");
            assert_eq!(sized.energy == 1.0, !low);
        }
        // With a kernel of 4 only 2 of the 8 columns count: max(6, 2)/2 = 3.
        assert!(matches!(size_factor((&b).into(), &[2, 2], FactorSize::Rank(3)).unwrap().factor, Factor::Full(_)));
    }

    #[test]
    fn a_share_gives_the_smallest_rank_that_keeps_it() {
        let values = [4.0, 2.0, 1.0, 0.5];
        let b = Array2::from_shape_fn((12, 14), |(i, j)| if i == j && i < 4 { values[i] } else { 0.0 });
        let total = 16.0 + 4.0 + 1.0 + 0.25;
        for (share, rank) in [(0.5, 1), (16.0 / total, 1), (0.8, 2), (0.95, 3), (1.0, 4)] {
            let sized = size_factor((&b).into(), &[], FactorSize::Energy(share)).unwrap();
            assert!(matches!(&sized.factor, Factor::LowRank(low) if low.rank() == rank), "{share}");
            assert!(sized.energy >= share - 1e-12);
        }
    }

    #[test]
    fn sizes_that_mean_nothing_are_errors() {
        for (size, name) in [
            (FactorSize::Rank(0), "rank"),
            (FactorSize::Energy(0.0), "energy"),
            (FactorSize::Energy(1.5), "energy"),
            (FactorSize::Energy(f64::NAN), "energy"),
        ] {
            let error = size.check().unwrap_err();
            assert!(matches!(error, JobError::Option { option, .. } if option == name), "{error}");
        }
    }
}
