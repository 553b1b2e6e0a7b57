//! Symmetric positive definite systems, by preconditioned conjugate gradients.

use ndarray::{Array1, Array2, ArrayRef, ArrayView1, Axis, Dimension};

use super::cg_options::{CgOptions, CgSolution};
use super::cg_steps::correction;
use super::diagonal::Diagonal;
use super::kron_terms::KronTerms;
use super::preconditioner::Inverse;
use super::system::System;
use crate::decompose::PowerOfTwo;
use crate::error::{KronError, Result};
use crate::operator::Kron;
use crate::scalar::Scalar;
use crate::sums::{dot, times_two_to};

const OPERATION: &str = "conjugate_gradients";

impl<T: Scalar> KronTerms<'_, T> {
    /// Solves `(K + D)·x = y` for every sample of `y`, where `K` is this sum, `D` a diagonal matrix (a number or a
    /// vector, see [`Diagonal`]; 0 for none), and `K + D` symmetric and positive definite.
    ///
    /// # Shapes
    /// `y` is samples as [`KronTerms::apply`] makes them: a vector, rows or fields. Result: the solution in the same
    /// shape, and a report; see [`CgSolution`].
    /// # Method
    /// Preconditioned conjugate gradients (Hestenes & Stiefel 1952; Golub & Van Loan, *Matrix Computations*, section
    /// 11.5), all samples side by side, each with its own steps; those that have converged are set aside. Where the
    /// residual that the recurrence claims is not that of the solution, the iteration goes on from the true one, as
    /// long as that gains a factor of two.
    ///
    /// Not converging is no error: the report tells. `K + D` must be symmetric, which is not checked.
    /// # Scale
    /// The system and every sample are brought to scale one by powers of two before, and back after, so that values may
    /// be as large and small as the type has numbers.
    /// # Cost
    /// One application of the operator per iteration and sample, one of the preconditioner, and some `14` flops for
    /// each value of the sample. The error shrinks by about `(√κ − 1)/(√κ + 1)` in each, with the condition number `κ`
    /// of the preconditioned matrix. The bits do not depend on the number of threads.
    /// # Errors
    /// [`KronError::NotSquare`] unless `K` is, or the factors of a preconditioner are; [`KronError::Length`] of `d`;
    /// [`KronError::Shape`] and [`KronError::FieldShape`] of `y`; [`KronError::NotPositiveDefinite`] when a value on
    /// the diagonal is not positive or the iteration meets a direction `p` with `pᵀ·(K + D)·p < 0`;
    /// [`KronError::NotSymmetric`] for a given preconditioner; [`KronError::NonFinite`] for values of `K` and `D` that
    /// are not finite and a tolerance that is NaN. (Samples that are not finite have a solution of NaN.)
    /// # Examples
    /// ```
    /// # use lokr_core::{CgOptions, Kron};
    /// # use ndarray::array;
    /// let k = Kron::new(array![[2.0, 1.0], [1.0, 2.0]], array![[1.0, 0.0], [0.0, 3.0]])?;
    /// let l = Kron::new(array![[1.0, 0.0], [0.0, 2.0]], array![[2.0, 1.0], [1.0, 1.0]])?;
    /// let sum = k.plus(&l)?;
    /// let noise = array![0.1, 0.2, 0.3, 0.4];
    /// let options = CgOptions { tolerance: 1e-12, ..Default::default() };
    /// let found = sum.conjugate_gradients(&noise, &array![1.0, 2.0, 3.0, 4.0], &options)?;
    /// assert!(found.converged && found.residual() <= 1e-12 && found.iterations <= 5);
    /// let y = sum.apply(&found.x)? + &noise * &found.x;
    /// assert!((y - array![1.0, 2.0, 3.0, 4.0]).iter().all(|d: &f64| d.abs() < 1e-10));
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn conjugate_gradients<'d, D: Dimension>(
        &self,
        d: impl Into<Diagonal<'d, T>>,
        y: &ArrayRef<T, D>,
        options: &CgOptions<'_, T>,
    ) -> Result<CgSolution<T, D>> {
        KronError::check_square(OPERATION, "K", self.dim())?;
        let batch = self.count_outputs(OPERATION, "y", y.shape(), None)?;
        self.count_inputs(OPERATION, "y", y.shape(), None)?;
        KronError::check_all_finite(OPERATION, "tolerance", usize::from(options.tolerance.is_nan()))?;
        if let super::Preconditioner::Kron(kron) = &options.preconditioner {
            KronError::check_shape(OPERATION, "the preconditioner", self.dim(), kron.dim())?;
        }
        let system = System::new(OPERATION, self, &d.into(), batch)?;
        let inverse = Inverse::new(OPERATION, &options.preconditioner, &system)?;

        let mut rows = self.first().outputs(OPERATION, "y").rows(y, None)?.into_owned();
        let largest = |row: ArrayView1<'_, T>| row.iter().fold(T::zero(), |largest, value| largest.max(value.abs()));
        let scales: Vec<_> = rows.rows().into_iter().map(|row| PowerOfTwo::of(largest(row))).collect();
        for (mut row, scale) in rows.rows_mut().into_iter().zip(&scales) {
            scale.inverse().scale(&mut row);
        }
        let Solved { mut x, residuals, iterations } = solve(&system, &inverse, &rows, options)?;
        for (mut row, scale) in x.rows_mut().into_iter().zip(&scales) {
            let exponent = scale.exponent() - system.exponent;
            row.mapv_inplace(|value| times_two_to(value, exponent));
        }
        let converged = residuals.iter().all(|&residual| residual <= options.tolerance);
        let x = self.first().inputs(OPERATION, "y").array(x, y.ndim())?;
        Ok(CgSolution { x, iterations, residuals, converged })
    }
}

impl<T: Scalar> Kron<'_, T> {
    /// Solves `(A ⊗ B + D)·x = y` for every sample of `y`, where `D` is a diagonal matrix and the whole is symmetric
    /// and positive definite: [`KronTerms::conjugate_gradients`] of this one product. (Where `D` is a multiple of the
    /// identity, [`Kron::solve_shifted`] is direct.)
    ///
    /// # Errors
    /// As [`KronTerms::conjugate_gradients`].
    /// # Examples
    /// ```
    /// # use lokr_core::{CgOptions, Kron};
    /// # use ndarray::array;
    /// // A Gaussian process on a grid, with noise that differs from point to point.
    /// let k = Kron::new(array![[2.0, 1.0], [1.0, 2.0]], array![[3.0, 1.0], [1.0, 2.0]])?;
    /// let noise = array![0.1, 0.2, 0.1, 5.0];
    /// let y = array![[1.0, 0.0, 2.0, 1.0]];
    /// let found = k.conjugate_gradients(&noise, &y, &CgOptions::default())?;
    /// let back = k.apply(&found.x)? + &found.x * &noise;
    /// assert!((back - y).iter().all(|d: &f64| d.abs() < 1e-7));
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn conjugate_gradients<'d, D: Dimension>(
        &self,
        d: impl Into<Diagonal<'d, T>>,
        y: &ArrayRef<T, D>,
        options: &CgOptions<'_, T>,
    ) -> Result<CgSolution<T, D>> {
        KronTerms::from(self).conjugate_gradients(d, y, options)
    }
}

struct Solved<T> {
    x: Array2<T>,
    residuals: Array1<T>,
    iterations: usize,
}

/// Rounds of conjugate gradients, each from the true residuals that the one before has left.
fn solve<T: Scalar>(
    system: &System<T>,
    inverse: &Inverse<T>,
    y: &Array2<T>,
    options: &CgOptions<'_, T>,
) -> Result<Solved<T>> {
    let half = T::from_f64_lossy(0.5);
    let norms: Vec<T> = y.rows().into_iter().map(norm).collect();
    let mut x = Array2::zeros(y.dim());
    // Of what is not finite, no solution is right.
    let of_zero = |&norm: &T| match norm {
        norm if norm == T::zero() => T::zero(),
        norm if norm.is_finite() => T::one(),
        _ => T::nan(),
    };
    let mut residuals: Array1<T> = norms.iter().map(of_zero).collect();
    for (mut row, _) in x.rows_mut().into_iter().zip(&residuals).filter(|(_, residual)| residual.is_nan()) {
        row.fill(T::nan());
    }
    let mut open: Vec<usize> = (0..y.nrows()).filter(|&row| residuals[row] > options.tolerance).collect();
    let (mut r, mut iterations) = (y.select(Axis(0), &open), 0);
    while !open.is_empty() && iterations < options.max_iterations {
        let targets = open.iter().map(|&row| options.tolerance * norms[row]).collect();
        let (e, steps) = correction(system, inverse, r, targets, options.max_iterations - iterations)?;
        iterations += steps;
        open.iter().zip(e.rows()).for_each(|(&row, e)| x.row_mut(row).scaled_add(T::one(), &e));
        r = y.select(Axis(0), &open) - system.apply(&x.select(Axis(0), &open))?;

        let mut rest = Vec::new();
        for (index, &row) in open.iter().enumerate() {
            let residual = norm(r.row(index)) / norms[row];
            if residual > options.tolerance && residual < half * residuals[row] {
                rest.push(index);
            }
            residuals[row] = residual;
        }
        r = r.select(Axis(0), &rest);
        open = rest.into_iter().map(|index| open[index]).collect();
    }
    Ok(Solved { x, residuals, iterations })
}

/// The Euclidean norm.
pub(super) fn norm<T: Scalar>(row: ArrayView1<'_, T>) -> T {
    let row = row.insert_axis(Axis(0));
    dot(row, row).sqrt().value()
}
