//! The rearranged matrix of a sum of products, in two halves, at a scale where squares stay in range.

use ndarray::Array2;

use crate::error::Result;
use crate::operator::{Factor, Kron};
use crate::scalar::Scalar;
use crate::sums::{Extended, exponents, times_two_to};

/// A term `weight·kron` of a sum, with all of its scale in the weight: the stored matrices have their largest values in
/// `[1/2, 1)`. Powers of two change no digit.
pub(crate) struct UnitTerm<T: Scalar> {
    pub(crate) weight: Extended<T>,
    pub(crate) kron: Kron<'static, T>,
    /// A factor without any number but zero, or a weight of zero.
    pub(crate) is_zero: bool,
}

impl<T: Scalar> UnitTerm<T> {
    pub(crate) fn new(weight: T, kron: Kron<'_, T>) -> Self {
        let (mut kron, mut exponent, mut is_zero) = (kron.into_owned(), 0, weight == T::zero());
        for mut part in kron.parts_mut() {
            match exponents(&part) {
                Some((_, high)) => {
                    part.mapv_inplace(|value| times_two_to(value, -high));
                    exponent += high;
                }
                None => is_zero = true,
            }
        }
        Self { weight: Extended::new(weight).times_two_to(exponent), kron, is_zero }
    }

    /// The exponent of the largest of some terms; `None` where all are zero.
    pub(crate) fn largest_exponent(terms: &[Self]) -> Option<i64> {
        terms.iter().filter(|term| !term.is_zero).map(|term| term.weight.exponent()).max()
    }
}

/// `R(Σ wₜ·Aₜ ⊗ Bₜ) = X·Y` with the columns `wₜ·vec(Aₜ)` of `X` and the rows `vec(Bₜ)` of `Y`, as a low-rank factor in
/// `f64`, and the exponent of two that it is to be multiplied by, an even one. The products split alike; weights and
/// values are finite.
///
/// Every term has a scale of its own, so that no factor leaves the range because of another, and the largest is about
/// one: what underflows is nothing beside it.
pub(crate) fn stacked<T: Scalar>(sum: &[(T, &Kron<'_, T>)]) -> Result<(Factor<'static, f64>, i64)> {
    let terms: Vec<_> = sum.iter().map(|(weight, kron)| UnitTerm::new(weight.to_f64_exact(), kron.cast())).collect();
    let largest = UnitTerm::largest_exponent(&terms).unwrap_or(0);
    let largest = largest + largest.rem_euclid(2);
    let size = |(_, kron): &(T, &Kron<'_, T>)| {
        let shape = kron.shape();
        (shape.m * shape.n, shape.p * shape.q)
    };
    let (of_a, of_b) = sum.first().map_or((0, 0), size);
    let (mut x, mut y) = (Array2::zeros((of_a, sum.len())), Array2::zeros((sum.len(), of_b)));
    for (t, term) in terms.iter().enumerate() {
        let weight = term.weight.times_two_to(-largest).value();
        x.column_mut(t).iter_mut().zip(&term.kron.a().dense()).for_each(|(x, a)| *x = weight * a);
        y.row_mut(t).iter_mut().zip(&term.kron.b().dense()).for_each(|(y, b)| *y = *b);
    }
    Ok((Factor::low_rank(x, y)?, largest))
}
