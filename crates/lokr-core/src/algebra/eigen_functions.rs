//! What the eigenvalue decomposition of a product or a sum is kept for: systems with many shifts, functions,
//! determinants.

use ndarray::{Array, Array2, ArrayRef, ArrayRef2, Dimension};

use super::LogDeterminant;
use super::eigen::KronEigen;
use crate::error::{KronError, Result};
use crate::operator::FactorList;
use crate::scalar::Scalar;

impl<T: Scalar, L: FactorList<Elem = T>> KronEigen<T, L> {
    /// Solves `(M + c·I)·x = y` for every sample of `y`; one decomposition serves any number of shifts `c`.
    ///
    /// # Shapes
    /// `y`: a vector, rows or fields, as in [`KronBase::apply`](crate::operator::KronBase::apply); the result likewise.
    /// # Cost
    /// Twice that of [`KronBase::apply`](crate::operator::KronBase::apply) with the vectors; of two factors `4·batch·n·q·(n + q)` flops.
    /// # Errors
    /// [`KronError::Length`], [`KronError::Shape`], [`KronError::FieldShape`]; [`KronError::Singular`] when an
    /// eigenvalue of `M + c·I` is zero up to the rounding error of the decomposition,
    /// `(n + q)·ε·(max|λ|·max|μ| + |c|)` for a product (for a sum `max|λ| + max|μ| + |c|`), or less where the
    /// decomposition is known to be more exact, as that of a diagonal matrix is.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[3.0]], array![[1.0, 0.0], [0.0, 2.0]])?;
    /// let eigen = k.symmetric_eigen()?;
    /// for c in [0.0, 1.0, 10.0] {
    ///     let x = eigen.solve_shifted(c, &array![3.0 + c, 6.0 + c])?;
    ///     assert!((&x - 1.0).iter().all(|x: &f64| x.abs() < 1e-14));
    /// }
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn solve_shifted<D: Dimension>(&self, c: T, y: &ArrayRef<T, D>) -> Result<Array<T, D>> {
        let rows = self.vectors.outputs("solve_shifted", "y").rows(y, None)?;
        let x = self.solve("solve_shifted", "M + c·I", c, &rows)?;
        self.vectors.outputs("solve_shifted", "x").array(x, y.ndim())
    }

    pub(super) fn solve(
        &self,
        operation: &'static str,
        name: &'static str,
        c: T,
        y: &ArrayRef2<T>,
    ) -> Result<Array2<T>> {
        let divisors = self.spectrum.divisors(c).ok_or(KronError::Singular { operation, name })?;
        let mut x = self.vectors.apply_transposed(y)?;
        x /= &divisors;
        self.vectors.apply(&x)
    }

    /// `f(M)·x = Q·f(Λ)·Qᵀ·x` for every sample of `x`, with `f` of each eigenvalue: roots, exponentials, filters.
    ///
    /// # Shapes and cost
    /// Those of [`KronEigen::solve_shifted`]. What `f` returns flows through, finite or not; eigenvalues that should be
    /// zero are so up to rounding only, and may be negative.
    /// # Errors
    /// [`KronError::Length`], [`KronError::Shape`], [`KronError::FieldShape`].
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[4.0]], array![[5.0, 4.0], [4.0, 5.0]])?; // eigenvalues 4 and 36
    /// let eigen = k.symmetric_eigen()?;
    /// let x = array![1.0, -2.0];
    /// let root = |x| eigen.apply_function(|value: f64| value.sqrt(), x);
    /// assert!((root(&root(&x)?)? - k.apply(&x)?).iter().all(|difference| difference.abs() < 1e-13));
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn apply_function<D: Dimension>(&self, f: impl Fn(T) -> T, x: &ArrayRef<T, D>) -> Result<Array<T, D>> {
        let samples = self.vectors.outputs("apply_function", "x");
        let rows = samples.rows(x, None)?;
        let mut parts = self.vectors.apply_transposed(&*rows)?;
        parts *= &self.spectrum.values.mapv(f);
        samples.array(self.vectors.apply(&parts)?, x.ndim())
    }

    /// The decomposition of the inverse: the same vectors, the reciprocals of the eigenvalues.
    ///
    /// # Errors
    /// [`KronError::Singular`] when an eigenvalue is zero up to rounding, as for [`KronEigen::solve_shifted`].
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[2.0]], array![[0.0, 1.0], [1.0, 0.0]])?; // its inverse is a quarter of it
    /// let x = k.symmetric_eigen()?.inverse()?.apply_function(|value: f64| value, &array![4.0, 8.0])?;
    /// assert!((x[0] - 4.0).abs() < 1e-14 && (x[1] - 2.0).abs() < 1e-14);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn inverse(&self) -> Result<Self> {
        let singular = KronError::Singular { operation: "inverse", name: "M" };
        Ok(Self::new(self.vectors.clone(), self.spectrum.inverse().ok_or(singular)?))
    }

    /// Sign and logarithm of the determinant, from the product of the eigenvalues, taken with an exponent of its own.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[2.0, 1.0], [1.0, 2.0]], array![[-5.0]])?; // eigenvalues −5 and −15
    /// let log = k.symmetric_eigen()?.log_determinant();
    /// assert!(log.sign == 1.0 && (log.ln_abs - 75.0_f64.ln()).abs() < 1e-14);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn log_determinant(&self) -> LogDeterminant<T> {
        self.spectrum.log_determinant(T::zero())
    }

    /// Sign and logarithm of the determinant of `M + c·I`: what the likelihood of a Gaussian process with noise `c`
    /// needs. An eigenvalue that is zero up to rounding counts as what it is.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[2.0, 1.0], [1.0, 2.0]], array![[5.0]])?; // eigenvalues 5 and 15
    /// let log = k.symmetric_eigen()?.log_determinant_shifted(-10.0);
    /// assert!(log.sign == -1.0 && (log.ln_abs - 25.0_f64.ln()).abs() < 1e-14);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn log_determinant_shifted(&self, c: T) -> LogDeterminant<T> {
        self.spectrum.log_determinant(c)
    }
}
