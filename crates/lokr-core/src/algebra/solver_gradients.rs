//! Gradients of solutions and of log-determinants with respect to the factors.

use ndarray::{Array, Array2, ArrayRef, Dimension};

use super::axes::solve_rows;
use super::scaled_gradients::add_gradients;
use super::solver::KronSolver;
use crate::decompose::System;
use crate::error::Result;
use crate::operator::{FactorList, KronGradients};
use crate::scalar::Scalar;

impl<T: Scalar, L: FactorList<Elem = T>> KronSolver<T, L> {
    /// Gradients of a loss with respect to the stored matrices and the right-hand side of [`KronSolver::solve`], from
    /// the solution `x` and the gradient `dx` of it.
    ///
    /// With `dY = K⁻ᵀ·dX`, the gradient of the product is `−dY·Xᵀ`, which is never formed: those of the factors follow
    /// as in [`KronBase::gradients`](crate::operator::KronBase::gradients). Those of a
    /// [Cholesky solver](crate::operator::KronBase::cholesky_solver), whose solution depends on the symmetric part of
    /// the product, are symmetric.
    ///
    /// # Shapes
    /// `x` and `dx` are samples of one shape: vectors, rows or fields. Result: the gradients of
    /// [`KronBase::parts`](crate::operator::KronBase::parts), summed over the batch, and `dy`, in the shape of `x`.
    /// # Cost
    /// One solution, and one [`KronBase::gradients`](crate::operator::KronBase::gradients) (two from a Cholesky
    /// decomposition). Nothing is decomposed.
    /// # Errors
    /// As [`KronBase::apply`](crate::operator::KronBase::apply) for `x` and for `dx`.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[2.0]], array![[4.0]])?; // x = y/(a·b)
    /// let solver = k.lu()?;
    /// let x = solver.solve(&array![16.0])?;
    /// let (gradients, dy) = solver.solve_gradients(&x, &array![1.0])?;
    /// assert_eq!(gradients.parts()[0], array![[-1.0]]); // −y/(a²·b)
    /// assert_eq!(gradients.parts()[1], array![[-0.5]]); // −y/(a·b²)
    /// assert_eq!(dy, array![0.125]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn solve_gradients<D: Dimension>(
        &self,
        x: &ArrayRef<T, D>,
        dx: &ArrayRef<T, D>,
    ) -> Result<(KronGradients<T>, Array<T, D>)> {
        let operation = "solve_gradients";
        let x = self.operator.inputs(operation, "x").rows(x, None)?;
        let samples = self.operator.inputs(operation, "dx");
        let mut dy = samples.rows(dx, Some(x.nrows()))?.as_standard_layout().into_owned();
        solve_rows(&self.lus, System::Transposed, &mut dy);
        let mut gradients = KronGradients::zeros(&self.operator);
        if self.symmetric {
            let half = T::from_f64_lossy(-0.5);
            add_gradients(&self.operator, half, x.view(), dy.view(), &mut gradients)?;
            add_gradients(&self.operator, half, dy.view(), x.view(), &mut gradients)?;
        } else {
            add_gradients(&self.operator, -T::one(), x.view(), dy.view(), &mut gradients)?;
        }
        Ok((gradients, samples.array(dy, dx.ndim())?))
    }

    /// Gradients of `ln|det(A ⊗ B)|` with respect to the stored matrices: `p·A⁻ᵀ` and `m·B⁻ᵀ` of factors of sides `m`
    /// and `p`, of many `Π_{j≠i} n_j·A_i⁻ᵀ`. Symmetric from a Cholesky decomposition.
    ///
    /// # Cost
    /// `2·Σ n_i³` flops. Nothing is decomposed.
    /// # Examples
    /// ```
    /// # use lokr_core::KronChain;
    /// # use ndarray::array;
    /// let chain = KronChain::new([array![[2.0]], array![[1.0, 1.0], [0.0, 4.0]]])?; // ln(a²·det B)
    /// let gradients = chain.lu()?.log_determinant_gradients();
    /// assert_eq!(gradients.parts()[0], array![[1.0]]); // 2/a
    /// assert_eq!(gradients.parts()[1], array![[1.0, 0.0], [-0.25, 0.25]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn log_determinant_gradients(&self) -> KronGradients<T> {
        let half = T::from_f64_lossy(0.5);
        let of_factors = self.lus.iter().map(|lu| {
            let count = T::from_usize_lossy(self.count(lu));
            let inverse = lu.inverse();
            let transposed = inverse.t();
            if self.symmetric { (&inverse + &transposed) * (half * count) } else { &transposed * count }
        });
        KronGradients::of_factors(&self.operator, of_factors.collect::<Vec<Array2<T>>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decompose::Lu;
    use crate::operator::{Factor, KronChain};
    use crate::test_support::{all_close, dominant, square_chains};
    use lokr_testing::matrix;
    use ndarray::Zip;

    /// The factors, one of them low-rank of full rank.
    fn with_low_rank(chain: &KronChain<'_, f64>, index: usize) -> KronChain<'static, f64> {
        let low = |factor: &Factor<'_, f64>| {
            let right = dominant::<f64>(factor.ncols(), 9);
            let left = factor.dense().dot(&Lu::new(right.view()).inverse());
            Factor::low_rank(left, right).unwrap()
        };
        let factors = chain.factors().iter().enumerate();
        let factors = factors.map(|(i, factor)| if i == index { low(factor) } else { factor.clone().into_owned() });
        KronChain::new(factors).unwrap()
    }

    /// Central differences of `loss` in every stored value, against `gradients`.
    fn agrees(k: &KronChain<'_, f64>, gradients: &KronGradients<f64>, loss: impl Fn(&KronChain<'_, f64>) -> f64) {
        assert_eq!(gradients.parts().len(), k.parts().count());
        for (part, gradient) in gradients.parts().iter().enumerate() {
            let differences = Array2::from_shape_fn(gradient.dim(), |index| {
                let step = 1e-5;
                let moved = |by: f64| {
                    let mut k = k.clone();
                    k.parts_mut().nth(part).unwrap()[index] += by;
                    loss(&k)
                };
                (moved(step) - moved(-step)) / (2.0 * step)
            });
            let size = gradient.iter().fold(1.0_f64, |size, x| size.max(x.abs()));
            Zip::from(gradient).and(&differences).for_each(|g, d| assert!((g - d).abs() < 1e-7 * size, "{g} {d}"));
        }
    }

    fn weighted(x: &Array2<f64>, weights: &Array2<f64>) -> f64 {
        (x * weights).sum()
    }

    #[test]
    fn gradients_of_solutions_are_those_of_finite_differences() {
        for plain in square_chains::<f64>(dominant) {
            for k in [with_low_rank(&plain, 0), with_low_rank(&plain, plain.factors().len() - 1), plain] {
                let (y, dx) = (matrix::<f64>(3, k.dim().0, 5), matrix::<f64>(3, k.dim().0, 6));
                let solver = k.lu().unwrap();
                let (gradients, dy) = solver.solve_gradients(&solver.solve(&y).unwrap(), &dx).unwrap();
                agrees(&k, &gradients, |k| weighted(&k.solve(&y).unwrap(), &dx));
                all_close(&dy, &k.solve_transposed(&dx).unwrap(), 1.0);
            }
        }
    }

    #[test]
    fn gradients_of_log_determinants_are_those_of_finite_differences() {
        for plain in square_chains::<f64>(dominant) {
            for k in [with_low_rank(&plain, 0), plain] {
                let gradients = k.lu().unwrap().log_determinant_gradients();
                let log = |k: &KronChain<'_, f64>| {
                    let factors = k.factors().iter().map(|factor| {
                        let lu = Lu::new(factor.dense().view());
                        let ln: f64 = lu.pivots().map(|pivot| pivot.abs().ln()).sum();
                        ln * (k.dim().0 / factor.nrows()) as f64
                    });
                    factors.sum()
                };
                agrees(&k, &gradients, log);
            }
        }
    }

    fn at_every_scale<T: Scalar>(scales: &[(f64, f64)]) {
        let (a, b, y) = (dominant::<T>(3, 1), dominant::<T>(2, 2), matrix::<T>(2, 6, 3));
        let gradients = |of_a: T, of_b: T| {
            let k = KronChain::new([&a * of_a, &b * of_b]).unwrap();
            let solver = k.lu().unwrap();
            let x = solver.solve(&(&y * of_b)).unwrap();
            let (of_solve, dy) = solver.solve_gradients(&x, &(&y * of_a)).unwrap();
            (of_solve, dy, solver.log_determinant_gradients())
        };
        let (of_solve, dy, of_log) = gradients(T::one(), T::one());
        for &scales in scales {
            let [of_a, of_b] = [scales.0, scales.1].map(T::from_f64_lossy);
            let (scaled, scaled_dy, scaled_log) = gradients(of_a, of_b);
            all_close(&(scaled_dy * of_b), &dy, T::one());
            // x is of 1/a, dy of 1/b: the gradient of A is of 1/a, that of B of 1/b.
            for (index, scale) in [of_a, of_b].into_iter().enumerate() {
                all_close(&(&scaled.parts()[index] * scale), &of_solve.parts()[index], T::one());
                all_close(&(&scaled_log.parts()[index] * scale), &of_log.parts()[index], T::from_usize_lossy(4));
            }
        }
    }

    #[test]
    fn gradients_at_every_scale_in_f32_and_f64() {
        at_every_scale::<f32>(&[(1e30, 1e-30), (1e-30, 1e30), (1e-20, 1e-10)]);
        at_every_scale::<f64>(&[(1e200, 1e-200), (1e-200, 1e200), (1e-150, 1e-100)]);
    }

    #[test]
    fn vectors_fields_and_errors() {
        let k = KronChain::new([dominant::<f64>(2, 1), dominant(3, 2)]).unwrap();
        let solver = k.lu().unwrap();
        let (x, dx) = (matrix::<f64>(1, 6, 1), matrix::<f64>(1, 6, 2));
        let (gradients, dy) = solver.solve_gradients(&x, &dx).unwrap();
        let (of_vectors, dy_vector) = solver.solve_gradients(&x.row(0), &dx.row(0)).unwrap();
        assert_eq!((&of_vectors, dy_vector.view()), (&gradients, dy.row(0)));
        let field = |x: &Array2<f64>| x.to_shape((1, 2, 3)).unwrap().into_owned();
        let (of_fields, dy_field) = solver.solve_gradients(&field(&x), &field(&dx)).unwrap();
        assert_eq!((of_fields, dy_field), (gradients, field(&dy)));

        let (none, _) = solver.solve_gradients(&Array2::zeros((0, 6)), &Array2::zeros((0, 6))).unwrap();
        assert!(none.parts().iter().all(|part| part.iter().all(|&x| x == 0.0)));
        let shape = |argument, expected, found| crate::error::KronError::Shape {
            operation: "solve_gradients",
            argument,
            expected,
            found,
        };
        let found = solver.solve_gradients(&Array2::zeros((2, 5)), &dx).map(drop);
        assert_eq!(found, Err(shape("x", (2, 6), (2, 5))));
        let found = solver.solve_gradients(&Array2::zeros((2, 6)), &dx).map(drop);
        assert_eq!(found, Err(shape("dx", (2, 6), (1, 6))));
    }
}
