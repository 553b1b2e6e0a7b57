//! How near to singular is a decomposed matrix?

use lokr_decompose::System;
use ndarray::{Array1, Array2, ArrayView2, Axis, CowArray, Ix2};

use super::lu::Lu;
use super::power_of_two::{PowerOfTwo, Scaled};
use super::singular::scaled_dense;
use crate::operator::Factor;
use crate::scalar::Scalar;

impl<T: Scalar> Lu<T> {
    /// `1/(‖M‖₁·‖M⁻¹‖₁)` of the decomposed factor, with an estimate of the second norm: from below, seldom by more than
    /// a factor of three. About `12·n²` flops.
    pub(crate) fn reciprocal_condition(&self, factor: &Factor<'_, T>) -> T {
        self.reciprocal_condition_of(&scaled_dense(factor))
    }

    fn reciprocal_condition_of(&self, Scaled { result: matrix, power }: &Scaled<CowArray<'_, T, Ix2>>) -> T {
        let to_ours = power.and(self.power().inverse());
        one_norm(to_ours.times_matrix(matrix.view()).view()).recip() / self.norm_of_inverse()
    }

    /// Whether the decomposed factor is singular up to rounding. Next to nothing where the pivots are of one size.
    pub(crate) fn is_nearly_singular(&self, factor: &Factor<'_, T>) -> bool {
        self.has_small_pivots() && self.is_bad(&scaled_dense(factor), &[Axis(0), Axis(1)], T::epsilon())
    }

    /// Whether the reciprocal condition number of the decomposed matrix is less than `tolerance`, and remains so when
    /// its lines along these axes are multiplied by powers of two that bring them to the same size, one axis after the
    /// other.
    pub(super) fn is_bad(&self, matrix: &Scaled<CowArray<'_, T, Ix2>>, axes: &[Axis], tolerance: T) -> bool {
        // Not `<` alone: NaN is no number of a matrix that can be solved with.
        let is_less = |reciprocal: T| reciprocal < tolerance || reciprocal.is_nan();
        is_less(self.reciprocal_condition_of(matrix)) && {
            let result = equilibrated(matrix.result.view(), axes);
            let lu = Self::new(result.view());
            is_less(lu.reciprocal_condition_of(&Scaled { result: result.into(), power: PowerOfTwo::ONE }))
        }
    }

    /// Whether the pivots differ so much that a look at the condition is due.
    fn has_small_pivots(&self) -> bool {
        let ends = (T::infinity(), T::zero());
        let (least, largest) = self.scaled_pivots().fold(ends, |(least, largest), pivot| {
            let magnitude = pivot.abs();
            (magnitude.min(least), magnitude.max(largest))
        });
        least < T::epsilon().sqrt() * largest
    }

    /// An estimate of `‖M⁻¹‖₁`, times [`Lu::power`], by a few systems.
    ///
    /// Source: Higham, *FORTRAN codes for estimating the one-norm of a real or complex matrix*, ACM TOMS 14 (1988),
    /// algorithm 4.1 after Hager, as in LAPACK's `xLACN2`.
    fn norm_of_inverse(&self) -> T {
        let size = self.side();
        let count = T::from_usize_lossy(size);
        let mut memory = Self::memory(&[(size, 1)]);
        let mut solve = |system, mut x: Array1<T>| {
            if let Some(x) = x.as_slice_mut() {
                self.solve_scaled_column_major(system, x, &mut memory);
            }
            x
        };
        let norm = |x: &Array1<T>| x.iter().map(|x| x.abs()).sum::<T>();
        let mut column = solve(System::Plain, Array1::from_elem(size, count.recip()));
        let mut found = norm(&column);
        let mut unit = None;
        for _ in 0..5 {
            let gradient = solve(System::Transposed, column.mapv(T::signum));
            let steepest = largest_index(&gradient);
            if unit.is_some_and(|unit: usize| gradient[unit].abs() >= gradient[steepest].abs()) {
                break;
            }
            unit = Some(steepest);
            column = solve(System::Plain, Array1::from_shape_fn(size, |i| unit_value(i == steepest)));
            let larger = norm(&column);
            if larger <= found {
                break;
            }
            found = larger;
        }
        // Against matrices made to deceive the steps above.
        let alternating = |i: usize| {
            let value = T::one() + T::from_usize_lossy(i) / (count - T::one()).max(T::one());
            if i.is_multiple_of(2) { value } else { -value }
        };
        let other = norm(&solve(System::Plain, Array1::from_shape_fn(size, alternating)));
        let (two, three) = (T::from_usize_lossy(2), T::from_usize_lossy(3));
        found.max(two * other / (three * count))
    }
}

fn unit_value<T: Scalar>(one: bool) -> T {
    if one { T::one() } else { T::zero() }
}

fn largest_index<T: Scalar>(x: &Array1<T>) -> usize {
    x.iter().enumerate().fold(0, |best, (index, value)| if value.abs() > x[best].abs() { index } else { best })
}

/// The largest sum of magnitudes of a column.
fn one_norm<T: Scalar>(matrix: ArrayView2<'_, T>) -> T {
    let sums = matrix.rows().into_iter().fold(Array1::zeros(matrix.ncols()), |sums, row| sums + row.mapv(T::abs));
    sums.fold(T::zero(), |largest, &sum| largest.max(sum))
}

/// The matrix with its lines along these axes multiplied by powers of two: the largest value of each is between one
/// and two.
fn equilibrated<T: Scalar>(matrix: ArrayView2<'_, T>, axes: &[Axis]) -> Array2<T> {
    let mut scaled = matrix.to_owned();
    for &axis in axes {
        for mut line in scaled.axis_iter_mut(axis) {
            let largest = line.fold(T::zero(), |largest, value| largest.max(value.abs()));
            PowerOfTwo::of(largest).inverse().scale(&mut line);
        }
    }
    scaled
}

#[cfg(test)]
mod tests {
    use super::*;
    use lokr_testing::matrix;
    use ndarray::array;

    fn exact(matrix: &Array2<f64>) -> f64 {
        1.0 / one_norm(matrix.view()) / one_norm(Lu::new(matrix.view()).inverse().view())
    }

    #[test]
    fn the_estimate_is_near_the_exact_number_at_every_scale() {
        for (size, seed) in [(1, 1), (2, 2), (3, 3), (7, 4), (20, 5), (33, 6)] {
            let plain = matrix::<f64>(size, size, seed);
            for scale in [1.0, 1e-300, 1e300] {
                let scaled = &plain * scale;
                let found = Lu::new(scaled.view()).reciprocal_condition(&scaled.into());
                let expected = exact(&plain);
                assert!(found >= expected * 0.999 && found <= expected * 3.0, "{size}: {found} beside {expected}");
            }
        }
        let hilbert = Array2::from_shape_fn((6, 6), |(i, j)| 1.0 / (i + j + 1) as f64);
        let found = Lu::new(hilbert.view()).reciprocal_condition(&hilbert.into());
        assert!((found * 2.907_027_9e7 - 1.0).abs() < 1e-6, "{found}"); // known: 29 070 279
    }

    fn nearly_singular<T: Scalar>(matrix: &Array2<T>) -> bool {
        Lu::new(matrix.view()).is_nearly_singular(&matrix.into())
    }

    #[test]
    fn rounding_errors_are_told_from_small_rows() {
        let rounded = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]];
        assert!(nearly_singular(&rounded));
        assert!(nearly_singular(&(rounded.clone() * 1e-300)));
        assert!(nearly_singular(&(rounded * array![1.0, 1e-150, 1e100])));
        assert!(nearly_singular(&array![[0.1_f32, 0.3], [0.3, 0.9]]));
        // Small rows, columns and pivots that are exact.
        assert!(!nearly_singular(&Array2::from_diag(&array![1.0, 1e-20, 1e-310])));
        assert!(!nearly_singular(&array![[1e200, 1.0], [0.0, 1e-100]]));
        assert!(!nearly_singular(&(matrix::<f64>(5, 5, 1) * array![1.0, 1e-150, 1e100, 1.0, 1e-30])));
        assert!(!nearly_singular(&array![[1.0, 1.0], [1.0, 1.0 + 1e-14]]));
        assert!(!nearly_singular(&matrix::<f32>(40, 40, 2)));
    }
}
