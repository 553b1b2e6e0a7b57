//! Linear systems `(A ⊗ B)·x = y`.

use ndarray::{Array2, ArrayRef2};
use rayon::prelude::*;

use crate::decompose::{Keep, PowerOfTwo};
use crate::error::{KronError, Result};
use crate::gemm::views::{flat_mut, view};
use crate::operator::Kron;
use crate::scalar::Scalar;
use crate::shape::KronShape;

impl<T: Scalar> Kron<'_, T> {
    /// Solves `(A ⊗ B)·x = y` for every row of `y`, with square factors: the inverse of [`Kron::apply`].
    ///
    /// # Shapes
    /// `y`: `batch × (m·p)`, any strides, `batch = 0` allowed. Result: `batch × (m·p)`, row-major.
    /// # Method
    /// Row `i` of `y` read as an `m × p` matrix `Y_i` gives `X_i = A⁻¹·Y_i·B⁻ᵀ`, by LU decompositions of the factors;
    /// no inverse is formed.
    /// # Cost
    /// `2/3·(m³ + p³) + 2·batch·m·p·(m + p)` flops. The rows are solved in parallel; the bits do not depend on the
    /// number of threads.
    /// # Errors
    /// [`KronError::NotSquare`] when a factor is not square, for which [`Kron::pseudo_inverse`] gives the solution in
    /// the sense of least squares; [`KronError::Shape`]; [`KronError::NonFinite`] for a factor; [`KronError::Singular`]
    /// when an LU decomposition meets a pivot that is exactly zero, or a low-rank factor has an inner size less than
    /// its side. A nearly singular factor gives a result as inaccurate as its [condition](Kron::condition_number) says.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[2.0, 0.0], [0.0, 4.0]], array![[1.0, 1.0], [0.0, 1.0]])?;
    /// let y = k.apply(&array![[1.0, 2.0, 3.0, 4.0]])?;
    /// assert_eq!(y, array![[6.0, 4.0, 28.0, 16.0]]);
    /// assert_eq!(k.solve(&y)?, array![[1.0, 2.0, 3.0, 4.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn solve(&self, y: &ArrayRef2<T>) -> Result<Array2<T>> {
        let KronShape { m, p, .. } = self.shape();
        KronError::check_shape("solve", "y", (y.nrows(), m * p), y.dim())?;
        let (a, b) = self.invertible_lus("solve")?;
        // One in the normal range; elsewhere the rows, too, are solved in the middle of it.
        let factors = a.power().and(b.power());
        let normal = a.power() == PowerOfTwo::ONE && b.power() == PowerOfTwo::ONE;
        let mut x = y.as_standard_layout().into_owned();
        flat_mut(&mut x).par_chunks_exact_mut(m * p).for_each_init(
            || (a.memory(p), b.memory(m)),
            |(a_memory, b_memory), row| {
                let power =
                    if normal { PowerOfTwo::ONE } else { PowerOfTwo::out_of_range(view(row, p), Keep::Squares) };
                power.inverse().scale(&mut *row);
                // The m × p matrix in row-major order is its transpose in column-major order.
                b.solve_scaled_column_major(row, b_memory);
                a.solve_scaled_row_major(row, a_memory);
                power.and(factors.inverse()).scale(row);
            },
        );
        Ok(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::Factor;
    use crate::test_support::{all_close, kron_of, positive};
    use lokr_testing::{LAYOUTS, matrix, with_layout};
    use ndarray::{array, s};

    fn solves<T: Scalar>() {
        for (m, p) in [(1, 1), (1, 5), (3, 1), (2, 7), (5, 3)] {
            // Not symmetric, well conditioned: diagonally dominant.
            let dominant = |size: usize, seed| {
                matrix::<T>(size, size, seed) + Array2::<T>::eye(size) * T::from_usize_lossy(2 * size)
            };
            let k = Kron::new(dominant(m, 1), dominant(p, 2)).unwrap();
            let dense = k.to_dense();
            for batch in [0, 1, 4] {
                let x = matrix::<T>(batch, m * p, 3);
                let y = x.dot(&dense.t());
                all_close(&k.solve(&y).unwrap(), &x, T::from_f64_lossy(8.0));

                for layout in LAYOUTS {
                    let found = with_layout(&y, layout, |y| k.solve(y).unwrap());
                    all_close(&found, &x, T::from_f64_lossy(8.0));
                }
                let reversed = k.solve(&y.slice(s![..;-1, ..])).unwrap();
                all_close(&reversed, &x.slice(s![..;-1, ..]), T::from_f64_lossy(8.0));
                let transposed = k.transposed().solve(&x.dot(&dense)).unwrap();
                all_close(&transposed, &x, T::from_f64_lossy(8.0));
            }
        }
    }

    #[test]
    fn gives_back_what_was_applied_in_f32_and_f64() {
        solves::<f32>();
        solves::<f64>();
    }

    #[test]
    fn row_swaps_and_low_rank_factors_of_full_rank() {
        let swap = array![[0.0, 1.0, 0.0], [0.0, 0.0, 2.0], [3.0, 0.0, 0.0]];
        let b = Factor::low_rank(positive::<f64>(2, 2), positive(2, 5)).unwrap();
        let k = Kron::new(swap, b).unwrap();
        let x = matrix(4, 6, 1);
        all_close(&k.solve(&x.dot(&k.to_dense().t())).unwrap(), &x, 100.0);
    }

    fn solves_at_every_scale<T: Scalar>(scales: &[(f64, f64, f64)]) {
        let dominant =
            |size: usize, seed| matrix::<T>(size, size, seed) + Array2::<T>::eye(size) * T::from_usize_lossy(9);
        let (a, b, y) = (dominant(3, 1), dominant(5, 2), matrix::<T>(2, 15, 3));
        let expected = Kron::new(&a, &b).unwrap().solve(&y).unwrap();
        for &scales in scales {
            let [of_a, of_b, of_y] = [scales.0, scales.1, scales.2].map(T::from_f64_lossy);
            let x = Kron::new(&a * of_a, &b * of_b).unwrap().solve(&(&y * of_y)).unwrap();
            let result = T::from_f64_lossy(scales.2 / (scales.0 * scales.1));
            all_close(&(x / result), &expected, T::one());
        }
    }

    #[test]
    fn the_scale_of_factors_and_right_hand_sides_does_not_matter() {
        solves_at_every_scale::<f32>(&[
            (1e30, 1e-30, 1.0),
            (1e-30, 1e30, 1e30),
            (1e-30, 1.0, 1e-30),
            (1e36, 1e-30, 1e-20),
        ]);
        let f64s = [(1e200, 1e-200, 1.0), (1e-300, 1e300, 1e300), (1e300, 1e-300, 1e-200), (1e306, 1.0, 1e300)];
        solves_at_every_scale::<f64>(&f64s);
    }

    fn subnormal_pivots<T: Scalar>() {
        let two = T::from_f64_lossy(2.0);
        let tiny = T::min_positive_value() * T::epsilon() * two; // its reciprocal is infinite
        let a = array![[tiny, T::zero(), T::zero()], [T::zero(), T::one(), T::one()], [T::zero(), T::one(), -T::one()]];
        let k = Kron::new(&a, array![[two]]).unwrap();
        let x = k.solve(&array![[tiny * two, two * two, T::zero()]]).unwrap();
        assert_eq!(x, array![[T::one(), T::one(), T::one()]]);
    }

    #[test]
    fn subnormal_pivots_in_f32_and_f64() {
        subnormal_pivots::<f32>();
        subnormal_pivots::<f64>();
    }

    #[test]
    fn each_error_is_named() {
        let operation = "solve";
        let y = matrix::<f64>(2, 6, 1);
        let error = |k: Kron<'_, f64>| k.solve(&y).unwrap_err();
        assert_eq!(error(kron_of(2, 3, 3, 2)), KronError::NotSquare { operation, name: "A", shape: (2, 3) });
        let expected = KronError::Shape { operation, argument: "y", expected: (2, 10), found: (2, 6) };
        assert_eq!(error(kron_of(2, 2, 5, 5)), expected);
        let singular = array![[1.0, 2.0], [2.0, 4.0]];
        let k = Kron::new(singular, matrix(3, 3, 1)).unwrap();
        assert_eq!(error(k), KronError::Singular { operation, name: "A" });
        let low = Factor::low_rank(matrix(3, 1, 1), matrix(1, 3, 2)).unwrap();
        let k = Kron::new(matrix(2, 2, 1), low).unwrap();
        assert_eq!(error(k), KronError::Singular { operation, name: "B" });
    }
}
