//! The eigenvalues of a product or a sum, one of each factor multiplied or added, and how far they may be wrong.

use std::ops::{Add, Mul};

use ndarray::{Array1, Zip};
use num_complex::Complex;

use super::LogDeterminant;
use crate::decompose::PowerOfTwo;
use crate::error::{KronError, Result};
use crate::memory;
use crate::scalar::Scalar;
use crate::sums::{Extended, exponent, times_two_to, wide_exponent};

/// How an eigenvalue of the whole comes from one of each factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Combine {
    /// That of `A₁ ⊗ … ⊗ A_k` is the product.
    Product,
    /// That of `A₁ ⊕ … ⊕ A_k` is the sum.
    Sum,
}

/// An eigenvalue: a real or a complex number.
pub(super) trait Eigenvalue<T>: Copy + Add<Output = Self> + Mul<Output = Self> {
    fn from_real(value: T) -> Self;

    /// Its magnitude.
    fn size(self) -> T;

    fn times_two_to(self, exponent: i64) -> Self;

    /// The sign of a real one; one of a complex one, whose conjugate is an eigenvalue too.
    fn sign(self) -> T;
}

impl<T: Scalar> Eigenvalue<T> for T {
    fn from_real(value: T) -> Self {
        value
    }

    fn size(self) -> T {
        self.abs()
    }

    fn times_two_to(self, exponent: i64) -> Self {
        times_two_to(self, exponent)
    }

    fn sign(self) -> T {
        if self == T::zero() { self } else { self.signum() }
    }
}

impl<T: Scalar> Eigenvalue<T> for Complex<T> {
    fn from_real(value: T) -> Self {
        Complex::new(value, T::zero())
    }

    fn size(self) -> T {
        self.norm()
    }

    fn times_two_to(self, exponent: i64) -> Self {
        Complex::new(times_two_to(self.re, exponent), times_two_to(self.im, exponent))
    }

    fn sign(self) -> T {
        if self.im == T::zero() { self.re.sign() } else { T::one() }
    }
}

/// The eigenvalues of one factor, of which the true ones are `power` times as large, with the error of each.
pub(super) struct OfFactor<V, T> {
    pub(super) values: Array1<V>,
    pub(super) residuals: Array1<T>,
    pub(super) power: PowerOfTwo,
}

impl<V, T: Scalar> OfFactor<V, T> {
    /// Eigenvalues of which nothing but the values is wanted.
    pub(super) fn exact(values: Array1<V>, power: PowerOfTwo) -> Self {
        Self { residuals: Array1::zeros(values.len()), values, power }
    }

    fn map<E>(&self, element: impl Fn(V, T) -> E) -> Vec<E>
    where
        V: Copy,
    {
        self.values.iter().zip(&self.residuals).map(|(&value, &residual)| element(value, residual)).collect()
    }
}

/// The eigenvalues of a product or a sum, in the order of the columns of `Q₁ ⊗ … ⊗ Q_k`.
#[derive(Debug, Clone)]
pub(super) struct Spectrum<V, T> {
    pub(super) values: Array1<V>,
    /// How far each value may be from an eigenvalue: what the decompositions left over, measured, and roundings of the
    /// value itself.
    uncertainty: Array1<T>,
    /// What the largest magnitudes of the factors' eigenvalues make together: the measure of rounding errors.
    magnitude: T,
    /// The sum of the factors' sides.
    sides: usize,
}

impl<V: Eigenvalue<T>, T: Scalar> Spectrum<V, T> {
    /// # Errors
    /// [`KronError::OutOfMemory`] for more values than memory holds.
    pub(super) fn new(operation: &'static str, combine: Combine, factors: &[OfFactor<V, T>]) -> Result<Self> {
        let sides = factors.iter().map(|of| of.values.len()).sum();
        let (values, uncertainty, magnitude) = match combine {
            Combine::Product => products(operation, factors)?,
            Combine::Sum => sums(operation, factors)?,
        };
        Ok(Self { values, uncertainty, magnitude, sides })
    }

    /// The values, one after the other.
    pub(super) fn as_slice(&self) -> &[V] {
        self.values.as_slice().unwrap_or(&[])
    }

    pub(super) fn sides(&self) -> T {
        T::from_usize_lossy(self.sides)
    }

    /// The largest magnitude of an eigenvalue, or a little more.
    pub(super) fn magnitude(&self) -> T {
        self.magnitude
    }

    /// The eigenvalues of the whole with `c` added, by which a system is divided; `None` when one of them is zero up to
    /// rounding.
    pub(super) fn divisors(&self, c: T) -> Option<Array1<V>> {
        let divisors = self.values.mapv(|value| value + V::from_real(c));
        let regular = divisors.iter().zip(&self.uncertainty).all(|(divisor, &uncertain)| {
            let is_zero = divisor.size() <= self.zero(uncertain, c);
            !is_zero
        });
        regular.then_some(divisors)
    }

    /// Whether the eigenvalue at this place is zero up to rounding.
    pub(super) fn is_zero(&self, index: usize) -> bool {
        self.values[index].size() <= self.zero(self.uncertainty[index], T::zero())
    }

    /// What counts as zero: the rounding error of the decomposition, or less where that is known to be more exact.
    fn zero(&self, uncertain: T, c: T) -> T {
        let least = self.sides() * T::epsilon() * (self.magnitude + c.abs());
        least.min(self.sides() * (uncertain + T::epsilon() * c.abs()))
    }

    /// The determinant of the whole with `c` added to its diagonal: sign and magnitude.
    fn product(&self, c: T) -> (T, Extended<T>) {
        let start = (T::one(), Extended::new(T::one()));
        self.values.iter().fold(start, |(sign, product), &value| {
            let value = value + V::from_real(c);
            (sign * value.sign(), product * Extended::new(value.size()))
        })
    }

    pub(super) fn determinant(&self, c: T) -> T {
        let (sign, product) = self.product(c);
        sign * product.value()
    }

    pub(super) fn log_determinant(&self, c: T) -> LogDeterminant<T> {
        let (sign, product) = self.product(c);
        LogDeterminant { sign, ln_abs: product.ln() }
    }
}

impl<T: Scalar> Spectrum<T, T> {
    /// That of the inverse, or `None` where there is none.
    pub(super) fn inverse(&self) -> Option<Self> {
        let divisors = self.divisors(T::zero())?;
        let values = divisors.mapv(|value| T::one() / value);
        let error = |&value: &T, &uncertain: &T| (uncertain / value.abs() + T::epsilon()) / value.abs();
        let uncertainty = Zip::from(&divisors).and(&self.uncertainty).map_collect(error);
        let magnitude = values.iter().fold(T::zero(), |largest, value| largest.max(value.abs()));
        Some(Self { values, uncertainty, magnitude, sides: self.sides })
    }
}

/// Values with their errors, and the largest magnitude.
type Combined<V, T> = (Array1<V>, Array1<T>, T);

fn sums<V: Eigenvalue<T>, T: Scalar>(operation: &'static str, factors: &[OfFactor<V, T>]) -> Result<Combined<V, T>> {
    let of_factors = factors.iter().map(|of| {
        let power = of.power.exponent();
        of.map(|value, residual| {
            (value.times_two_to(power), times_two_to(residual + T::epsilon() * value.size(), power))
        })
    });
    let magnitude = of_factors.clone().map(|own| largest(own.iter().map(|(value, _)| *value))).sum();
    let (values, uncertainty) = all(operation, of_factors, |(v, u), (x, r)| (v + x, u + r))?.into_iter().unzip();
    Ok((Array1::from_vec(values), Array1::from_vec(uncertainty), magnitude))
}

fn products<V: Eigenvalue<T>, T: Scalar>(
    operation: &'static str,
    factors: &[OfFactor<V, T>],
) -> Result<Combined<V, T>> {
    // Magnitudes of at most one multiply without overflow, whatever their number; the powers of two come last, where
    // they cancel if they can.
    let ranges = factors.iter().map(|of| (range(&of.values), of));
    let of_factors = ranges
        .clone()
        .map(|((_, high), of)| of.map(|value, residual| (value.times_two_to(-high), times_two_to(residual, -high))));
    let power: i64 = ranges.clone().map(|((_, high), of)| of.power.exponent() + high).sum();
    let ones = of_factors.clone().map(|own| largest(own.iter().map(|(value, _)| *value)));
    let magnitude = times_two_to(ones.fold(T::one(), |product, largest| product * largest), power);
    let pairs = all(operation, of_factors, |(v, u), (x, r)| (v * x, u * x.size() + v.size() * r))?;
    let (mut values, mut uncertainty): (Vec<V>, Vec<T>) = pairs.into_iter().unzip();

    let roundings = T::epsilon() * T::from_usize_lossy(factors.len().saturating_sub(1).max(1));
    uncertainty.iter_mut().zip(&values).for_each(|(u, v)| *u = times_two_to(*u + roundings * v.size(), power));
    let lowest: i64 = ranges.map(|((low, high), _)| low - high).sum();
    if lowest > -wide_exponent::<T>() {
        values.iter_mut().for_each(|value| *value = value.times_two_to(power));
    } else {
        values = with_exponents(operation, factors)?;
    }
    Ok((values.into(), uncertainty.into(), magnitude))
}

/// The products of values that differ so much that some leave the range on the way.
fn with_exponents<V: Eigenvalue<T>, T: Scalar>(operation: &'static str, factors: &[OfFactor<V, T>]) -> Result<Vec<V>> {
    let normal = |value: V, power: i64| {
        let own = exponent(value.size()).unwrap_or(0);
        (value.times_two_to(-own), power + own)
    };
    let of_factors = factors.iter().map(|of| of.map(|value, _| normal(value, of.power.exponent())));
    let products = all(operation, of_factors, |(v, e), (x, f)| normal(v * x, e + f))?;
    Ok(products.into_iter().map(|(value, power)| value.times_two_to(power)).collect())
}

/// One of each list, combined, for all combinations, the last list's varying first.
fn all<E: Copy>(
    operation: &'static str,
    lists: impl Iterator<Item = Vec<E>>,
    combine: impl Fn(E, E) -> E,
) -> Result<Vec<E>> {
    let lists: Vec<_> = lists.collect();
    let sizes: Vec<_> = lists.iter().map(Vec::len).collect();
    // All of it is asked for before the first of the products, which become longer and longer.
    let _: Vec<E> = memory::list(operation, KronError::checked_product(operation, &sizes)?)?;
    let mut lists = lists.into_iter();
    let mut all = lists.next().unwrap_or_default();
    for list in lists {
        let mut next = memory::list(operation, all.len() * list.len())?;
        for &x in &all {
            next.extend(list.iter().map(|&y| combine(x, y)));
        }
        all = next;
    }
    Ok(all)
}

fn largest<V: Eigenvalue<T>, T: Scalar>(values: impl Iterator<Item = V>) -> T {
    values.fold(T::zero(), |largest, value| largest.max(value.size()))
}

/// The smallest and the largest exponent of the values that have one.
fn range<V: Eigenvalue<T>, T: Scalar>(values: &Array1<V>) -> (i64, i64) {
    let exponents = values.iter().filter_map(|value| exponent(value.size()));
    let range = exponents.fold(None, |range: Option<(i64, i64)>, exponent| {
        let (low, high) = range.unwrap_or((exponent, exponent));
        Some((low.min(exponent), high.max(exponent)))
    });
    range.unwrap_or((0, 0))
}
