//! The LU decomposition of a square matrix.

use ndarray::{Array2, ArrayView2};

use super::dense::{LuFactors, Memory, Storage};
use super::door::door;
use super::power_of_two::{Keep, PowerOfTwo, Scaled};
use super::scaled;
use crate::scalar::Scalar;

/// `P·M = L·U` of a square matrix, by partial pivoting.
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
        let Scaled { result: factors, power } = scaled::lu(matrix);
        let total = PowerOfTwo::out_of_range(matrix, Keep::Squares);
        let rest = if total == PowerOfTwo::ONE { total } else { total.and(power.inverse()) };
        Self { factors, power, rest }
    }

    /// The diagonal of `U`.
    pub(crate) fn pivots(&self) -> impl Iterator<Item = T> {
        self.factors.pivots.iter().map(|&pivot| self.power.times(pivot))
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

    /// Memory for solving with `columns` right-hand sides.
    pub(crate) fn memory(&self, columns: usize) -> Memory {
        (door().lu_memory)(&self.factors, columns)
    }

    /// Overwrites the columns of `rhs (n, …)`, which lies row after row, with `M⁻¹·rhs` times [`Lu::power`]; `2·n²`
    /// flops per column.
    pub(crate) fn solve_scaled_row_major(&self, rhs: &mut [T], memory: &mut Memory) {
        self.solve_scaled(rhs, Storage::RowMajor, memory);
    }

    /// The same for a `rhs` that lies column after column.
    pub(crate) fn solve_scaled_column_major(&self, rhs: &mut [T], memory: &mut Memory) {
        self.solve_scaled(rhs, Storage::ColumnMajor, memory);
    }

    fn solve_scaled(&self, rhs: &mut [T], storage: Storage, memory: &mut Memory) {
        self.rest.scale(&mut *rhs);
        (door().lu_solve)(&self.factors, rhs, storage, memory);
    }

    /// `M⁻¹`; `2·n³` flops.
    pub(crate) fn inverse(&self) -> Array2<T> {
        let mut inverse = (door().lu_inverse)(&self.factors);
        self.power.inverse().scale(&mut inverse);
        inverse
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
    fn values_of_both_ends_of_the_range_are_no_zero_pivots() {
        let lu = Lu::new(ndarray::array![[1e306, 0.0], [0.0, 1e-300]].view());
        assert!(!lu.is_singular());
        close(lu.pivots().last().unwrap() / 1e-300, 1.0, 1.0);
    }
}
