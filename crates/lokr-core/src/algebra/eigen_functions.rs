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
    /// Twice that of [`KronBase::apply`](crate::operator::KronBase::apply) with the vectors; of two factors
    /// `4·batch·n·q·(n + q)` flops.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decompose::reference;
    use crate::operator::{Kron, KronChain};
    use crate::test_support::{all_close, close, positive, symmetric};
    use lokr_testing::{LAYOUTS, matrix, with_layout};
    use ndarray::{Array3, array};

    fn agrees_with_the_dense_matrix<T: Scalar>(scales: [f64; 3]) {
        for sides in [&[5][..], &[1, 3], &[4, 3], &[2, 3, 2], &[2, 1, 3, 2]] {
            let chain = KronChain::new((1..).zip(sides).map(|(seed, &side)| positive::<T>(side, seed))).unwrap();
            let (dense, x) = (chain.to_dense().unwrap(), matrix::<T>(3, chain.nrows(), 3));
            let size = dense.iter().fold(T::one(), |max, x| max.max(x.abs()));
            let allowed = size * T::from_usize_lossy(20 * dense.nrows());
            for scale in scales.map(T::from_f64_lossy) {
                let eigen = (&chain * scale).symmetric_eigen().unwrap();
                for c in [0.0, 0.5, 100.0].map(T::from_f64_lossy) {
                    let y = (x.dot(&dense) + &x * c) * scale;
                    for layout in LAYOUTS {
                        let found = with_layout(&y, layout, |y| eigen.solve_shifted(c * scale, y).unwrap());
                        all_close(&found, &x, allowed);
                    }
                    let shifted = &dense + &(Array2::<T>::eye(dense.nrows()) * c);
                    let ln: T = reference::symmetric_eigenvalues(&shifted).into_iter().map(|value| value.ln()).sum();
                    let expected = ln + scale.ln() * T::from_usize_lossy(dense.nrows());
                    let log = eigen.log_determinant_shifted(c * scale);
                    close(log.ln_abs, expected, T::from_usize_lossy(dense.nrows()) * (T::one() + scale.ln().abs()));
                    assert_eq!(log.sign, T::one());
                    if c == T::zero() {
                        assert_eq!(eigen.log_determinant(), log);
                    }
                }
                let same = eigen.apply_function(|value| value / scale, &x).unwrap();
                all_close(&same, &x.dot(&dense), allowed);
                let inverse = eigen.inverse().unwrap();
                let solved = inverse.apply_function(|value| value * scale, &x.dot(&dense)).unwrap();
                all_close(&solved, &x, allowed);
                close(inverse.log_determinant().ln_abs / eigen.log_determinant().ln_abs, -T::one(), T::one());
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_matrix_at_every_scale() {
        agrees_with_the_dense_matrix::<f32>([1.0, 1e-30, 1e30]);
        agrees_with_the_dense_matrix::<f64>([1.0, 1e-200, 1e200]);
    }

    #[test]
    fn vectors_rows_and_fields() {
        let eigen = Kron::new(positive::<f64>(3, 1), positive(4, 2)).unwrap().symmetric_eigen().unwrap();
        let fields = Array3::from_shape_fn((2, 3, 4), |(i, j, k)| (i + 2 * j + 3 * k) as f64);
        let rows = fields.clone().into_shape_with_order((2, 12)).unwrap();
        let x = eigen.solve_shifted(0.5, &rows).unwrap();
        assert_eq!(eigen.solve_shifted(0.5, &fields).unwrap().into_shape_with_order((2, 12)).unwrap(), x);
        assert_eq!(eigen.solve_shifted(0.5, &rows.row(1)).unwrap(), x.row(1));
        let f = |value: f64| value.exp();
        let y = eigen.apply_function(f, &rows).unwrap();
        assert_eq!(eigen.apply_function(f, &fields).unwrap().into_shape_with_order((2, 12)).unwrap(), y);
        assert_eq!(eigen.solve_shifted(1.0, &Array2::zeros((0, 12))).unwrap().dim(), (0, 12));
    }

    #[test]
    fn signs_zeros_and_nan_of_determinants() {
        let eigen = Kron::new(symmetric::<f64>(3, 1), array![[1.0]]).unwrap().symmetric_eigen().unwrap();
        let negative = eigen.values().iter().filter(|value| **value < 0.0).count();
        assert_eq!(eigen.log_determinant().sign, if negative % 2 == 0 { 1.0 } else { -1.0 });
        let zero = Kron::new(array![[0.0]], array![[1.0, 0.0], [0.0, 2.0]]).unwrap().symmetric_eigen().unwrap();
        assert_eq!(zero.log_determinant(), LogDeterminant { sign: 0.0, ln_abs: f64::NEG_INFINITY });
        assert_eq!(zero.inverse().unwrap_err(), KronError::Singular { operation: "inverse", name: "M" });
        let nan = zero.log_determinant_shifted(f64::NAN);
        assert!(nan.sign.is_nan() && nan.ln_abs.is_nan());
        assert!(eigen.solve_shifted(f64::NAN, &array![1.0, 2.0, 3.0]).unwrap().iter().all(|x| x.is_nan()));
    }

    #[test]
    fn each_error_is_named() {
        let eigen = Kron::new(array![[2.0]], array![[1.0, 0.0], [0.0, 3.0]]).unwrap().symmetric_eigen().unwrap();
        let shape = |operation, argument| KronError::Shape { operation, argument, expected: (1, 2), found: (1, 3) };
        let wide = array![[1.0, 2.0, 3.0]];
        assert_eq!(eigen.solve_shifted(1.0, &wide), Err(shape("solve_shifted", "y")));
        assert_eq!(eigen.apply_function(|value| value, &wide), Err(shape("apply_function", "x")));
        assert_eq!(eigen.pseudo_solve(&wide), Err(shape("pseudo_solve", "y")));
        let singular = KronError::Singular { operation: "solve_shifted", name: "M + c·I" };
        assert_eq!(eigen.solve_shifted(-6.0, &array![1.0, 2.0]), Err(singular));
    }
}
