//! Rank and condition number.

use std::cmp::Ordering;

use ndarray::Array1;

use crate::decompose::scaled_singular_values;
use crate::error::{KronError, Result};
use crate::operator::{Factor, FactorList, KronBase};
use crate::scalar::Scalar;

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// The numerical rank, `rank(A ⊗ B) = rank A · rank B`.
    ///
    /// A factor's rank counts its singular values above `max(rows, cols) · ε · σ₁`, the usual tolerance (that of NumPy
    /// and MATLAB), applied to each factor by itself: what is rounding error in one factor stays rounding error
    /// whatever the other factor's size.
    ///
    /// # Cost
    /// The singular values of the factors, for two a few times `m·n·min(m, n) + p·q·min(p, q)` flops; low-rank factors
    /// by their halves.
    /// # Errors
    /// [`KronError::NonFinite`] when a factor holds a value that is not finite;
    /// [`KronError::NoConvergence`].
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronChain};
    /// # use ndarray::array;
    /// let a = array![[1.0, 2.0], [3.0, 4.0]];
    /// let k = Kron::new(&a, array![[1.0, 2.0], [2.0, 4.0]])?;
    /// assert_eq!(k.rank()?, 2 * 1);
    /// assert_eq!(KronChain::power(&a, 40)?.rank()?, 1 << 40);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn rank(&self) -> Result<usize> {
        self.named().try_fold(1, |rank, (name, factor)| {
            let values = scaled_singular_values("rank", name, factor)?.result;
            let threshold = threshold(factor, &values);
            Ok(rank * values.iter().filter(|&&value| value > threshold).count())
        })
    }

    /// How many singular values of the product are greater than `tolerance` times the largest; zero for a zero matrix.
    /// Here the tolerance holds for the products `σᵢ(A)·σⱼ(B)`, as if the dense matrix had been asked.
    ///
    /// # Cost
    /// That of [`KronBase::rank`]. Of many factors the products are not listed: those of one half of the factors are
    /// counted against those of the other, each half without what is too small already, and equal ones once.
    /// # Errors
    /// [`KronError::NonFinite`] when a factor holds a value that is not finite; [`KronError::NoConvergence`];
    /// [`KronError::OutOfMemory`] when even half of the factors have too many products.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let d = array![[1.0, 0.0], [0.0, 0.125]]; // d ⊗ d has the singular values 1, 1/8, 1/8, 1/64
    /// let k = Kron::new(&d, &d)?;
    /// assert_eq!(k.rank_with_tolerance(0.1)?, 3);
    /// assert_eq!(k.rank_with_tolerance(0.01)?, 4);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn rank_with_tolerance(&self, tolerance: T) -> Result<usize> {
        let values = self.singular_values_of_factors("rank_with_tolerance")?;
        let Some(values) = values.iter().map(relative).collect::<Option<Vec<_>>>() else { return Ok(0) };
        if tolerance == T::zero() {
            // Products may be too small for the type, and are not zero for that.
            let counts = values.iter().map(|values| values.iter().filter(|&&value| value > T::zero()).count());
            return Ok(counts.product());
        }
        let (mut few, mut many) = (Counted::one(), Counted::one());
        for values in values {
            few = few.times(&values, tolerance)?;
            if few.0.len() > many.0.len() {
                std::mem::swap(&mut few, &mut many);
            }
        }
        Ok(few.pairs_above(&many, tolerance))
    }

    /// The condition number in the 2-norm: largest over smallest of the `min(m·p, n·q)` singular values, which is
    /// `cond(A)·cond(B)`, or infinity when one of them is zero.
    ///
    /// The product of a tall and a wide factor always has singular values that are zero, and so has one with a low-rank
    /// factor whose inner size is less than its sides.
    ///
    /// # Errors
    /// [`KronError::NonFinite`] when a factor holds a value that is not finite;
    /// [`KronError::NoConvergence`].
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[4.0, 0.0], [0.0, 2.0]], array![[0.0, 5.0], [1.0, 0.0]])?;
    /// assert!((k.condition_number()? - 2.0 * 5.0_f64).abs() < 1e-14);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn condition_number(&self) -> Result<T> {
        let values = self.singular_values_of_factors("condition_number")?;
        let (rows, cols) = self.dim();
        if values.iter().map(Array1::len).product::<usize>() < rows.min(cols) {
            return Ok(T::infinity());
        }
        let condition = |values: &Array1<T>| match (values.first(), values.last()) {
            (Some(&largest), Some(&least)) if least > T::zero() => largest / least,
            _ => T::infinity(),
        };
        Ok(values.iter().map(condition).fold(T::one(), |product, condition| product * condition))
    }

    /// The singular values of every factor, descending, each list up to a power of two.
    fn singular_values_of_factors(&self, operation: &'static str) -> Result<Vec<Array1<T>>> {
        self.named().map(|(name, factor)| Ok(scaled_singular_values(operation, name, factor)?.result)).collect()
    }
}

/// Singular values up to this are taken for rounding errors of zero: `max(rows, cols) · ε · σ₁`.
pub(super) fn threshold<T: Scalar>(factor: &Factor<'_, T>, values: &Array1<T>) -> T {
    let (rows, cols) = factor.dim();
    let largest = values.first().copied().unwrap_or_else(T::zero);
    T::from_usize_lossy(rows.max(cols)) * T::epsilon() * largest
}

/// Numbers up to one, descending, each with how often it is there.
struct Counted<T>(Vec<(T, usize)>);

impl<T: Scalar> Counted<T> {
    fn one() -> Self {
        Self(vec![(T::one(), 1)])
    }

    /// The products above `least` with values up to one, which descend.
    fn times(&self, values: &Array1<T>, least: T) -> Result<Self> {
        let (operation, shape) = ("rank_with_tolerance", (self.0.len(), values.len()));
        let mut products = Vec::new();
        let reserved = products.try_reserve(self.0.len().saturating_mul(values.len()));
        reserved.map_err(|_| KronError::OutOfMemory { operation, shape })?;
        for &(number, count) in &self.0 {
            let above = values.iter().map(|&value| (number * value, count)).take_while(|&(product, _)| product > least);
            products.extend(above);
        }
        products.sort_unstable_by(|(x, _), (y, _)| y.partial_cmp(x).unwrap_or(Ordering::Equal));
        products.dedup_by(|(again, more), (kept, count)| {
            let same = again == kept;
            *count += if same { *more } else { 0 };
            same
        });
        Ok(Self(products))
    }

    /// How many products of one number of either are above `least`.
    fn pairs_above(&self, other: &Self, least: T) -> usize {
        let up_to: Vec<usize> = std::iter::once(0)
            .chain(other.0.iter().scan(0, |sum, &(_, count)| {
                *sum += count;
                Some(*sum)
            }))
            .collect();
        let above = |number: T| up_to[other.0.partition_point(|&(partner, _)| number * partner > least)];
        self.0.iter().map(|&(number, count)| count * above(number)).sum()
    }
}

/// Descending values divided by the first; `None` when there is none or it is zero.
fn relative<T: Scalar>(values: &Array1<T>) -> Option<Array1<T>> {
    values.first().copied().filter(|&largest| largest > T::zero()).map(|largest| values / largest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decompose::reference;
    use crate::operator::{Kron, KronChain};
    use crate::test_support::{all_chains, cases, close, kron_of, stretched};
    use lokr_testing::matrix;
    use ndarray::{Array2, array};

    fn has_the_rank_of<T: Scalar, L: FactorList<Elem = T>>(k: &KronBase<L>, dense: &Array2<T>) {
        let values = reference::singular_values(dense);
        let (rows, cols) = dense.dim();
        let tolerance = T::from_usize_lossy(rows.max(cols)) * T::epsilon() * T::from_f64_lossy(8.0);
        let expected = values.iter().filter(|&&value| value > tolerance * values[0]).count();
        assert_eq!(k.rank().unwrap(), expected, "{k}");
        assert_eq!(k.rank_with_tolerance(tolerance).unwrap(), expected, "{k}");
        let half = T::from_f64_lossy(0.5);
        let above_half = values.iter().filter(|&&value| value > half * values[0]).count();
        assert_eq!(k.rank_with_tolerance(half).unwrap(), above_half, "{k}");
        let condition = k.condition_number().unwrap();
        if expected < values.len() {
            assert!(condition > T::one() / tolerance, "{k}: {condition}");
        } else {
            let expected = values[0] / values[values.len() - 1];
            close(condition / expected, T::one(), T::from_usize_lossy(dense.len()) * expected);
        }
    }

    fn agrees_with_the_dense_singular_values<T: Scalar>(large: f64) {
        for (k, dense) in cases::<T>(&[(3, 2, 5, 7), (1, 4, 3, 1), (2, 2, 3, 3), (1, 1, 1, 1)]) {
            has_the_rank_of(&k, &dense);
        }
        for (chain, dense) in all_chains::<T>() {
            for scale in [1.0, large, 1.0 / large].map(T::from_f64_lossy) {
                has_the_rank_of(&stretched(&chain, scale), &dense);
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_singular_values_at_every_scale() {
        agrees_with_the_dense_singular_values::<f32>(1e30);
        agrees_with_the_dense_singular_values::<f64>(1e200);
    }

    #[test]
    fn more_singular_values_than_memory_holds_are_counted() {
        // 2⁻ⁱ, each as often as i ones can be placed among 40.
        let half = Array2::from_diag(&array![1.0, 0.5]);
        let chain = KronChain::power(&half, 40).unwrap();
        assert_eq!(chain.rank(), Ok(1 << 40));
        assert_eq!(chain.rank_with_tolerance(0.2), Ok(1 + 40 + 40 * 39 / 2));
        assert_eq!(chain.rank_with_tolerance(0.0), Ok(1 << 40));
        assert_eq!(chain.rank_with_tolerance(1.0), Ok(0));
        assert_eq!(KronChain::power(&Array2::<f32>::eye(2), 60).unwrap().rank_with_tolerance(0.5), Ok(1 << 60));
        close(chain.condition_number().unwrap() / 2.0_f64.powi(40), 1.0, 40.0);
        let steep = Array2::from_diag(&array![1.0, 1e-200]);
        assert_eq!(Kron::new(&steep, &steep).unwrap().rank_with_tolerance(0.0), Ok(4));
        // All different: 24 factors, whose halves have 4096 products each.
        let factors = (0..24).map(|i| Array2::from_diag(&array![1.0, 1.0 - 0.01 * f64::from(i)]));
        let chain = KronChain::new(factors).unwrap();
        assert_eq!(chain.rank_with_tolerance(1e-9), Ok(1 << 24));
        let above_half = |tolerance: f64| chain.rank_with_tolerance(tolerance).unwrap();
        assert!(above_half(0.5) < above_half(0.4) && above_half(0.5) > 24);
    }

    #[test]
    fn condition_number_agrees_with_the_dense_one() {
        for (m, n, p, q) in [(3, 2, 5, 4), (2, 3, 4, 7), (3, 3, 2, 2), (1, 1, 5, 3)] {
            let k = kron_of::<f64>(m, n, p, q);
            let values = reference::singular_values(&k.to_dense());
            let expected = values[0] / values[values.len() - 1];
            close(k.condition_number().unwrap(), expected, expected * expected);
        }
    }

    #[test]
    fn condition_is_infinite_where_a_singular_value_is_zero() {
        let tall_and_wide = kron_of::<f64>(3, 1, 2, 5);
        let low = Kron::new(matrix(2, 2, 1), Factor::low_rank(matrix(3, 2, 2), matrix(2, 3, 3)).unwrap()).unwrap();
        let zero = Kron::new(Array2::<f64>::zeros((2, 2)), matrix(2, 2, 1)).unwrap();
        for k in [tall_and_wide, low, zero] {
            assert_eq!(k.condition_number(), Ok(f64::INFINITY));
        }
    }

    fn scale_does_not_matter<T: Scalar>(scales: &[f64]) {
        // Singular values 5 and 2; 1 and 1/8; and a matrix of rank one up to rounding.
        let number = T::from_f64_lossy;
        let a = array![[number(3.0), number(0.0)], [number(4.0), number(0.0)], [number(0.0), number(2.0)]];
        let b = array![[number(0.0), number(0.125)], [number(1.0), number(0.0)]];
        let one = matrix::<T>(4, 1, 3).dot(&matrix(1, 3, 4));
        for &of_a in scales {
            for &of_b in scales {
                let (of_a, of_b) = (number(of_a), number(of_b));
                let k = Kron::new(&a * of_a, &b * of_b).unwrap();
                close(k.condition_number().unwrap(), number(20.0), number(20.0));
                assert_eq!(k.rank(), Ok(4));
                // 1, 0.4, 0.125, 0.05
                for (tolerance, expected) in [(0.5, 1), (0.3, 2), (0.1, 3), (0.01, 4)] {
                    assert_eq!(k.rank_with_tolerance(number(tolerance)), Ok(expected));
                }
                assert_eq!(Kron::new(&one * of_a, &b * of_b).unwrap().rank(), Ok(2));
                let low =
                    Factor::low_rank(&a * of_a, array![[T::one(), T::zero()], [T::zero(), T::one()]] * of_b).unwrap();
                let low = Kron::new(low, &b).unwrap();
                assert_eq!((low.rank(), low.rank_with_tolerance(number(0.1))), (Ok(4), Ok(3)));
                close(low.condition_number().unwrap(), number(20.0), number(20.0));
            }
        }
    }

    #[test]
    fn scale_does_not_matter_in_f32_and_f64() {
        scale_does_not_matter::<f32>(&[1.0, 1e-30, 1e-25, 1e-36, 1e19, 1e30, 1e37]);
        scale_does_not_matter::<f64>(&[1.0, 1e-200, 1e-290, 1e-305, 1e154, 1e200, 1e307]);
    }

    #[test]
    fn subnormal_factors() {
        let k = Kron::new(Array2::from_diag(&array![4e-310, 2e-310]), array![[1e-45_f64]]).unwrap();
        close(k.condition_number().unwrap(), 2.0, 2.0);
        assert_eq!(k.rank(), Ok(2));
        let k = Kron::new(Array2::from_diag(&array![8e-45_f32, 4e-45]), array![[1.0_f32]]).unwrap();
        close(k.condition_number().unwrap(), 2.0, 2.0);
    }

    #[test]
    fn a_zero_factor_has_rank_zero() {
        let k = Kron::new(Array2::<f64>::zeros((2, 3)), matrix(4, 3, 1)).unwrap();
        assert_eq!((k.rank(), k.rank_with_tolerance(0.0)), (Ok(0), Ok(0)));
        let none = Factor::low_rank(Array2::<f64>::zeros((3, 0)), Array2::zeros((0, 5))).unwrap();
        let k = Kron::new(matrix(2, 2, 1), none).unwrap();
        assert_eq!((k.rank(), k.rank_with_tolerance(0.0)), (Ok(0), Ok(0)));
        assert_eq!(k.condition_number(), Ok(f64::INFINITY));
    }

    #[test]
    fn values_that_are_not_finite_are_an_error() {
        let k = Kron::new(matrix(2, 2, 1), array![[1.0, f64::INFINITY]]).unwrap();
        let error = |operation| KronError::NonFinite { operation, argument: "B", count: 1 };
        assert_eq!(k.rank(), Err(error("rank")));
        assert_eq!(k.rank_with_tolerance(0.1), Err(error("rank_with_tolerance")));
        assert_eq!(k.condition_number(), Err(error("condition_number")));
        let chain = KronChain::new([array![[1.0]], array![[0.0]], array![[f64::NAN]]]).unwrap();
        let error = KronError::NonFinite { operation: "rank_with_tolerance", argument: "A₃", count: 1 };
        assert_eq!(chain.rank_with_tolerance(0.1), Err(error));
    }
}
