//! The rearranged matrix of a sum of products, in two halves, at a scale where squares stay in range.

use ndarray::Array2;

use crate::error::Result;
use crate::operator::{Factor, Kron};
use crate::scalar::Scalar;
use crate::sums::{Extended, exponents, times_two_to};

/// A product whose stored matrices have their largest values in `[1/2, 1)`, and the exponent of two that it is to be
/// multiplied by; `None` for a product of zeros. Powers of two change no digit.
pub(crate) fn unit_scaled<T: Scalar>(kron: Kron<'_, T>) -> (Kron<'static, T>, Option<i64>) {
    let (mut kron, mut exponent) = (kron.into_owned(), Some(0));
    for mut part in kron.parts_mut() {
        let high = exponents(&part).map(|(_, high)| high);
        exponent = exponent.zip(high).map(|(sum, high)| sum + high);
        if let Some(high) = high {
            part.mapv_inplace(|value| times_two_to(value, -high));
        }
    }
    (kron, exponent)
}

/// `R(Σ wₜ·Aₜ ⊗ Bₜ) = X·Y` with the columns `vec(Aₜ)` of `X` and the rows `vec(Bₜ)` of `Y`, as a low-rank factor in
/// `f64`, and the exponent of two that it is to be multiplied by, an even one. The products split alike; weights and
/// values are finite.
///
/// Every term has a scale of its own, so that no factor leaves the range because of another, and the largest is about
/// one: what underflows is nothing beside it.
pub(crate) fn stacked<T: Scalar>(sum: &[(T, &Kron<'_, T>)]) -> Result<(Factor<'static, f64>, i64)> {
    let units: Vec<_> = sum
        .iter()
        .map(|(weight, kron)| {
            let (unit, exponent) = unit_scaled(kron.cast::<f64>());
            let weight = Extended::new(weight.to_f64_exact());
            let weight = weight.times_two_to(exponent.unwrap_or(0));
            (unit, weight, exponent.is_some() && !weight.is_zero())
        })
        .collect();
    let largest = units.iter().filter(|(.., counts)| *counts).map(|(_, weight, _)| weight.exponent()).max();
    let largest = largest.map_or(0, |largest| largest + largest.rem_euclid(2));
    let size = |(_, kron): &(T, &Kron<'_, T>)| {
        let shape = kron.shape();
        (shape.m * shape.n, shape.p * shape.q)
    };
    let sizes = sum.first().map_or((0, 0), size);
    let (mut x, mut y) = (Array2::zeros((sizes.0, sum.len())), Array2::zeros((sum.len(), sizes.1)));
    for (t, (unit, weight, _)) in units.iter().enumerate() {
        let weight = weight.times_two_to(-largest).value();
        x.column_mut(t).iter_mut().zip(&unit.a().dense()).for_each(|(x, a)| *x = weight * a);
        y.row_mut(t).iter_mut().zip(&unit.b().dense()).for_each(|(y, b)| *y = *b);
    }
    Ok((Factor::low_rank(x, y)?, largest))
}
