//! LU decompositions for determinants, of matrices of every size.

use ndarray::ArrayRef2;

use super::halves::in_range;
use crate::decompose::Lu;
use crate::operator::Factor;
use crate::scalar::Scalar;
use crate::sums::{Extended, exponent, exponents, times_two_to, wide_exponent};

/// The LU decomposition of a matrix whose determinant is that of `lu` times `2^exponent`.
pub(super) struct ScaledLu<T> {
    pub(super) lu: Lu<T>,
    pub(super) exponent: i64,
    /// Rows and columns.
    pub(super) side: usize,
}

impl<T: Scalar> ScaledLu<T> {
    /// Factorises a square factor; the product of low-rank halves does not leave the range of the type.
    pub(super) fn of_factor(factor: &Factor<'_, T>) -> Self {
        let (factor, exponent) = in_range(factor);
        let lu = Self::new(&factor.dense());
        Self { exponent: lu.exponent + exponent * lu.side as i64, ..lu }
    }

    /// Factorises a square matrix. Where products of its elements, or the inverses of pivots, might leave the range of
    /// the type, its rows and columns are brought to the scale of one first; others are taken as they are.
    fn new(matrix: &ArrayRef2<T>) -> Self {
        let safe = wide_exponent::<T>() / 2;
        match exponents(matrix) {
            Some((low, high)) if low < -safe || high > safe => Self::of_scaled(matrix),
            _ => Self { lu: Lu::new(matrix.view()), exponent: 0, side: matrix.nrows() },
        }
    }

    fn of_scaled(matrix: &ArrayRef2<T>) -> Self {
        let largest = |exponents: &mut dyn Iterator<Item = i64>| exponents.max().unwrap_or(0);
        let of_rows: Vec<i64> =
            matrix.rows().into_iter().map(|row| largest(&mut row.iter().filter_map(|&x| exponent(x)))).collect();
        let in_column = |(row, &x): (&i64, &T)| exponent(x).map(|exponent| exponent - row);
        let columns = matrix.columns().into_iter();
        let of_columns: Vec<i64> =
            columns.map(|column| largest(&mut of_rows.iter().zip(column).filter_map(in_column))).collect();
        let mut scaled = matrix.to_owned();
        for ((i, j), value) in scaled.indexed_iter_mut() {
            *value = times_two_to(*value, -(of_rows[i] + of_columns[j]));
        }
        let exponent = of_rows.iter().chain(&of_columns).sum();
        Self { lu: Lu::new(scaled.view()), exponent, side: matrix.nrows() }
    }

    /// The determinant of the matrix.
    pub(super) fn determinant(&self) -> Extended<T> {
        let start = Extended::new(T::one()).times_two_to(self.exponent);
        let product = self.lu.pivots().fold(start, |product, pivot| product * Extended::new(pivot));
        if self.lu.is_odd() { product.negated() } else { product }
    }
}
