//! Factors with exponents of their own: what is made of two factors may leave the range of the type where the whole
//! product does not.

use super::halves::in_range;
use crate::decompose::{Keep, PowerOfTwo, largest_magnitude};
use crate::error::Result;
use crate::operator::{Factor, FactorList, KronBase};
use crate::scalar::Scalar;
use crate::sums::{exponents, times_two_to, wide_exponent};

/// `factor · 2^exponent`.
pub(super) struct ScaledFactor<'a, T> {
    pub(super) factor: Factor<'a, T>,
    pub(super) exponent: i64,
}

impl<'a, T: Scalar> ScaledFactor<'a, T> {
    pub(super) fn new(factor: Factor<'a, T>) -> Self {
        Self { factor, exponent: 0 }
    }

    /// The same in memory of its own.
    pub(super) fn to_owned(&self) -> ScaledFactor<'static, T> {
        ScaledFactor { factor: self.factor.clone().into_owned(), exponent: self.exponent }
    }

    /// The same with a factor whose squares are values of the type.
    fn centred(&self) -> ScaledFactor<'_, T> {
        let (factor, exponent) = match &self.factor {
            Factor::Full(matrix) => {
                let power = PowerOfTwo::out_of_range(matrix.view(), Keep::Squares);
                (Factor::from(power.inverse().times_matrix(matrix.view())), power.exponent())
            }
            Factor::LowRank(_) => in_range(&self.factor),
        };
        ScaledFactor { factor, exponent: self.exponent.saturating_add(exponent) }
    }

    /// What `product`, which is linear in both, makes of two factors: as they are where that stays in range, else of
    /// centred ones.
    pub(super) fn combined(
        &self,
        other: &ScaledFactor<'_, T>,
        product: impl Fn(&Factor<'_, T>, &Factor<'_, T>) -> Result<Factor<'static, T>>,
    ) -> Result<ScaledFactor<'static, T>> {
        let of = |x: &ScaledFactor<'_, T>, y: &ScaledFactor<'_, T>| {
            let exponent = x.exponent.saturating_add(y.exponent);
            Ok(ScaledFactor { factor: product(&x.factor, &y.factor)?, exponent })
        };
        let plain = of(self, other)?;
        if plain.is_in_range() { Ok(plain) } else { of(&self.centred(), &other.centred()) }
    }

    /// Whether nothing overflowed, and what underflowed is nothing beside the largest values.
    fn is_in_range(&self) -> bool {
        let least = T::min_positive_value() / T::epsilon();
        self.factor.parts().map(largest_magnitude).all(|largest| largest >= least && largest < T::infinity())
    }
}

/// The product of what is made of the name and the factor in every place.
///
/// Powers of two go to the factors that they belong to, or are shared by all where one of these would leave the range.
pub(super) fn of_factors<T: Scalar, L: FactorList<Elem = T>>(
    k: &KronBase<L>,
    dim: (usize, usize),
    mut made: impl FnMut(&'static str, &Factor<'_, T>) -> Result<ScaledFactor<'static, T>>,
) -> Result<KronBase<L::Like<'static, T>>> {
    let mut exponents = Vec::new();
    let mut product = k.try_map(dim, |name, factor| {
        let ScaledFactor { factor, exponent } = made(name, factor)?;
        exponents.push(exponent);
        Ok(factor)
    })?;
    if exponents.iter().any(|&exponent| exponent != 0) {
        let shifts = shifts(product.factors(), &exponents);
        let of_parts: Vec<i64> = product.factors().iter().zip(shifts).flat_map(in_parts).collect();
        for (mut part, shift) in product.parts_mut().zip(of_parts) {
            part.mapv_inplace(|value| times_two_to(value, shift));
        }
    }
    Ok(product)
}

/// [`of_factors`] from the factors of two products, in pairs. There are as many in both.
pub(super) fn of_pairs<T: Scalar, L: FactorList<Elem = T>, M: FactorList<Elem = T>>(
    k: &KronBase<L>,
    other: &KronBase<M>,
    dim: (usize, usize),
    product: impl Fn(&Factor<'_, T>, &Factor<'_, T>) -> Result<Factor<'static, T>>,
) -> Result<KronBase<L::Like<'static, T>>> {
    let mut others = other.factors().iter();
    of_factors(k, dim, |_, factor| {
        let other = others.next().unwrap_or(factor);
        ScaledFactor::new(factor.view()).combined(&ScaledFactor::new(other.view()), &product)
    })
}

/// The power of two that each factor is multiplied by.
fn shifts<T: Scalar>(factors: &[Factor<'_, T>], exponents: &[i64]) -> Vec<i64> {
    // Largest values, as exponents; a factor of zeros, or of nothing finite, has none.
    let highs: Vec<Option<i64>> = factors.iter().map(highest).collect();
    let size = |(high, exponent): (&Option<i64>, &i64)| high.map_or(0, |high| high.saturating_add(*exponent));
    let sizes = || highs.iter().zip(exponents).map(size);
    let stays = |size: i64| size.abs() < wide_exponent::<T>();
    if sizes().all(stays) {
        return exponents.to_vec();
    }
    if highs.contains(&None) {
        // Zero, or not finite, whatever the others are; but an infinite one would make NaN of zero.
        return sizes().zip(exponents).map(|(size, &exponent)| if stays(size) { exponent } else { 0 }).collect();
    }
    let (total, count) = (sizes().fold(0, i64::saturating_add), highs.len() as i64);
    let mean = total / count;
    let mut rest = total - mean * count;
    let shift = |high: &Option<i64>| mean - high.unwrap_or(0) + std::mem::take(&mut rest);
    highs.iter().map(shift).collect()
}

/// The exponent of a factor's largest value, or of what its halves' largest values make.
fn highest<T: Scalar>(factor: &Factor<'_, T>) -> Option<i64> {
    factor.parts().map(|part| Some(exponents(&part)?.1)).sum()
}

/// A power of two for each stored matrix of a factor, half of it for a half.
fn in_parts<T: Scalar>((factor, shift): (&Factor<'_, T>, i64)) -> Vec<i64> {
    match factor {
        Factor::Full(_) => vec![shift],
        Factor::LowRank(_) => vec![shift / 2, shift - shift / 2],
    }
}
