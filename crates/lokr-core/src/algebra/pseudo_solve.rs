//! Solutions of singular symmetric systems in the sense of least squares, with the null space reported.

use ndarray::{Array, Array1, ArrayRef, ArrayView1, Axis, Dimension, Zip};

use super::eigen::KronEigen;
use crate::error::Result;
use crate::operator::FactorList;
use crate::scalar::Scalar;
use crate::sums::{Extended, dot};

/// What [`KronEigen::pseudo_solve`] and [`KronSum::pseudo_solve`](crate::KronSum::pseudo_solve) return: for every
/// sample the shortest `x` with the least `‖M·x − y‖`, and what could not be solved.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PseudoSolution<T, D: Dimension> {
    /// The solutions, as many axes as `y`.
    pub x: Array<T, D>,
    /// How many eigenvalues were taken for zero: the dimension of the null space. Zero for a regular matrix.
    pub nullity: usize,
    /// For each sample, the share of the length of `y` that lies in the null space, where no `x` can reach it: between
    /// zero (up to rounding), when `M·x = y` has solutions, and one.
    pub null_share: Array1<T>,
}

impl<T: Scalar, D: Dimension> PseudoSolution<T, D> {
    /// Whether `M·x = y` was solved, up to this share of the length of `y`, for every sample.
    ///
    /// # Examples
    /// See [`KronSum::pseudo_solve`](crate::KronSum::pseudo_solve).
    #[must_use]
    pub fn is_solved_within(&self, tolerance: T) -> bool {
        self.null_share.iter().all(|&share| share <= tolerance)
    }
}

impl<T: Scalar, L: FactorList<Elem = T>> KronEigen<T, L> {
    /// The shortest `x` with the least `‖M·x − y‖`, for every sample of `y`. Eigenvalues that are zero up to rounding,
    /// those for which [`KronEigen::solve_shifted`] would say that `M` is singular, are left out.
    ///
    /// # Shapes and cost
    /// Those of [`KronEigen::solve_shifted`].
    /// # Errors
    /// [`KronError::Length`](crate::KronError::Length), [`KronError::Shape`](crate::KronError::Shape),
    /// [`KronError::FieldShape`](crate::KronError::FieldShape).
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 1.0], [1.0, 1.0]], array![[1.0]])?; // of rank one
    /// let solution = k.symmetric_eigen()?.pseudo_solve(&array![[4.0, 4.0], [1.0, -1.0]])?;
    /// assert!((&solution.x - &array![[2.0, 2.0], [0.0, 0.0]]).iter().all(|x: &f64| x.abs() < 1e-14));
    /// assert_eq!(solution.nullity, 1);
    /// assert!(solution.null_share[0] < 1e-14 && solution.null_share[1] > 1.0 - 1e-14);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn pseudo_solve<D: Dimension>(&self, y: &ArrayRef<T, D>) -> Result<PseudoSolution<T, D>> {
        self.solve_all_but("pseudo_solve", |index| self.spectrum.is_zero(index), y)
    }

    /// [`KronEigen::pseudo_solve`] that leaves out every eigenvalue up to `tolerance` times the largest magnitude that
    /// the factors allow: the product, or the sum, of their largest ones.
    ///
    /// # Errors
    /// As [`KronEigen::pseudo_solve`].
    pub fn pseudo_solve_with<D: Dimension>(&self, tolerance: T, y: &ArrayRef<T, D>) -> Result<PseudoSolution<T, D>> {
        let least = tolerance * self.spectrum.magnitude();
        self.solve_all_but("pseudo_solve", |index| self.spectrum.values[index].abs() <= least, y)
    }

    fn solve_all_but<D: Dimension>(
        &self,
        operation: &'static str,
        is_zero: impl Fn(usize) -> bool,
        y: &ArrayRef<T, D>,
    ) -> Result<PseudoSolution<T, D>> {
        let samples = self.vectors.outputs(operation, "y");
        let rows = samples.rows(y, None)?;
        let left_out: Array1<bool> = (0..self.spectrum.values.len()).map(is_zero).collect();
        let mut parts = self.vectors.apply_transposed(&*rows)?;
        let mut null_share = Array1::zeros(rows.nrows());
        for (mut parts, share) in parts.axis_iter_mut(Axis(0)).zip(&mut null_share) {
            let null = Zip::from(&parts).and(&left_out).map_collect(|&part, &out| if out { part } else { T::zero() });
            let (null, all) = (square(null.view()), square(parts.view()));
            *share = if all.is_zero() { T::zero() } else { (null / all).sqrt().value() };
            Zip::from(&mut parts).and(&left_out).and(&self.spectrum.values).for_each(|part, &out, &value| {
                *part = if out { T::zero() } else { *part / value };
            });
        }
        Ok(PseudoSolution {
            x: samples.array(self.vectors.apply(&parts)?, y.ndim())?,
            nullity: left_out.into_iter().filter(|&left_out| left_out).count(),
            null_share,
        })
    }
}

fn square<T: Scalar>(vector: ArrayView1<'_, T>) -> Extended<T> {
    let row = vector.insert_axis(Axis(0));
    dot(row, row)
}
