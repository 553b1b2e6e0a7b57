//! The LU decomposition of a square matrix.

use lokr_decompose::{LuFactors, Memory, Storage, System};
use ndarray::{Array2, ArrayView2};

use super::door::door;
use super::finite::check_finite;
use super::magnitude::largest_magnitude;
use super::power_of_two::{Keep, PowerOfTwo, Scaled};
use super::scaled;
use super::singular::scaled_dense;
use crate::error::{KronError, Result};
use crate::operator::Factor;
use crate::scalar::Scalar;
use crate::sums::Extended;

/// `P·M = L·U` of a square matrix: by partial pivoting, or from a Cholesky decomposition.
#[derive(Debug, Clone)]
pub(crate) struct Lu<T> {
    factors: LuFactors<T>,
    /// What the matrix was divided by before it was factorised.
    power: PowerOfTwo,
    /// What it would have to be divided by further for results in the middle of the range. Pivots that are small beside
    /// the largest value might become zero by it, so the right-hand side is multiplied instead.
    rest: PowerOfTwo,
}

impl<T: Scalar> Lu<T> {
    /// Factorises; `2/3·n³` flops. The shape must have been checked.
    pub(crate) fn new(matrix: ArrayView2<'_, T>) -> Self {
        Self::from_scaled(matrix, scaled::lu(matrix))
    }

    /// That of a square factor that has an inverse; the product of low-rank halves does not leave the range of the
    /// type.
    ///
    /// # Errors
    /// [`KronError::NonFinite`]; [`KronError::Singular`] when a pivot is exactly zero, or the inner size of a low-rank
    /// factor is less than its side.
    pub(crate) fn of_factor(operation: &'static str, name: &'static str, factor: &Factor<'_, T>) -> Result<Self> {
        check_finite(operation, name, factor)?;
        let singular = KronError::Singular { operation, name };
        if factor.rank_bound() < factor.nrows() {
            return Err(singular);
        }
        let Scaled { result: matrix, power } = scaled_dense(factor);
        let lu = Self::new(matrix.view());
        if lu.is_singular() { Err(singular) } else { Ok(lu.times(power)) }
    }

    /// That of a matrix with a Cholesky factor; `n²` flops. `negative`: the factor is that of `−M`.
    pub(crate) fn of_cholesky(matrix: ArrayView2<'_, T>, lower: ArrayView2<'_, T>, negative: bool) -> Self {
        Self::from_scaled(matrix, scaled::lu_of_cholesky(lower, negative, largest_magnitude(matrix)))
    }

    /// That of a matrix times a power of two.
    pub(super) fn times(self, power: PowerOfTwo) -> Self {
        Self { power: self.power.and(power), ..self }
    }

    fn from_scaled(matrix: ArrayView2<'_, T>, Scaled { result: factors, power }: Scaled<LuFactors<T>>) -> Self {
        let total = PowerOfTwo::out_of_range(matrix, Keep::Squares);
        let rest = if total == PowerOfTwo::ONE { total } else { total.and(power.inverse()) };
        Self { factors, power, rest }
    }

    /// The number of rows.
    pub(crate) fn side(&self) -> usize {
        self.factors.pivots.len()
    }

    /// The diagonal of `U`.
    pub(crate) fn pivots(&self) -> impl Iterator<Item = T> {
        self.factors.pivots.iter().map(|&pivot| self.power.times(pivot))
    }

    /// The diagonal of `U` without the power of two by which it is to be multiplied.
    pub(super) fn scaled_pivots(&self) -> impl Iterator<Item = T> {
        self.factors.pivots.iter().copied()
    }

    /// The determinant.
    pub(crate) fn determinant(&self) -> Extended<T> {
        let sign = if self.is_odd() { -T::one() } else { T::one() };
        let power = self.power.exponent() * self.side() as i64;
        let start = Extended::new(sign).times_two_to(power);
        self.scaled_pivots().fold(start, |product, pivot| product * Extended::new(pivot))
    }

    /// Sign and logarithm of the determinant.
    pub(crate) fn log_determinant(&self) -> (T, T) {
        let sign = if self.is_odd() { -T::one() } else { T::one() };
        let of_power = self.power.exponent() as f64 * self.side() as f64 * std::f64::consts::LN_2;
        self.scaled_pivots().fold((sign, T::from_f64_lossy(of_power)), |(sign, ln), pivot| {
            (sign * pivot.signum(), ln + pivot.abs().ln())
        })
    }

    /// Whether a pivot is exactly zero, so that nothing can be solved.
    pub(crate) fn is_singular(&self) -> bool {
        self.factors.pivots.iter().any(|&pivot| pivot == T::zero())
    }

    /// Whether the rows were swapped an odd number of times, which turns the determinant's sign.
    pub(crate) fn is_odd(&self) -> bool {
        self.factors.odd
    }

    /// What solving leaves to be divided by; one for a matrix in the normal range.
    pub(crate) fn power(&self) -> PowerOfTwo {
        self.power.and(self.rest)
    }

    /// Memory for solving with any of these numbers of rows and columns.
    pub(crate) fn memory(sizes: &[(usize, usize)]) -> Memory {
        (door::<T>().lu_memory)(sizes)
    }

    /// Overwrites the columns of `rhs (n, …)`, which lies row after row, with `M⁻¹·rhs` or `M⁻ᵀ·rhs`, times
    /// [`Lu::power`]; `2·n²` flops per column.
    pub(crate) fn solve_scaled_row_major(&self, system: System, rhs: &mut [T], memory: &mut Memory) {
        self.solve_scaled(system, rhs, Storage::RowMajor, memory);
    }

    /// The same for a `rhs` that lies column after column.
    pub(crate) fn solve_scaled_column_major(&self, system: System, rhs: &mut [T], memory: &mut Memory) {
        self.solve_scaled(system, rhs, Storage::ColumnMajor, memory);
    }

    fn solve_scaled(&self, system: System, rhs: &mut [T], storage: Storage, memory: &mut Memory) {
        self.rest.scale(&mut *rhs);
        (door().lu_solve)(&self.factors, system, rhs, storage, memory);
    }

    /// `M⁻¹`; `2·n³` flops.
    pub(crate) fn inverse(&self) -> Array2<T> {
        let Scaled { mut result, power } = self.scaled_inverse();
        power.scale(&mut result);
        result
    }

    /// The same with the power of two by which it is to be multiplied.
    pub(crate) fn scaled_inverse(&self) -> Scaled<Array2<T>> {
        Scaled { result: (door().lu_inverse)(&self.factors), power: self.power.inverse() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::close;
    use lokr_testing::matrix;

    fn pivots_and_inverses_at_every_scale<T: Scalar>(scales: &[f64]) {
        for size in [1, 2, 5] {
            let plain = matrix::<T>(size, size, 1);
            let expected = Lu::new(plain.view());
            for &scale in scales {
                let scale = T::from_f64_lossy(scale);
                let lu = Lu::new((&plain * scale).view());
                let allowed = T::from_usize_lossy(20);
                lu.pivots().zip(expected.pivots()).for_each(|(x, y)| close(x / scale, y, allowed));
                let allowed = allowed * expected.inverse().iter().fold(T::one(), |max, x| max.max(x.abs() * x.abs()));
                let inverse = lu.inverse();
                inverse.iter().zip(&expected.inverse()).for_each(|(&x, &y)| close(x * scale, y, allowed));
            }
        }
    }

    #[test]
    fn pivots_and_inverses_at_every_scale_in_f32_and_f64() {
        pivots_and_inverses_at_every_scale::<f32>(&[1e-36, 1e-30, 1e30, 1e36]);
        pivots_and_inverses_at_every_scale::<f64>(&[1e-306, 1e-200, 1e200, 1e306]);
    }

    #[test]
    fn a_cholesky_factor_makes_the_same_systems() {
        let matrix = crate::test_support::positive::<f64>(4, 1);
        for scale in [1.0, -1.0, 1e-305, -1e300] {
            let scaled = &matrix * scale;
            let lower = crate::decompose::cholesky_lower((&scaled * scale.signum()).view()).unwrap();
            let lu = Lu::of_cholesky(scaled.view(), lower.view(), scale < 0.0);
            let (inverse, expected) = (lu.inverse() * scale, Lu::new(matrix.view()).inverse());
            crate::test_support::all_close(&inverse, &expected, 10.0);
            let determinant = Lu::new(scaled.view()).determinant() / lu.determinant();
            close(determinant.value(), 1.0, 10.0);
        }
    }

    #[test]
    fn values_of_both_ends_of_the_range_are_no_zero_pivots() {
        let lu = Lu::new(ndarray::array![[1e306, 0.0], [0.0, 1e-300]].view());
        assert!(!lu.is_singular());
        close(lu.pivots().last().unwrap() / 1e-300, 1.0, 1.0);
    }
}
