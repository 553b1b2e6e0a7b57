//! The symmetric eigenvalue decomposition of a Kronecker product or sum, held as those of its factors.

use ndarray::{Array1, Array2, ArrayRef2, ArrayView1};

use super::sorted::{Sort, kron_vector, sorted};
use crate::decompose::{Kind, Scaled, SymmetricEigen, Symmetry, kind, scaled_symmetric_eigen, skew_schur};
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
    /// How far each value of the grid may be from an eigenvalue: what the decompositions left over, measured, and
    /// roundings of the value itself.
    uncertainty: Array2<T>,
    /// What the largest magnitudes of the factors' eigenvalues make together: the measure of rounding errors.
    magnitude: T,
    values: Array1<T>,
    pairs: Vec<(usize, usize)>,
}

impl<T: Scalar> Kron<'_, T> {
    /// The eigenvalues of a product of two symmetric factors, ascending; or of two skew ones (`Mᵀ = −M`), whose product
    /// is symmetric too.
    ///
    /// # Cost
    /// That of [`Kron::symmetric_eigen`], four times as much for skew factors.
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
        self.symmetric_eigenvalues_with(Symmetry::Rounding)
    }

    /// [`Kron::symmetric_eigenvalues`] of the symmetric (or skew) parts of the factors, with a measure of how symmetric
    /// they must be.
    ///
    /// # Errors
    /// As [`Kron::symmetric_eigen`].
    pub fn symmetric_eigenvalues_with(&self, symmetry: Symmetry<T>) -> Result<Array1<T>> {
        let operation = "symmetric_eigenvalues";
        KronError::check_square(operation, "A", self.a().dim())?;
        KronError::check_square(operation, "B", self.b().dim())?;
        let kinds = (kind(operation, "A", self.a(), symmetry)?, kind(operation, "B", self.b(), symmetry)?);
        if kinds != (Kind::Skew, Kind::Skew) {
            return Ok(self.eigen(operation, symmetry)?.values);
        }
        // The eigenvalues of the factors are i·g and i·h, those of the product −g·h.
        let (a, b) = (skew_schur(operation, "A", self.a())?, skew_schur(operation, "B", self.b())?);
        let power = a.power.and(b.power);
        let (g, h) = (a.t.diag(), b.t.diag());
        let grid = Array2::from_shape_fn((g.len(), h.len()), |(i, j)| power.times(-(g[i].im * h[j].im)));
        Ok(sorted(&grid, Sort::Ascending).0)
    }

    /// The eigenvalue decomposition of a product of two symmetric factors.
    ///
    /// The product of two skew factors is symmetric, but its real eigenvectors are no Kronecker products; of such a one
    /// [`Kron::symmetric_eigenvalues`] has the values, and [`Kron::solve_shifted`] solves with it.
    ///
    /// # Cost
    /// Some `9·(n³ + q³)` flops, `2·(n³ + q³)` to measure the errors, and a sort of `n·q` products.
    /// # Errors
    /// [`KronError::NotSquare`]; [`KronError::NotSymmetric`] when `|M[i, j] − M[j, i]|` exceeds `size · ε · max|M|` in
    /// a factor (less is taken for rounding and averaged; for more there is [`Kron::symmetric_eigen_with`]);
    /// [`KronError::NonFinite`]; [`KronError::NoConvergence`].
    pub fn symmetric_eigen(&self) -> Result<KronEigen<T>> {
        self.symmetric_eigen_with(Symmetry::Rounding)
    }

    /// [`Kron::symmetric_eigen`] of the symmetric parts of the factors, with a measure of how symmetric they must be.
    ///
    /// # Errors
    /// As [`Kron::symmetric_eigen`].
    pub fn symmetric_eigen_with(&self, symmetry: Symmetry<T>) -> Result<KronEigen<T>> {
        self.eigen("symmetric_eigen", symmetry)
    }

    pub(super) fn eigen(&self, operation: &'static str, symmetry: Symmetry<T>) -> Result<KronEigen<T>> {
        KronEigen::new(operation, self.a(), self.b(), Combine::Product, symmetry)
    }
}

/// How an eigenvalue of the whole comes from one of each factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Combine {
    /// That of `A ⊗ B` is the product.
    Product,
    /// That of `A ⊕ B` is the sum.
    Sum,
}

impl<T: Scalar> KronEigen<T> {
    pub(super) fn new(
        operation: &'static str,
        a: &Factor<'_, T>,
        b: &Factor<'_, T>,
        combine: Combine,
        symmetry: Symmetry<T>,
    ) -> Result<Self> {
        KronError::check_square(operation, "A", a.dim())?;
        KronError::check_square(operation, "B", b.dim())?;
        let Scaled { result: a, power: of_a } = scaled_symmetric_eigen(operation, "A", a, symmetry)?;
        let Scaled { result: b, power: of_b } = scaled_symmetric_eigen(operation, "B", b, symmetry)?;
        // The powers of a product cancel where they can before a value leaves the range of the type.
        let combined = |x: T, y: T| match combine {
            Combine::Product => of_a.and(of_b).times(x * y),
            Combine::Sum => of_a.times(x) + of_b.times(y),
        };
        let size = (a.values.len(), b.values.len());
        let grid = Array2::from_shape_fn(size, |(i, j)| combined(a.values[i], b.values[j]));
        let uncertainty = Array2::from_shape_fn(size, |(i, j)| {
            let (x, y, of_x, of_y) = (a.values[i].abs(), b.values[j].abs(), a.residuals[i], b.residuals[j]);
            match combine {
                Combine::Product => of_a.and(of_b).times(of_x * y + x * of_y + T::epsilon() * x * y),
                Combine::Sum => combined(of_x + T::epsilon() * x, of_y + T::epsilon() * y),
            }
        });
        let largest = |values: &Array1<T>| values.iter().fold(T::zero(), |largest, value| largest.max(value.abs()));
        let magnitude = combined(largest(&a.values), largest(&b.values));
        let (SymmetricEigen { vectors: a, .. }, SymmetricEigen { vectors: b, .. }) = (a, b);
        let (values, pairs) = sorted(&grid, Sort::Ascending);
        Ok(Self { vectors: Kron::new(a, b)?, grid, uncertainty, magnitude, values, pairs })
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
    /// of the decomposition, `(n + q)·ε·(max|λ|·max|μ| + |c|)` for a product (for a sum `max|λ| + max|μ| + |c|`), or
    /// less where the decomposition is known to be more exact, as that of a diagonal matrix is.
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
        let is_zero = |(&divisor, &uncertain): (&T, &T)| {
            let measured = sides * (uncertain + T::epsilon() * c.abs());
            divisor.abs() <= least.min(measured)
        };
        if divisors.iter().zip(&self.uncertainty).any(is_zero) {
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
    fn a_small_eigenvalue_that_is_exact_is_not_zero() {
        let one = array![[1.0]];
        let y = array![[2.0, 3.0]];
        let k = Kron::new(array![[1.0, 0.0], [0.0, 1e-20]], &one).unwrap();
        let x = k.solve_shifted(1e-22, &y).unwrap();
        all_close(&(x / array![[2.0, 3.0 / 1.01e-20]]), &array![[1.0, 1.0]], 1.0);
        let singular = KronError::Singular { operation: "solve_shifted", name: "A ⊗ B + c·I" };
        assert_eq!(k.solve_shifted(-1e-20, &y), Err(singular.clone()));
        assert_eq!(k.solve_shifted(-1.0, &y), Err(singular.clone()));
        assert_eq!(k.symmetric_eigenvalues().unwrap(), array![1e-20, 1.0]);
        // Several of them, beside a block that is not diagonal.
        let mut a = Array2::from_diag(&array![3e-20, 1.0, 1.0, 1e-20, 2e-20]);
        a[[1, 2]] = 0.5;
        a[[2, 1]] = 0.5;
        let diagonal = Kron::new(&a, &one).unwrap();
        let x = diagonal.solve_shifted(1e-22, &array![[3.01, 0.0, 0.0, 1.01, 2.01]]).unwrap();
        all_close(&(x * 1e-20), &array![[1.0, 0.0, 0.0, 1.0, 1.0]], 1.0);
        let values = diagonal.symmetric_eigenvalues().unwrap();
        let exact = [1e-20, 2e-20, 3e-20, 0.5, 1.5];
        values.iter().zip(exact).for_each(|(&found, exact)| close(found / exact, 1.0, 1.0));
        // The same in f32, and with a zero eigenvalue that the shift lifts.
        let k = Kron::new(array![[1.0_f32, 0.0], [0.0, 0.0]], array![[1.0]]).unwrap();
        let x = k.solve_shifted(1e-12, &array![[2.0, 3.0]]).unwrap();
        all_close(&(x / array![[2.0, 3e12]]), &array![[1.0, 1.0]], 1.0);
        // Of rank one up to rounding: nobody knows its small eigenvalues.
        let column = matrix::<f64>(6, 1, 1);
        let k = Kron::new(column.dot(&column.t()), one).unwrap();
        assert_eq!(k.solve_shifted(1e-25, &matrix(1, 6, 2)), Err(singular));
    }

    fn skew_factors<T: Scalar>() {
        for (n, q) in [(2, 2), (3, 2), (5, 4), (4, 7)] {
            let skew = |size, seed| {
                let half = matrix::<T>(size, size, seed);
                &half - &half.t()
            };
            let k = Kron::new(skew(n, 1), skew(q, 2)).unwrap();
            let expected = reference::symmetric_eigenvalues(&k.to_dense());
            let scale = T::from_usize_lossy(n * q);
            let values = k.symmetric_eigenvalues().unwrap();
            values.iter().zip(&expected).for_each(|(&found, &expected)| close(found, expected, scale));
            assert!(matches!(k.symmetric_eigen(), Err(KronError::NotSymmetric { name: "A", .. })));
        }
    }

    #[test]
    fn skew_factors_have_a_symmetric_product_in_f32_and_f64() {
        skew_factors::<f32>();
        skew_factors::<f64>();
    }

    #[test]
    fn the_measure_of_symmetry_can_be_chosen() {
        // A covariance matrix with an asymmetry of 1e-12 of its size.
        let mut a = positive::<f64>(4, 1);
        a[[1, 2]] += 1e-12;
        let k = Kron::new(&a, positive(2, 2)).unwrap();
        assert!(matches!(k.symmetric_eigen(), Err(KronError::NotSymmetric { name: "A", .. })));
        for symmetry in [Symmetry::Within(1e-10), Symmetry::Average] {
            let eigen = k.symmetric_eigen_with(symmetry).unwrap();
            let expected = reference::symmetric_eigenvalues(&k.to_dense());
            eigen.values().iter().zip(&expected).for_each(|(&x, &y)| assert!((x - y).abs() < 1e-10));
            assert_eq!(k.symmetric_eigenvalues_with(symmetry).unwrap(), eigen.values());
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
