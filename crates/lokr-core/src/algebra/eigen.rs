//! The symmetric eigenvalue decomposition of a Kronecker product or sum, held as those of its factors.

use ndarray::{Array1, Array2, ArrayRef2, ArrayView1};

use super::sorted::{Sort, kron_vector, sorted};
use crate::decompose::symmetric_eigen;
use crate::error::{KronError, Result};
use crate::operator::{Factor, Kron};
use crate::scalar::Scalar;

/// `M = (Q_A ⊗ Q_B)·Λ·(Q_A ⊗ Q_B)ᵀ` for `M = A ⊗ B` or `M = A ⊕ B` with symmetric factors: the eigenvectors are the
/// Kronecker products of the factors' eigenvectors, the eigenvalues the products `λᵢ·μⱼ`, or the sums `λᵢ + μⱼ`.
/// Made by [`Kron::symmetric_eigen`] and [`KronSum::symmetric_eigen`](crate::KronSum::symmetric_eigen).
///
/// # Examples
/// ```
/// # use lokr_core::Kron;
/// # use ndarray::array;
/// let k = Kron::new(array![[0.0, 1.0], [1.0, 0.0]], array![[3.0]])?; // eigenvalues ±1, and 3
/// let eigen = k.symmetric_eigen()?;
/// assert!((eigen.values()[0] - -3.0_f64).abs() < 1e-14 && (eigen.values()[1] - 3.0).abs() < 1e-14);
/// let v = eigen.vector(1)?;
/// assert!((v[0] - v[1]).abs() < 1e-14); // (1, 1)/√2 or its negative
/// # Ok::<(), lokr_core::KronError>(())
/// ```
#[derive(Debug, Clone)]
pub struct KronEigen<T: Scalar> {
    vectors: Kron<'static, T>,
    /// Eigenvalue of column `i·p + j` of the vectors at `[i, j]`.
    grid: Array2<T>,
    /// What the largest magnitudes of the factors' eigenvalues make together: the measure of rounding errors.
    magnitude: T,
    values: Array1<T>,
    pairs: Vec<(usize, usize)>,
}

impl<T: Scalar> Kron<'_, T> {
    /// The eigenvalues of a product of two symmetric factors, ascending.
    ///
    /// # Cost
    /// That of [`Kron::symmetric_eigen`].
    /// # Errors
    /// As [`Kron::symmetric_eigen`].
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[2.0, 0.0], [0.0, -1.0]], array![[5.0, 0.0], [0.0, 3.0]])?;
    /// let values = k.symmetric_eigenvalues()?;
    /// let expected = array![-5.0, -3.0, 6.0, 10.0_f64];
    /// assert!((&values - &expected).iter().all(|difference| difference.abs() < 1e-14));
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn symmetric_eigenvalues(&self) -> Result<Array1<T>> {
        Ok(self.eigen("symmetric_eigenvalues")?.values)
    }

    /// The eigenvalue decomposition of a product of two symmetric factors.
    ///
    /// # Cost
    /// Some `9·(n³ + q³)` flops, and a sort of `n·q` products.
    /// # Errors
    /// [`KronError::NotSquare`]; [`KronError::NotSymmetric`] when `|M[i, j] − M[j, i]|` exceeds `size · ε · max|M|` in
    /// a factor (less is taken for rounding and averaged); [`KronError::NonFinite`];
    /// [`KronError::NoConvergence`].
    pub fn symmetric_eigen(&self) -> Result<KronEigen<T>> {
        self.eigen("symmetric_eigen")
    }

    pub(super) fn eigen(&self, operation: &'static str) -> Result<KronEigen<T>> {
        KronEigen::new(operation, self.a(), self.b(), |a, b| a * b)
    }
}

impl<T: Scalar> KronEigen<T> {
    /// Eigenvalues of the whole come from one of each factor by `combine`.
    pub(super) fn new(
        operation: &'static str,
        a: &Factor<'_, T>,
        b: &Factor<'_, T>,
        combine: impl Fn(T, T) -> T,
    ) -> Result<Self> {
        KronError::check_square(operation, "A", a.dim())?;
        KronError::check_square(operation, "B", b.dim())?;
        let (a_values, a_vectors) = symmetric_eigen(operation, "A", a)?;
        let (b_values, b_vectors) = symmetric_eigen(operation, "B", b)?;
        let size = (a_values.len(), b_values.len());
        let grid = Array2::from_shape_fn(size, |(i, j)| combine(a_values[i], b_values[j]));
        let largest = |values: &Array1<T>| values.iter().fold(T::zero(), |largest, value| largest.max(value.abs()));
        let magnitude = combine(largest(&a_values), largest(&b_values));
        let (values, pairs) = sorted(&grid, Sort::Ascending);
        Ok(Self { vectors: Kron::new(a_vectors, b_vectors)?, grid, magnitude, values, pairs })
    }

    /// The eigenvalues, ascending.
    #[must_use]
    pub fn values(&self) -> ArrayView1<'_, T> {
        self.values.view()
    }

    /// For each value, from which eigenvalues of `A` and of `B` (each ascending) it is made. Equal values keep the
    /// order of their pairs.
    #[must_use]
    pub fn pairs(&self) -> &[(usize, usize)] {
        &self.pairs
    }

    /// `Q_A ⊗ Q_B`, orthogonal. Its columns are not sorted: the eigenvector of the `index`-th value is column
    /// `i·side(B) + j` with `(i, j) = pairs()[index]`.
    #[must_use]
    pub fn vectors(&self) -> &Kron<'static, T> {
        &self.vectors
    }

    /// The eigenvector of the `index`-th value, of length one.
    ///
    /// # Errors
    /// [`KronError::OutOfBounds`].
    pub fn vector(&self, index: usize) -> Result<Array1<T>> {
        let &(i, j) = self.pairs.get(index).ok_or(KronError::OutOfBounds {
            operation: "vector",
            row: 0,
            col: index,
            shape: self.vectors.dim(),
        })?;
        let (a, b) = (self.vectors.a().dense(), self.vectors.b().dense());
        Ok(kron_vector(a.column(i), b.column(j)))
    }

    /// Solves `(M + c·I)·x = y` for every row of `y`; one decomposition serves any number of shifts `c`.
    ///
    /// # Shapes
    /// `y`: `batch × (n·q)`, any strides, `batch = 0` allowed; the result likewise.
    /// # Cost
    /// `4·batch·n·q·(n + q)` flops.
    /// # Errors
    /// [`KronError::Shape`]; [`KronError::Singular`] when an eigenvalue of `M + c·I` is zero up to the rounding error
    /// of the decomposition, `(n + q)·ε·(max|λ|·max|μ| + |c|)` for a product (for a sum `max|λ| + max|μ| + |c|`).
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[3.0]], array![[1.0, 0.0], [0.0, 2.0]])?;
    /// let eigen = k.symmetric_eigen()?;
    /// for c in [0.0, 1.0, 10.0] {
    ///     let x: ndarray::Array2<f64> = eigen.solve_shifted(c, &array![[3.0 + c, 6.0 + c]])?;
    ///     assert!((x[[0, 0]] - 1.0).abs() < 1e-14 && (x[[0, 1]] - 1.0).abs() < 1e-14);
    /// }
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn solve_shifted(&self, c: T, y: &ArrayRef2<T>) -> Result<Array2<T>> {
        KronError::check_shape("solve_shifted", "y", (y.nrows(), self.values.len()), y.dim())?;
        self.solve("solve_shifted", "M + c·I", c, y)
    }

    pub(super) fn solve(
        &self,
        operation: &'static str,
        name: &'static str,
        c: T,
        y: &ArrayRef2<T>,
    ) -> Result<Array2<T>> {
        let divisors = self.grid.mapv(|value| value + c);
        let sides = T::from_usize_lossy(self.grid.nrows() + self.grid.ncols());
        let least = sides * T::epsilon() * (self.magnitude + c.abs());
        if divisors.iter().any(|divisor| divisor.abs() <= least) {
            return Err(KronError::Singular { operation, name });
        }
        let mut x = self.vectors.apply_transposed(y)?;
        x /= &divisors.flatten();
        self.vectors.apply(&x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decompose::reference;
    use crate::test_support::{all_close, close, kron_of, positive, symmetric};
    use lokr_testing::matrix;
    use ndarray::array;

    fn agrees_with_the_dense_decomposition<T: Scalar>() {
        for (n, q) in [(1, 1), (1, 5), (3, 2), (4, 7)] {
            let k = Kron::new(symmetric::<T>(n, 1), symmetric(q, 2)).unwrap();
            let (dense, scale) = (k.to_dense(), T::from_usize_lossy(n * q));
            let eigen = k.symmetric_eigen().unwrap();
            let expected = reference::symmetric_eigenvalues(&dense);
            eigen.values().iter().zip(&expected).for_each(|(&found, &expected)| close(found, expected, scale));
            assert_eq!(k.symmetric_eigenvalues().unwrap(), eigen.values());

            let vectors = eigen.vectors().to_dense();
            all_close(&vectors.t().dot(&vectors), &Array2::eye(n * q), scale);
            for (index, &value) in eigen.values().indexed_iter() {
                let vector = eigen.vector(index).unwrap();
                let (i, j) = eigen.pairs()[index];
                assert_eq!(vector, vectors.column(i * q + j));
                dense.dot(&vector).iter().zip(&vector).for_each(|(&mv, &v)| close(mv, value * v, scale));
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_decomposition() {
        agrees_with_the_dense_decomposition::<f32>();
        agrees_with_the_dense_decomposition::<f64>();
    }

    #[test]
    fn a_symmetric_low_rank_factor_has_zero_eigenvalues() {
        let left = matrix::<f64>(4, 2, 1);
        let gram = Factor::low_rank(left.view(), left.t()).unwrap();
        let values = Kron::new(positive(3, 2), gram).unwrap().symmetric_eigenvalues().unwrap();
        values.iter().take(6).for_each(|&value| close(value, 0.0, 10.0));
        assert!(values[6] > 1e-3);
    }

    #[test]
    fn one_decomposition_solves_for_many_shifts() {
        let k = Kron::new(positive::<f64>(3, 1), positive(4, 2)).unwrap();
        let eigen = k.symmetric_eigen().unwrap();
        for c in [0.0, 0.5, 100.0] {
            for batch in [0, 1, 5] {
                let x = matrix::<f64>(batch, 12, 3);
                let y = x.dot(&(k.to_dense() + Array2::<f64>::eye(12) * c));
                all_close(&eigen.solve_shifted(c, &y).unwrap(), &x, 1000.0);
            }
        }
    }

    #[test]
    fn each_error_is_named() {
        let operation = "symmetric_eigen";
        let error = |k: Kron<'_, f64>| k.symmetric_eigen().unwrap_err();
        assert_eq!(error(kron_of(2, 2, 2, 3)), KronError::NotSquare { operation, name: "B", shape: (2, 3) });
        let k = Kron::new(array![[1.0, 2.0], [2.5, 1.0]], array![[1.0]]).unwrap();
        assert_eq!(error(k), KronError::NotSymmetric { operation, name: "A", difference: 0.5 });
        let k = Kron::new(array![[1.0]], array![[f64::NAN]]).unwrap();
        assert_eq!(error(k), KronError::NonFinite { operation, argument: "B", count: 1 });

        let eigen = Kron::new(array![[2.0]], array![[1.0, 0.0], [0.0, 3.0]]).unwrap().symmetric_eigen().unwrap();
        let out_of_bounds = KronError::OutOfBounds { operation: "vector", row: 0, col: 2, shape: (2, 2) };
        assert_eq!(eigen.vector(2), Err(out_of_bounds));
        let operation = "solve_shifted";
        let shape = KronError::Shape { operation, argument: "y", expected: (1, 2), found: (1, 3) };
        assert_eq!(eigen.solve_shifted(1.0, &array![[1.0, 2.0, 3.0]]), Err(shape));
        let singular = KronError::Singular { operation, name: "M + c·I" };
        assert_eq!(eigen.solve_shifted(-6.0, &array![[1.0, 2.0]]), Err(singular));
    }
}
