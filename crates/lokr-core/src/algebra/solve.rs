//! Linear systems `(A ⊗ B)·x = y`.

use ndarray::{Array, ArrayRef, Dimension};

use crate::decompose::System;
use crate::error::Result;
use crate::operator::{FactorList, KronBase};
use crate::scalar::Scalar;

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// Solves `(A ⊗ B)·x = y` for every sample of `y`, with square factors: the inverse of [`KronBase::apply`].
    ///
    /// # Shapes
    /// `y` holds samples as [`KronBase::apply`] makes them: one vector, a batch of rows or of fields, any strides,
    /// `batch = 0` allowed. Result: the same shape, row-major.
    /// # Method
    /// Row `i` of `y` read as an `m × p` matrix `Y_i` gives `X_i = A⁻¹·Y_i·B⁻ᵀ`, by LU decompositions of the factors;
    /// no inverse is formed. With more factors one axis after the other is solved.
    /// # Cost
    /// `2/3·Σ n_i³ + 2·batch·Π n_i·Σ n_i` flops; [`KronBase::lu`] keeps the decompositions, the first part, for more
    /// systems. The rows are solved in parallel; the bits do not depend on the number of threads.
    /// # Accuracy
    /// Of the digits of the data as many are lost as the [condition number](KronBase::condition_number) has:
    /// [`KronSolver::reciprocal_condition`](crate::KronSolver::reciprocal_condition) estimates it from decompositions
    /// that are there already.
    /// # Errors
    /// [`KronError::NotSquare`](crate::KronError::NotSquare) when a factor is not square, for which there is
    /// [`KronBase::least_squares`]; as [`KronBase::apply`] for `y`;
    /// [`KronError::NonFinite`](crate::KronError::NonFinite) for a factor;
    /// [`KronError::Singular`](crate::KronError::Singular) when a low-rank factor has an inner size less than its side,
    /// when a pivot is exactly zero, and when a factor is singular up to rounding: its reciprocal condition number is
    /// below the precision of the type, and no scaling of its rows and columns by powers of two helps. (With
    /// `diag(1, 1e-20)` it does: such a factor is solved with. [`KronBase::lu`] solves with either.)
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronChain};
    /// # use ndarray::array;
    /// let k = Kron::new(array![[2.0, 0.0], [0.0, 4.0]], array![[1.0, 1.0], [0.0, 1.0]])?;
    /// let y = k.apply(&array![[1.0, 2.0, 3.0, 4.0]])?;
    /// assert_eq!(y, array![[6.0, 4.0, 28.0, 16.0]]);
    /// assert_eq!(k.solve(&y)?, array![[1.0, 2.0, 3.0, 4.0]]);
    ///
    /// let chain = KronChain::new([array![[2.0]], array![[1.0, 1.0], [0.0, 1.0]], array![[4.0]]])?;
    /// assert_eq!(chain.solve(&array![24.0, 16.0])?, array![1.0, 2.0]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn solve<D: Dimension>(&self, y: &ArrayRef<T, D>) -> Result<Array<T, D>> {
        self.solve_once("solve", System::Plain, y)
    }

    /// Solves `(A ⊗ B)ᵀ·x = y` for every sample of `y`: the inverse of [`KronBase::apply_transposed`].
    ///
    /// # Errors
    /// As [`KronBase::solve`].
    pub fn solve_transposed<D: Dimension>(&self, y: &ArrayRef<T, D>) -> Result<Array<T, D>> {
        self.solve_once("solve_transposed", System::Transposed, y)
    }

    fn solve_once<D: Dimension>(
        &self,
        operation: &'static str,
        system: System,
        y: &ArrayRef<T, D>,
    ) -> Result<Array<T, D>> {
        self.outputs(operation, "y").count(y.shape(), None)?;
        let solver = self.solver(operation)?;
        solver.check_condition(operation)?;
        solver.solve_as(operation, system, y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::KronError;
    use crate::operator::{Factor, Kron, KronChain};
    use crate::test_support::{all_close, dominant, kron_of, positive, square_chains};
    use lokr_testing::{LAYOUTS, matrix, with_layout};
    use ndarray::{Array2, array, s};

    fn solves<T: Scalar>() {
        for (m, p) in [(1, 1), (1, 5), (3, 1), (2, 7), (5, 3)] {
            let k = Kron::new(dominant::<T>(m, 1), dominant(p, 2)).unwrap();
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
                for transposed in [k.transposed().solve(&x.dot(&dense)), k.solve_transposed(&x.dot(&dense))] {
                    all_close(&transposed.unwrap(), &x, T::from_f64_lossy(8.0));
                }
            }
        }
    }

    #[test]
    fn gives_back_what_was_applied_in_f32_and_f64() {
        solves::<f32>();
        solves::<f64>();
    }

    fn chains_of_any_length<T: Scalar>() {
        for chain in square_chains::<T>(dominant) {
            let dense = chain.to_dense().unwrap();
            let x = matrix::<T>(3, dense.nrows(), 7);
            all_close(&chain.solve(&x.dot(&dense.t())).unwrap(), &x, T::from_f64_lossy(8.0));
            all_close(&chain.solve_transposed(&x.dot(&dense)).unwrap(), &x, T::from_f64_lossy(8.0));
        }
    }

    #[test]
    fn chains_in_f32_and_f64() {
        chains_of_any_length::<f32>();
        chains_of_any_length::<f64>();
    }

    #[test]
    fn two_factors_as_a_chain_have_the_same_bits() {
        let k = Kron::new(dominant::<f64>(5, 1), dominant(4, 2)).unwrap();
        let y = matrix::<f64>(7, 20, 3);
        assert_eq!(KronChain::from(k.view()).solve(&y).unwrap(), k.solve(&y).unwrap());
    }

    #[test]
    fn vectors_and_fields() {
        let k = KronChain::new([dominant::<f64>(2, 1), dominant(3, 2), dominant(2, 3)]).unwrap();
        let y = matrix::<f64>(4, 12, 4);
        let x = k.solve(&y).unwrap();
        assert_eq!(k.solve(&y.row(1)).unwrap(), x.row(1));
        let fields = y.to_shape((4, 2, 3, 2)).unwrap();
        assert_eq!(k.solve(&fields).unwrap(), x.to_shape((4, 2, 3, 2)).unwrap());
    }

    #[test]
    fn the_bits_do_not_depend_on_the_threads() {
        let k = KronChain::new([dominant::<f32>(4, 1), dominant(6, 2), dominant(5, 3)]).unwrap();
        let y = matrix::<f32>(33, 120, 4);
        let solve = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| k.solve(&y).unwrap())
        };
        assert_eq!(solve(1), solve(3));
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
        let (a, b, y) = (dominant::<T>(3, 1), dominant::<T>(5, 2), matrix::<T>(2, 15, 3));
        let expected = Kron::new(&a, &b).unwrap().solve(&y).unwrap();
        for &scales in scales {
            let [of_a, of_b, of_y] = [scales.0, scales.1, scales.2].map(T::from_f64_lossy);
            let k = Kron::new(&a * of_a, &b * of_b).unwrap();
            let x = k.solve(&(&y * of_y)).unwrap();
            let result = T::from_f64_lossy(scales.2 / (scales.0 * scales.1));
            all_close(&(x / result), &expected, T::one());
            let x = k.transposed().solve_transposed(&(&y * of_y)).unwrap();
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

    fn halves_of_opposite_scale<T: Scalar>(large: f64) {
        let (left, right) = (dominant::<T>(3, 1), dominant::<T>(3, 2));
        let y = matrix::<T>(2, 6, 3);
        let solve = |of_left: f64, of_right: f64| {
            let (left, right) = (&left * T::from_f64_lossy(of_left), &right * T::from_f64_lossy(of_right));
            let k = Kron::new(dominant::<T>(2, 4), Factor::low_rank(left, right).unwrap()).unwrap();
            k.solve(&y).unwrap()
        };
        let expected = solve(1.0, 1.0);
        all_close(&solve(large, 1.0 / large), &expected, T::one());
        all_close(&(solve(large, 1.0) * T::from_f64_lossy(large)), &expected, T::one());
    }

    #[test]
    fn halves_of_opposite_scale_in_f32_and_f64() {
        halves_of_opposite_scale::<f32>(1e30);
        halves_of_opposite_scale::<f64>(1e200);
    }

    #[test]
    fn a_factor_that_is_singular_up_to_rounding_is_refused() {
        let magic = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]];
        let singular = |operation, name| Err(KronError::Singular { operation, name });
        let y = matrix::<f64>(2, 6, 1);
        let k = Kron::new(&magic, dominant(2, 1)).unwrap();
        assert_eq!(k.solve(&y), singular("solve", "A"));
        let k = Kron::new(dominant(2, 1), &magic).unwrap();
        assert_eq!(k.solve_transposed(&y), singular("solve_transposed", "B"));
        // The decompositions are there nevertheless.
        assert!(k.lu().unwrap().solve(&y).is_ok());
        // Badly scaled is not singular.
        let k = Kron::new(Array2::from_diag(&array![1.0, 1e-20]), array![[1.0, 0.0], [1e-30, 1e-40]]).unwrap();
        let x = k.solve(&array![[1.0, 2e-30, 1e-20, 2e-50]]).unwrap();
        all_close(&(x / array![[1.0, 1e10, 1.0, 1e10]]), &array![[1.0, 1.0, 1.0, 1.0]], 1.0);
    }

    #[test]
    fn each_error_is_named() {
        let operation = "solve";
        let y = matrix::<f64>(2, 6, 1);
        let error = |k: Kron<'_, f64>| k.solve(&y).unwrap_err();
        assert_eq!(error(kron_of(2, 3, 3, 2)), KronError::NotSquare { operation, name: "A", shape: (2, 3) });
        let expected = KronError::Shape { operation, argument: "y", expected: (2, 10), found: (2, 6) };
        assert_eq!(error(kron_of(2, 2, 5, 5)), expected);
        let expected = KronError::Length { operation, argument: "y", expected: 4, found: 6 };
        assert_eq!(kron_of::<f64>(2, 2, 2, 2).solve(&y.row(0)), Err(expected));
        let bad = Kron::new(array![[f64::NAN]], array![[1.0]]).unwrap().solve_transposed(&array![1.0]);
        assert_eq!(bad, Err(KronError::NonFinite { operation: "solve_transposed", argument: "A", count: 1 }));
        let singular = array![[1.0, 2.0], [2.0, 4.0]];
        let k = Kron::new(singular, matrix(3, 3, 1)).unwrap();
        assert_eq!(error(k), KronError::Singular { operation, name: "A" });
        let low = Factor::low_rank(matrix(3, 1, 1), matrix(1, 3, 2)).unwrap();
        let k = Kron::new(matrix(2, 2, 1), low).unwrap();
        assert_eq!(error(k), KronError::Singular { operation, name: "B" });
    }
}
