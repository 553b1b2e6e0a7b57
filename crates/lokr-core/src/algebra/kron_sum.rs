//! The Kronecker sum.

use ndarray::{Array1, Array2, ArrayRef2};
use rayon::prelude::*;

use super::eigen::{Combine, KronEigen};
use super::solve_path::{SolvePath, path};
use super::sylvester::{Sylvester, Triangular};
use super::trace::trace;
use crate::decompose::Symmetry;
use crate::error::{KronError, Result};
use crate::gemm::{Blend, Threads, product, views};
use crate::operator::Factor;
use crate::scalar::Scalar;
use crate::shape::KronShape;

/// The Kronecker sum `A ⊕ B = A ⊗ I_p + I_n ⊗ B` of square factors `A (n, n)` and `B (p, p)`, `(n·p, n·p)`, held as its
/// factors.
///
/// On a row read as an `n × p` matrix `X` it acts as `A·X + X·Bᵀ`. The Laplacian of a grid is one.
///
/// # Examples
/// ```
/// use lokr_core::KronSum;
/// use ndarray::array;
/// let sum = KronSum::new(array![[1.0, 2.0], [3.0, 4.0]], array![[10.0]])?;
/// assert_eq!(sum.to_dense(), array![[11.0, 2.0], [3.0, 14.0]]);
/// assert_eq!(sum.apply(&array![[1.0, 1.0]])?, array![[13.0, 17.0]]);
/// # Ok::<(), lokr_core::KronError>(())
/// ```
#[derive(Clone)]
pub struct KronSum<'a, T> {
    pub(super) a: Factor<'a, T>,
    pub(super) b: Factor<'a, T>,
}

impl<'a, T: Scalar> KronSum<'a, T> {
    /// The sum of two square factors. Nothing is computed or copied.
    ///
    /// # Errors
    /// [`KronError::NotSquare`]; [`KronError::EmptyFactor`]; [`KronError::TooLarge`] when the element count overflows.
    pub fn new(a: impl Into<Factor<'a, T>>, b: impl Into<Factor<'a, T>>) -> Result<Self> {
        let (a, b) = (a.into(), b.into());
        let n = KronError::check_square("Kronecker sum", "A", a.dim())?;
        let p = KronError::check_square("Kronecker sum", "B", b.dim())?;
        KronShape::new(n, n, p, p)?;
        Ok(Self { a, b })
    }

    /// The first factor, `(n, n)`.
    #[must_use]
    pub fn a(&self) -> &Factor<'a, T> {
        &self.a
    }

    /// The second factor, `(p, p)`.
    #[must_use]
    pub fn b(&self) -> &Factor<'a, T> {
        &self.b
    }

    /// Shape, `(n·p, n·p)`.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        let side = self.a.dim().0 * self.b.dim().0;
        (side, side)
    }

    /// The transpose, `(A ⊕ B)ᵀ = Aᵀ ⊕ Bᵀ`, borrowed from this one.
    #[must_use]
    pub fn transposed(&self) -> KronSum<'_, T> {
        KronSum { a: self.a.transposed(), b: self.b.transposed() }
    }

    /// One element: at row `i·p + k` and column `j·p + l` it is `A[i, j]·[k = l] + [i = j]·B[k, l]`.
    ///
    /// # Errors
    /// [`KronError::OutOfBounds`].
    pub fn element(&self, row: usize, col: usize) -> Result<T> {
        let p = self.b.dim().0;
        match (self.a.get(row / p, col / p), self.b.get(row % p, col % p)) {
            (Some(a), Some(b)) => Ok(combine(a, b, row / p == col / p, row % p == col % p)),
            _ => Err(KronError::OutOfBounds { operation: "element", row, col, shape: self.dim() }),
        }
    }

    /// The whole sum as a matrix of its own: `(n·p)²` values of memory.
    #[must_use]
    pub fn to_dense(&self) -> Array2<T> {
        let p = self.b.dim().0;
        let (a, b) = (self.a.dense(), self.b.dense());
        Array2::from_shape_fn(self.dim(), |(row, col)| {
            let (i, j, k, l) = (row / p, col / p, row % p, col % p);
            combine(a[[i, j]], b[[k, l]], i == j, k == l)
        })
    }

    /// Sum of the diagonal, `p·tr A + n·tr B`.
    #[must_use]
    pub fn trace(&self) -> T {
        let (n, p) = (T::from_usize_lossy(self.a.dim().0), T::from_usize_lossy(self.b.dim().0));
        p * trace(&self.a) + n * trace(&self.b)
    }

    /// Applies the sum to every row of `x`: `Y = X·(A ⊕ B)ᵀ`, `Y_i = A·X_i + X_i·Bᵀ`.
    ///
    /// # Shapes
    /// `x`: `batch × (n·p)`, any strides, `batch = 0` allowed. Result: the same shape, row-major.
    /// # Cost
    /// `2·batch·n·p·(n + p)` flops. A low-rank factor is formed first.
    /// # Errors
    /// [`KronError::Shape`].
    pub fn apply(&self, x: &ArrayRef2<T>) -> Result<Array2<T>> {
        KronError::check_shape("apply", "x", (x.nrows(), self.dim().1), x.dim())?;
        let (a, b, p) = (self.a.dense(), self.b.dense(), self.b.dim().0);
        let x = x.as_standard_layout();
        let mut y = Array2::zeros(x.dim());
        let (x_flat, y_flat) = (views::flat(&x), views::flat_mut(&mut y));
        product(Blend::overwrite(), views::view(x_flat, p), b.t(), views::view_mut(y_flat, p), Threads::All);
        let size = self.dim().1;
        y_flat.par_chunks_exact_mut(size).zip(x_flat.par_chunks_exact(size)).for_each(|(y, x)| {
            product(Blend::add(), a.view(), views::view(x, p), views::view_mut(y, p), Threads::One);
        });
        Ok(y)
    }

    /// The eigenvalues of a sum of two symmetric factors, `λᵢ + μⱼ`, ascending.
    ///
    /// # Errors
    /// As [`Kron::symmetric_eigen`](crate::Kron::symmetric_eigen).
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// let sum = KronSum::new(array![[2.0]], array![[0.0, 1.0], [1.0, 0.0]])?; // 2, and ±1
    /// let values = sum.symmetric_eigenvalues()?;
    /// assert!((values[0] - 1.0_f64).abs() < 1e-14 && (values[1] - 3.0).abs() < 1e-14);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn symmetric_eigenvalues(&self) -> Result<Array1<T>> {
        Ok(self.eigen("symmetric_eigenvalues", Symmetry::Rounding)?.values().to_owned())
    }

    /// The eigenvalue decomposition of a sum of two symmetric factors.
    ///
    /// # Errors
    /// As [`Kron::symmetric_eigen`](crate::Kron::symmetric_eigen).
    pub fn symmetric_eigen(&self) -> Result<KronEigen<T>> {
        self.symmetric_eigen_with(Symmetry::Rounding)
    }

    /// [`KronSum::symmetric_eigen`] of the symmetric parts of the factors, with a measure of how symmetric they must
    /// be.
    ///
    /// # Errors
    /// As [`Kron::symmetric_eigen`](crate::Kron::symmetric_eigen).
    pub fn symmetric_eigen_with(&self, symmetry: Symmetry<T>) -> Result<KronEigen<T>> {
        self.eigen("symmetric_eigen", symmetry)
    }

    /// Solves `(A ⊕ B)·x = y` for every row of `y`: the Sylvester equation `A·X + X·Bᵀ = Y`.
    ///
    /// # Shapes
    /// `y`: `batch × (n·p)`, any strides, `batch = 0` allowed. Result: the same shape, row-major.
    /// # Method and cost
    /// Those of [`Kron::solve_shifted`](crate::Kron::solve_shifted): symmetric factors by their eigenvectors, others by
    /// their complex Schur decompositions.
    /// # Errors
    /// [`KronError::Shape`]; [`KronError::Singular`] when an eigenvalue `λᵢ + μⱼ` is zero up to the rounding error of
    /// the decomposition, `(n + p)·ε·(max|λᵢ| + max|μⱼ|)`, or less where it is known to be more exact;
    /// [`KronError::NonFinite`] for factors that hold values that
    /// are not finite; [`KronError::NoConvergence`].
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// let sum = KronSum::new(array![[1.0]], array![[1.0, 1.0], [0.0, 2.0]])?; // [[2, 1], [0, 3]]
    /// let x: ndarray::Array2<f64> = sum.solve(&array![[4.0, 6.0]])?;
    /// assert!((x[[0, 0]] - 1.0).abs() < 1e-14 && (x[[0, 1]] - 2.0).abs() < 1e-14);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn solve(&self, y: &ArrayRef2<T>) -> Result<Array2<T>> {
        self.solve_with(y, Symmetry::Rounding)
    }

    /// [`KronSum::solve`] with a measure of how symmetric the factors must be to be treated as their symmetric parts.
    ///
    /// # Errors
    /// As [`KronSum::solve`].
    pub fn solve_with(&self, y: &ArrayRef2<T>, symmetry: Symmetry<T>) -> Result<Array2<T>> {
        let (operation, name) = ("solve", "A ⊕ B");
        KronError::check_shape(operation, "y", (y.nrows(), self.dim().0), y.dim())?;
        match path(operation, &self.a, &self.b, symmetry)? {
            SolvePath::Symmetric => self.eigen(operation, symmetry)?.solve(operation, name, T::zero(), y),
            path => Triangular::new(operation, &self.a, &self.b, Sylvester::Sum, path)?.solve(operation, name, y),
        }
    }

    /// Which way [`KronSum::solve_with`] takes with this measure of symmetry, and [`KronSum::solve`] with
    /// [`Symmetry::Rounding`].
    ///
    /// # Cost
    /// One pass over the factors.
    /// # Errors
    /// [`KronError::NonFinite`].
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
        path("solve_path", &self.a, &self.b, symmetry)
    }

    fn eigen(&self, operation: &'static str, symmetry: Symmetry<T>) -> Result<KronEigen<T>> {
        KronEigen::new(operation, &self.a, &self.b, Combine::Sum, symmetry)
    }
}

/// `a·[k = l] + [i = j]·b`.
fn combine<T: Scalar>(a: T, b: T, same_block: bool, same_within: bool) -> T {
    let keep = |value, keep| if keep { value } else { T::zero() };
    keep(a, same_within) + keep(b, same_block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decompose::reference;
    use crate::operator::{Kron, kron_dense};
    use crate::test_support::{all_close, close, positive, symmetric};
    use lokr_testing::matrix;
    use ndarray::{array, s};

    fn dense_sum<T: Scalar>(a: &Array2<T>, b: &Array2<T>) -> Array2<T> {
        let (n, p) = (a.nrows(), b.nrows());
        kron_dense(a, &Array2::eye(p)).unwrap() + kron_dense(&Array2::eye(n), b).unwrap()
    }

    fn agrees_with_the_dense_sum<T: Scalar>() {
        for (n, p) in [(1, 1), (1, 5), (3, 1), (2, 7), (5, 3)] {
            let (a, b) = (matrix::<T>(n, n, 1), matrix::<T>(p, p, 2));
            let (sum, dense) = (KronSum::new(&a, &b).unwrap(), dense_sum(&a, &b));
            let scale = T::from_usize_lossy(n * p);
            assert_eq!(sum.to_dense(), dense);
            assert_eq!(sum.transposed().to_dense(), dense.t());
            dense.indexed_iter().for_each(|((i, j), &value)| assert_eq!(sum.element(i, j), Ok(value)));
            close(sum.trace(), dense.diag().sum(), scale);
            for batch in [0, 1, 4] {
                let x = matrix::<T>(batch, n * p, 3);
                all_close(&sum.apply(&x).unwrap(), &x.dot(&dense.t()), scale);
                let reversed = x.slice(s![.., ..;-1]);
                all_close(&sum.apply(&reversed).unwrap(), &reversed.dot(&dense.t()), scale);
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_sum() {
        agrees_with_the_dense_sum::<f32>();
        agrees_with_the_dense_sum::<f64>();
    }

    fn solves<T: Scalar>() {
        for (n, p) in [(1, 1), (1, 5), (2, 7), (5, 3)] {
            let general = |size: usize, seed| {
                matrix::<T>(size, size, seed) + Array2::<T>::eye(size) * T::from_usize_lossy(size + 1)
            };
            let pairs =
                [(positive(n, 1), positive(p, 2)), (general(n, 3), general(p, 4)), (positive(n, 5), general(p, 6))];
            for (a, b) in pairs {
                let (sum, dense) = (KronSum::new(&a, &b).unwrap(), dense_sum(&a, &b));
                for batch in [0, 1, 4] {
                    let x = matrix::<T>(batch, n * p, 3);
                    let y = x.dot(&dense.t());
                    all_close(&sum.solve(&y).unwrap(), &x, T::from_f64_lossy(100.0));
                }
            }
        }
    }

    #[test]
    fn solve_gives_back_what_was_applied_in_f32_and_f64() {
        solves::<f32>();
        solves::<f64>();
    }

    #[test]
    fn eigenvalues_agree_with_the_dense_ones() {
        let (a, b) = (symmetric::<f64>(4, 1), symmetric(3, 2));
        let (sum, dense) = (KronSum::new(&a, &b).unwrap(), dense_sum(&a, &b));
        let expected = reference::symmetric_eigenvalues(&dense);
        let eigen = sum.symmetric_eigen().unwrap();
        assert_eq!(sum.symmetric_eigenvalues().unwrap(), eigen.values());
        for (index, &value) in eigen.values().indexed_iter() {
            close(value, expected[index], 12.0);
            let vector = eigen.vector(index).unwrap();
            dense.dot(&vector).iter().zip(&vector).for_each(|(&mv, &v)| close(mv, value * v, 12.0));
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
        let (sum, dense) = (KronSum::new(&a, b).unwrap(), dense_sum(&a, &dense_b));
        close(sum.trace(), dense.diag().sum(), 12.0);
        let x = matrix(2, 12, 4);
        let y = x.dot(&dense.t());
        all_close(&sum.apply(&x).unwrap(), &y, 12.0);
        all_close(&sum.solve(&y).unwrap(), &x, 100.0);
    }

    #[test]
    fn the_bits_do_not_depend_on_the_number_of_threads() {
        let (a, b) = (matrix::<f32>(37, 37, 1), matrix(29, 29, 2));
        let (sum, product) = (KronSum::new(&a, &b).unwrap(), Kron::new(&a, &b).unwrap());
        let x = matrix(11, 37 * 29, 3);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| (sum.apply(&x), sum.solve(&x), product.solve(&x), product.solve_shifted(0.5, &x)))
        };
        let one = run(1);
        assert!(one.1.is_ok() && one.3.is_ok());
        assert_eq!(one, run(3));
    }

    #[test]
    fn each_error_is_named() {
        let operation = "Kronecker sum";
        let error = KronSum::new(matrix::<f64>(2, 2, 1), matrix(2, 3, 1)).unwrap_err();
        assert_eq!(error, KronError::NotSquare { operation, name: "B", shape: (2, 3) });
        let error = KronSum::new(matrix::<f64>(0, 0, 1), matrix(2, 2, 1)).unwrap_err();
        assert_eq!(error, KronError::EmptyFactor { name: "A", rows: 0, cols: 0 });
        // Eigenvalues 1 and −1, the former only up to rounding: their sum is as good as zero.
        let basis = Kron::new(symmetric::<f64>(3, 1), array![[1.0]]).unwrap().symmetric_eigen().unwrap();
        let basis = basis.vectors().to_dense();
        let sum = KronSum::new(basis.dot(&basis.t()), -Array2::<f64>::eye(1)).unwrap();
        let singular = KronError::Singular { operation: "solve", name: "A ⊕ B" };
        assert_eq!(sum.solve(&array![[1.0, 2.0, 3.0]]), Err(singular.clone()));
        let sum = KronSum::new(array![[1.0]], array![[-1.0, 3.0], [0.0, 1.0]]).unwrap();
        assert_eq!(sum.solve(&array![[1.0, 2.0]]), Err(singular));
        let shape = |operation, argument| KronError::Shape { operation, argument, expected: (1, 2), found: (1, 3) };
        assert_eq!(sum.solve(&array![[1.0, 2.0, 3.0]]), Err(shape("solve", "y")));
        assert_eq!(sum.apply(&array![[1.0, 2.0, 3.0]]), Err(shape("apply", "x")));
        let error = KronError::OutOfBounds { operation: "element", row: 0, col: 2, shape: (2, 2) };
        assert_eq!(sum.element(0, 2), Err(error));
        let operation = "symmetric_eigen";
        let error = sum.symmetric_eigen().unwrap_err();
        assert_eq!(error, KronError::NotSymmetric { operation, name: "B", difference: 3.0 });
    }
}
