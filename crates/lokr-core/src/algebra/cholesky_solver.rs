//! Positive definite products that are decomposed once and solved with again and again.

use super::solver::KronSolver;
use crate::decompose::{Lu, Symmetry, symmetric_dense};
use crate::error::Result;
use crate::operator::{Factor, FactorList, KronBase};
use crate::scalar::Scalar;

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// The Cholesky decompositions of the factors of a positive definite product, kept to solve with: half the work of
    /// [`KronBase::lu`], and a proof that the product is positive definite. (The factor itself, as a product, is
    /// [`KronBase::cholesky`].)
    ///
    /// # Cost
    /// `1/3·Σ n_i³` flops.
    /// # Errors
    /// As [`KronBase::cholesky`].
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[4.0, 2.0], [2.0, 5.0]], array![[9.0]])?;
    /// let x = k.cholesky_solver()?.solve(&array![54.0, 63.0])?;
    /// assert!((x[0] - 1.0_f64).abs() < 1e-14 && (x[1] - 1.0).abs() < 1e-14);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn cholesky_solver(&self) -> Result<KronSolver<T, L::Like<'_, T>>> {
        self.cholesky_solver_with(Symmetry::Rounding)
    }

    /// [`KronBase::cholesky_solver`] of the symmetric parts of the factors, with a measure of how symmetric they must
    /// be.
    ///
    /// # Errors
    /// As [`KronBase::cholesky`].
    pub fn cholesky_solver_with(&self, symmetry: Symmetry<T>) -> Result<KronSolver<T, L::Like<'_, T>>> {
        let lower = self.cholesky_with(symmetry)?;
        let operator = self.symmetric_parts("cholesky", symmetry)?;
        let lu = |(factor, lower): (&Factor<'_, T>, &Factor<'_, T>)| {
            let (matrix, lower) = (factor.dense(), lower.dense());
            let negative = matrix.first().is_some_and(|&first| first < T::zero());
            Lu::of_cholesky(matrix.view(), lower.view(), negative)
        };
        let lus = operator.factors().iter().zip(lower.factors()).map(lu).collect();
        Ok(KronSolver { operator, lus, symmetric: true })
    }

    /// The product of the symmetric parts of full factors, of which one that is nearly symmetric may be asked for, and
    /// of low-rank ones as they are.
    pub(super) fn symmetric_parts(
        &self,
        operation: &'static str,
        symmetry: Symmetry<T>,
    ) -> Result<KronBase<L::Like<'_, T>>> {
        self.try_map(self.dim(), |name, factor| match factor {
            Factor::Full(_) => Ok(symmetric_dense(operation, name, factor, symmetry)?.into()),
            Factor::LowRank(_) => Ok(factor.view()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::KronError;
    use crate::operator::{Kron, KronChain};
    use crate::test_support::{all_close, close, positive, square_chains};
    use lokr_testing::matrix;
    use ndarray::{Array2, Zip, array};

    fn solves_as_the_lu<T: Scalar>() {
        for chain in square_chains::<T>(positive) {
            let k = if chain.factors().len() > 1 {
                // Two negative definite factors make a positive definite product.
                let mut parts = chain.clone();
                parts.parts_mut().take(2).for_each(|mut part| part *= -T::one());
                parts
            } else {
                chain
            };
            let (solver, lu) = (k.cholesky_solver().unwrap(), k.lu().unwrap());
            let y = matrix::<T>(3, k.dim().0, 5);
            let x = lu.solve(&y).unwrap();
            let scale = T::from_usize_lossy(20);
            all_close(&solver.solve(&y).unwrap(), &x, scale);
            all_close(&solver.solve_transposed(&y).unwrap(), &x, scale);
            close(solver.determinant() / lu.determinant(), T::one(), scale);
            close(solver.reciprocal_condition() / lu.reciprocal_condition(), T::one(), scale);
            let (inverse, expected) = (solver.inverse().unwrap(), lu.inverse().unwrap());
            inverse.parts().zip(expected.parts()).for_each(|(found, expected)| all_close(&found, &expected, scale));
            // The gradients are the symmetric parts of those of a general product.
            let half = T::from_f64_lossy(0.5);
            let dx = matrix::<T>(3, k.dim().0, 6);
            let (found, dy) = solver.solve_gradients(&x, &dx).unwrap();
            let (general, expected_dy) = lu.solve_gradients(&x, &dx).unwrap();
            all_close(&dy, &expected_dy, scale);
            let (of_log, general_log) = (solver.log_determinant_gradients(), lu.log_determinant_gradients());
            for (found, general) in [(found, general), (of_log, general_log)] {
                for (found, general) in found.parts().iter().zip(general.parts()) {
                    let size = general.iter().fold(T::one(), |size, x| size.max(x.abs()));
                    all_close(found, &((general + &general.t()) * half), size * scale);
                    Zip::from(found).and(found.t()).for_each(|&x, &y| close(x, y, size));
                }
            }
        }
    }

    #[test]
    fn it_solves_as_the_lu_decomposition_in_f32_and_f64() {
        solves_as_the_lu::<f32>();
        solves_as_the_lu::<f64>();
    }

    fn at_every_scale<T: Scalar>(scales: &[(f64, f64, f64)]) {
        let (a, b, y) = (positive::<T>(3, 1), positive::<T>(4, 2), matrix::<T>(2, 12, 3));
        let expected = Kron::new(&a, &b).unwrap().solve(&y).unwrap();
        for &(of_a, of_b, of_y) in scales {
            let k = Kron::new(&a * T::from_f64_lossy(of_a), &b * T::from_f64_lossy(of_b)).unwrap();
            let x = k.cholesky_solver().unwrap().solve(&(&y * T::from_f64_lossy(of_y))).unwrap();
            all_close(&(x / T::from_f64_lossy(of_y / (of_a * of_b))), &expected, T::from_usize_lossy(20));
        }
    }

    #[test]
    fn the_scale_does_not_matter_in_f32_and_f64() {
        at_every_scale::<f32>(&[(1e30, 1e-30, 1.0), (1e-30, 1e30, 1e30), (1e-36, 1.0, 1e-30), (1e36, 1e-30, 1e-20)]);
        at_every_scale::<f64>(&[(1e200, 1e-200, 1.0), (1e-300, 1e300, 1e300), (1e300, 1e-300, 1e-200)]);
        // Pivots from one end of the range to the other.
        let ends = Array2::from_diag(&array![1e300, 1e-305]);
        let x = KronChain::new([ends]).unwrap().cholesky_solver().unwrap().solve(&array![1.0, 1e-305]).unwrap();
        close(x[0] * 1e300, 1.0, 1.0);
        close(x[1], 1.0, 1.0);
    }

    #[test]
    fn the_symmetric_part_is_solved_with() {
        let mut a = positive::<f64>(3, 1);
        a[[0, 2]] += 0.1;
        let k = KronChain::new([a.clone(), positive(2, 2)]).unwrap();
        let difference = |error| matches!(error, KronError::NotSymmetric { operation: "cholesky", name: "A₁", .. });
        assert!(k.cholesky_solver().is_err_and(difference));
        let symmetric = KronChain::new([(&a + &a.t()) * 0.5, positive(2, 2)]).unwrap();
        let solver = k.cholesky_solver_with(Symmetry::Average).unwrap();
        let y = matrix::<f64>(2, 6, 3);
        all_close(&solver.solve(&y).unwrap(), &symmetric.solve(&y).unwrap(), 10.0);
        let x = solver.solve(&y).unwrap();
        let gradients = |solver: &KronSolver<f64, _>| solver.solve_gradients(&x, &y).unwrap().0;
        assert_eq!(gradients(&solver), gradients(&symmetric.cholesky_solver().unwrap()));
        let indefinite = Kron::new(array![[1.0, 2.0], [2.0, 1.0]], array![[1.0]]).unwrap();
        let error = KronError::NotPositiveDefinite { operation: "cholesky", name: "A" };
        assert_eq!(indefinite.cholesky_solver().map(drop), Err(error));
    }
}
