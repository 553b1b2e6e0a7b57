//! Systems with a Kronecker sum, shifted or not, and which way they are solved.

use ndarray::{Array, ArrayRef, Dimension};

use super::sum::KronSum;
use crate::algebra::pseudo_solve::PseudoSolution;
use crate::algebra::solve_path::{SolvePath, path};
use crate::algebra::spectrum::Combine;
use crate::algebra::triangular::Triangular;
use crate::decompose::Symmetry;
use crate::error::Result;
use crate::scalar::Scalar;

impl<T: Scalar> KronSum<'_, T> {
    /// Solves `(A ⊕ B)·x = y` for every sample of `y`: of two summands the Sylvester equation `A·X + X·Bᵀ = Y`.
    ///
    /// # Shapes
    /// `y`: a vector, rows or fields, as in [`KronSum::apply`]; the result likewise.
    /// # Method and cost
    /// Those of [`KronBase::solve_shifted`](crate::operator::KronBase::solve_shifted): symmetric factors by their
    /// eigenvectors, others by their complex Schur decompositions.
    /// # Errors
    /// [`KronError::Length`](crate::KronError::Length), [`KronError::Shape`](crate::KronError::Shape),
    /// [`KronError::FieldShape`](crate::KronError::FieldShape);
    /// [`KronError::Singular`](crate::KronError::Singular) when an eigenvalue `λᵢ + μⱼ + …` is zero up to the rounding
    /// error of the decomposition, `(n + p + …)·ε·(max|λᵢ| + max|μⱼ| + …)`, or less where it is known to be more exact
    /// ([`KronSum::pseudo_solve`] solves such systems as far as they can be); [`KronError::NonFinite`] for factors that
    /// hold values that are not finite; [`KronError::NoConvergence`](crate::KronError::NoConvergence).
    ///
    /// [`KronError::NonFinite`]: crate::KronError::NonFinite
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// let sum = KronSum::new(array![[1.0]], array![[1.0, 1.0], [0.0, 2.0]])?; // [[2, 1], [0, 3]]
    /// let x: ndarray::Array2<f64> = sum.solve(&array![[4.0, 6.0]])?;
    /// assert!((x[[0, 0]] - 1.0).abs() < 1e-14 && (x[[0, 1]] - 2.0).abs() < 1e-14);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn solve<D: Dimension>(&self, y: &ArrayRef<T, D>) -> Result<Array<T, D>> {
        self.solve_with(y, Symmetry::Rounding)
    }

    /// [`KronSum::solve`] with a measure of how symmetric the factors must be to be treated as their symmetric parts.
    ///
    /// # Errors
    /// As [`KronSum::solve`].
    pub fn solve_with<D: Dimension>(&self, y: &ArrayRef<T, D>, symmetry: Symmetry<T>) -> Result<Array<T, D>> {
        self.solve_as("solve", self.name(false), T::zero(), y, symmetry)
    }

    /// Solves `(A ⊕ B + c·I)·x = y` for every sample of `y`: a step of the heat equation, a screened Poisson equation.
    ///
    /// # Shapes, method and cost
    /// Those of [`KronSum::solve`]; for many shifts of symmetric factors keep [`KronSum::symmetric_eigen`].
    /// # Errors
    /// As [`KronSum::solve`], with `|c|` added to the measure of zero.
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// let l = array![[1.0, -1.0], [-1.0, 1.0]];
    /// let sum = KronSum::new(&l, &l)?;
    /// let y = array![4.0, 0.0, 0.0, 0.0];
    /// let x = sum.solve_shifted(1.0, &y)?;
    /// assert!((sum.apply(&x)? + &x - &y).iter().all(|difference: &f64| difference.abs() < 1e-14));
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn solve_shifted<D: Dimension>(&self, c: T, y: &ArrayRef<T, D>) -> Result<Array<T, D>> {
        self.solve_shifted_with(c, y, Symmetry::Rounding)
    }

    /// [`KronSum::solve_shifted`] with a measure of how symmetric the factors must be to be treated as their symmetric
    /// parts.
    ///
    /// # Errors
    /// As [`KronSum::solve_shifted`].
    pub fn solve_shifted_with<D: Dimension>(
        &self,
        c: T,
        y: &ArrayRef<T, D>,
        symmetry: Symmetry<T>,
    ) -> Result<Array<T, D>> {
        self.solve_as("solve_shifted", self.name(true), c, y, symmetry)
    }

    fn solve_as<D: Dimension>(
        &self,
        operation: &'static str,
        name: &'static str,
        c: T,
        y: &ArrayRef<T, D>,
        symmetry: Symmetry<T>,
    ) -> Result<Array<T, D>> {
        let rows = self.samples(operation, "y").rows(y, None)?;
        let x = match path(operation, self.named(), symmetry)? {
            SolvePath::Symmetric => self.eigen(operation, symmetry)?.solve(operation, name, c, &rows)?,
            path => {
                let equation = (Combine::Sum, c);
                Triangular::new(operation, self.named(), equation, path, symmetry)?.solve(operation, name, &rows)?
            }
        };
        self.samples(operation, "x").array(x, y.ndim())
    }

    /// Which way [`KronSum::solve_with`] and [`KronSum::solve_shifted_with`] take with this measure of symmetry, and
    /// [`KronSum::solve`] and [`KronSum::solve_shifted`] with [`Symmetry::Rounding`].
    ///
    /// # Cost
    /// One pass over the factors.
    /// # Errors
    /// [`KronError::NonFinite`](crate::KronError::NonFinite).
    /// # Examples
    /// ```
    /// use lokr_core::{KronSum, SolvePath, Symmetry};
    /// use ndarray::array;
    /// let sum = KronSum::new(array![[2.0, 1.0], [1.0 + 1e-9, 2.0]], array![[1.0]])?;
    /// assert_eq!(sum.solve_path(Symmetry::Rounding)?, SolvePath::Schur);
    /// assert_eq!(sum.solve_path(Symmetry::Within(1e-8))?, SolvePath::Symmetric);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn solve_path(&self, symmetry: Symmetry<T>) -> Result<SolvePath> {
        path("solve_path", self.named(), symmetry)
    }

    /// The shortest `x` with the least `‖(A ⊕ B)·x − y‖` for every sample of `y`, with symmetric factors, and what
    /// could not be solved: the Poisson equation with Neumann boundaries, whose null space are the constants.
    ///
    /// # Shapes and cost
    /// Those of [`KronSum::solve`] with symmetric factors.
    /// # Errors
    /// Those of [`KronSum::symmetric_eigen`] and of
    /// [`KronEigen::pseudo_solve`](crate::KronEigen::pseudo_solve), which is what solves; of the decomposition kept one
    /// can ask again and again, and with another tolerance.
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// let l = array![[1.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 1.0]];
    /// let laplacian = KronSum::new(&l, &l)?;
    /// let source = array![[[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, -1.0]]]; // one field, without a mean
    /// let solution = laplacian.pseudo_solve(&source)?;
    /// assert_eq!(solution.nullity, 1);
    /// assert!(solution.is_solved_within(1e-14));
    /// assert!((laplacian.apply(&solution.x)? - &source).iter().all(|difference: &f64| difference.abs() < 1e-14));
    ///
    /// let solution = laplacian.pseudo_solve(&array![[[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])?;
    /// assert!((solution.null_share[0] - 1.0 / 3.0).abs() < 1e-14); // its mean is a third of its length
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn pseudo_solve<D: Dimension>(&self, y: &ArrayRef<T, D>) -> Result<PseudoSolution<T, D>> {
        self.samples("pseudo_solve", "y").count(y.shape(), None)?;
        self.eigen("pseudo_solve", Symmetry::Rounding)?.pseudo_solve(y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::kron_sum::cases::{dense_sum, sums_of};
    use crate::error::KronError;
    use crate::operator::{Factor, Kron};
    use crate::test_support::{all_close, close, positive, symmetric};
    use lokr_testing::matrix;
    use ndarray::{Array2, array, s};

    /// Every kind of factors, well conditioned.
    fn all_kinds<T: Scalar>() -> Vec<(KronSum<'static, T>, Array2<T>)> {
        let general =
            |size: usize, seed| matrix::<T>(size, size, seed) + Array2::<T>::eye(size) * T::from_usize_lossy(size + 1);
        let mixed = |size, seed| if seed % 2 == 0 { positive(size, seed) } else { general(size, seed) };
        [sums_of(positive), sums_of(general), sums_of(mixed)].into_iter().flatten().collect()
    }

    fn solves<T: Scalar>(scales: [f64; 3]) {
        for (sum, dense) in all_kinds::<T>() {
            let size = dense.nrows();
            for scale in scales.map(T::from_f64_lossy) {
                let scaled = &sum * scale;
                for batch in [0, 1, 3] {
                    let x = matrix::<T>(batch, size, 3);
                    let y = x.dot(&dense.t());
                    let allowed = T::from_usize_lossy(100 + 20 * size);
                    all_close(&scaled.solve(&(&y * scale)).unwrap(), &x, allowed);
                    for c in [0.75, 40.0].map(T::from_f64_lossy) {
                        let y = (&y + &x * c) * scale;
                        all_close(&scaled.solve_shifted(c * scale, &y).unwrap(), &x, allowed);
                    }
                }
            }
            let y = matrix::<T>(1, size, 4);
            assert_eq!(sum.solve(&y.row(0)).unwrap(), sum.solve(&y).unwrap().row(0));
            // A shift of another size than the sum.
            let far = T::from_f64_lossy(scales[2] * scales[2] * 1e-10);
            all_close(&(sum.solve_shifted(far, &y).unwrap() * far), &y, T::from_f64_lossy(4.0));
        }
    }

    #[test]
    fn gives_back_what_was_applied_in_f32_and_f64_at_every_scale() {
        solves::<f32>([1.0, 1e-30, 1e15]);
        solves::<f64>([1.0, 1e-200, 1e120]);
    }

    #[test]
    fn skew_factors_take_their_own_way() {
        let skew = |size, seed| {
            let half = matrix::<f64>(size, size, seed);
            &half - &half.t()
        };
        for (sum, path) in [
            (KronSum::from_factors([skew(3, 1), skew(2, 2)]).unwrap(), SolvePath::Skew),
            (KronSum::from_factors([skew(2, 1), symmetric(3, 2), skew(2, 3)]).unwrap(), SolvePath::Skew),
            (KronSum::from_factors([skew(2, 1), symmetric(3, 2)]).unwrap(), SolvePath::Schur),
        ] {
            assert_eq!(sum.solve_path(Symmetry::Rounding), Ok(path));
            let y = matrix::<f64>(2, sum.nrows(), 4);
            let x = sum.solve_shifted(0.6, &y).unwrap();
            let size = x.iter().fold(1.0_f64, |max, x| max.max(x.abs()));
            all_close(&(sum.apply(&x).unwrap() + &x * 0.6), &y, 100.0 * size);
        }
    }

    #[test]
    fn the_path_can_be_asked_for() {
        let mut a = positive::<f64>(3, 1);
        a[[0, 1]] += 1e-9;
        let sum = KronSum::new(&a, positive(2, 2)).unwrap();
        let y = matrix::<f64>(2, 6, 3);
        let schur = sum.solve(&y).unwrap();
        for (symmetry, path) in [
            (Symmetry::Rounding, SolvePath::Schur),
            (Symmetry::Within(1e-12), SolvePath::Schur),
            (Symmetry::Within(1e-8), SolvePath::Symmetric),
            (Symmetry::Average, SolvePath::Symmetric),
        ] {
            assert_eq!(sum.solve_path(symmetry), Ok(path));
            let difference = sum.solve_with(&y, symmetry).unwrap() - &schur;
            assert!(difference.iter().all(|x| x.abs() < 1e-8));
        }
        assert!(sum.symmetric_eigen_with(Symmetry::Average).is_ok());
    }

    #[test]
    fn low_rank_factors() {
        let b = Factor::low_rank(matrix::<f64>(4, 2, 1), matrix(2, 4, 2)).unwrap();
        let (a, dense_b) = (matrix(3, 3, 3) + Array2::<f64>::eye(3) * 5.0, b.to_dense());
        let (sum, dense) = (KronSum::new(&a, b).unwrap(), dense_sum(&[a.clone(), dense_b]));
        let x = matrix(2, 12, 4);
        all_close(&sum.solve(&x.dot(&dense.t())).unwrap(), &x, 100.0);
    }

    /// The Laplacian of a path, with the derivative zero at its ends.
    fn neumann<T: Scalar>(size: usize) -> Array2<T> {
        let mut l = Array2::zeros((size, size));
        for i in 1..size {
            for (row, col, value) in [(i, i, 1.0), (i - 1, i - 1, 1.0), (i, i - 1, -1.0), (i - 1, i, -1.0)] {
                l[[row, col]] += T::from_f64_lossy(value);
            }
        }
        l
    }

    fn neumann_problems<T: Scalar>(scales: [f64; 3]) {
        for (sum, dense) in sums_of(|side, _| neumann::<T>(side)) {
            let size = dense.nrows();
            let x = matrix::<T>(3, size, 1);
            let x = &x - &x.mean_axis(ndarray::Axis(1)).unwrap().insert_axis(ndarray::Axis(1));
            let allowed = T::from_usize_lossy(8 * size);
            for scale in scales.map(T::from_f64_lossy) {
                let (sum, y) = (&sum * scale, x.dot(&dense) * scale);
                assert!(matches!(sum.solve(&y), Err(KronError::Singular { operation: "solve", .. })));
                let solution = sum.pseudo_solve(&y).unwrap();
                all_close(&solution.x, &x, allowed);
                assert_eq!((solution.nullity, solution.null_share.len()), (1, 3));
                assert!(solution.is_solved_within(T::epsilon() * allowed));
                // A constant has no part that can be solved.
                let solution = sum.pseudo_solve(&Array2::from_elem((1, size), scale)).unwrap();
                close(solution.null_share[0], T::one(), allowed);
                all_close(&solution.x, &Array2::zeros((1, size)), allowed);
                let eigen = sum.symmetric_eigen().unwrap();
                assert_eq!(eigen.pseudo_solve(&y), sum.pseudo_solve(&y));
                let all_out = eigen.pseudo_solve_with(T::one(), &y).unwrap();
                assert_eq!((all_out.nullity, all_out.x), (size, Array2::zeros((3, size))));
            }
        }
    }

    #[test]
    fn neumann_problems_in_f32_and_f64_at_every_scale() {
        neumann_problems::<f32>([1.0, 1e-30, 1e30]);
        neumann_problems::<f64>([1.0, 1e-200, 1e200]);
    }

    #[test]
    fn regular_sums_have_no_null_space() {
        let sum = KronSum::new(positive::<f64>(3, 1), positive(2, 2)).unwrap();
        let y = matrix::<f64>(2, 6, 3);
        let solution = sum.pseudo_solve(&y).unwrap();
        all_close(&solution.x, &sum.solve(&y).unwrap(), 10.0);
        assert_eq!((solution.nullity, solution.null_share), (0, array![0.0, 0.0]));
        let nan = sum.pseudo_solve(&array![f64::NAN, 0.0, 0.0, 0.0, 0.0, 0.0]).unwrap();
        assert!(nan.x.iter().all(|x| x.is_nan()) && !nan.is_solved_within(1.0));
        assert_eq!(sum.pseudo_solve(&Array2::<f64>::zeros((1, 6))).unwrap().null_share, array![0.0]);
    }

    #[test]
    fn the_bits_do_not_depend_on_the_number_of_threads() {
        let (a, b) = (matrix::<f32>(37, 37, 1), matrix(29, 29, 2));
        let (sum, product) = (KronSum::new(&a, &b).unwrap(), Kron::new(&a, &b).unwrap());
        let three = KronSum::from_factors([matrix::<f32>(7, 7, 1), matrix(5, 5, 2), matrix(3, 3, 4)]).unwrap();
        let x = matrix(11, 37 * 29, 3);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let fewer = x.slice(s![.., ..105]);
            pool.install(|| {
                (sum.solve(&x), product.solve(&x), product.solve_shifted(0.5, &x), three.solve_shifted(0.5, &fewer))
            })
        };
        let one = run(1);
        assert!(one.0.is_ok() && one.2.is_ok() && one.3.is_ok());
        assert_eq!(one, run(3));
    }

    #[test]
    fn each_error_is_named() {
        // Eigenvalues 1 and −1, the former only up to rounding: their sum is as good as zero.
        let basis = Kron::new(symmetric::<f64>(3, 1), array![[1.0]]).unwrap().symmetric_eigen().unwrap();
        let basis = basis.vectors().to_dense();
        let sum = KronSum::new(basis.dot(&basis.t()), -Array2::<f64>::eye(1)).unwrap();
        let singular = |operation, name| KronError::Singular { operation, name };
        assert_eq!(sum.solve(&array![[1.0, 2.0, 3.0]]), Err(singular("solve", "A ⊕ B")));
        let sum = KronSum::new(array![[1.0]], array![[-1.0, 3.0], [0.0, 1.0]]).unwrap();
        assert_eq!(sum.solve(&array![[1.0, 2.0]]), Err(singular("solve", "A ⊕ B")));
        let error = sum.solve_shifted(-2.0, &array![1.0, 2.0]);
        assert_eq!(error, Err(singular("solve_shifted", "A ⊕ B + c·I")));
        let three = KronSum::new(sum.view(), array![[0.0]]).unwrap();
        assert_eq!(three.solve(&array![[1.0, 2.0]]), Err(singular("solve", "A₁ ⊕ … ⊕ A_k")));
        let shape = |operation| KronError::Shape { operation, argument: "y", expected: (1, 2), found: (1, 3) };
        assert_eq!(sum.solve(&array![[1.0, 2.0, 3.0]]), Err(shape("solve")));
        assert_eq!(sum.solve_shifted(1.0, &array![[1.0, 2.0, 3.0]]), Err(shape("solve_shifted")));
        assert_eq!(sum.pseudo_solve(&array![[1.0, 2.0, 3.0]]), Err(shape("pseudo_solve")));
        let error = KronError::NotSymmetric { operation: "pseudo_solve", name: "B", difference: 3.0 };
        assert_eq!(sum.pseudo_solve(&array![[1.0, 2.0]]), Err(error));
        let nan = KronSum::new(array![[1.0]], array![[f64::NAN]]).unwrap();
        let error = |operation| KronError::NonFinite { operation, argument: "B", count: 1 };
        assert_eq!(nan.solve(&array![[1.0]]), Err(error("solve")));
        assert_eq!(nan.solve_shifted(1.0, &array![[1.0]]), Err(error("solve_shifted")));
        assert_eq!(nan.pseudo_solve(&array![[1.0]]), Err(error("pseudo_solve")));
    }
}
