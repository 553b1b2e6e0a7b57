//! Eigenvalues and determinants of a Kronecker sum.

use ndarray::Array1;
use num_complex::Complex;

use super::sum::KronSum;
use crate::algebra::LogDeterminant;
use crate::algebra::eigen::{KronEigen, decomposed};
use crate::algebra::eigenvalues::complex_spectrum;
use crate::algebra::spectrum::{Combine, Spectrum};
use crate::decompose::Symmetry;
use crate::error::Result;
use crate::operator::{Factor, KronChain};
use crate::scalar::Scalar;

impl<T: Scalar> KronSum<'_, T> {
    /// The eigenvalues of a sum of symmetric factors, `λᵢ + μⱼ + …`, ascending.
    ///
    /// # Errors
    /// As [`KronBase::symmetric_eigen`](crate::operator::KronBase::symmetric_eigen).
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
        Ok(self.eigen("symmetric_eigenvalues", Symmetry::Rounding)?.into_values())
    }

    /// The eigenvalue decomposition of a sum of symmetric factors. Its vectors are a chain, a product of as many
    /// factors as there are summands.
    ///
    /// # Errors
    /// As [`KronBase::symmetric_eigen`](crate::operator::KronBase::symmetric_eigen).
    pub fn symmetric_eigen(&self) -> Result<KronEigen<T, Vec<Factor<'static, T>>>> {
        self.symmetric_eigen_with(Symmetry::Rounding)
    }

    /// [`KronSum::symmetric_eigen`] of the symmetric parts of the factors, with a measure of how symmetric they must
    /// be.
    ///
    /// # Errors
    /// As [`KronBase::symmetric_eigen`](crate::operator::KronBase::symmetric_eigen).
    pub fn symmetric_eigen_with(&self, symmetry: Symmetry<T>) -> Result<KronEigen<T, Vec<Factor<'static, T>>>> {
        self.eigen("symmetric_eigen", symmetry)
    }

    pub(super) fn eigen(
        &self,
        operation: &'static str,
        symmetry: Symmetry<T>,
    ) -> Result<KronEigen<T, Vec<Factor<'static, T>>>> {
        let of_factor = |(name, factor)| decomposed(operation, name, factor, symmetry);
        let decomposed = self.named().map(of_factor).collect::<Result<Vec<_>>>()?;
        let (values, vectors): (Vec<_>, Vec<_>) = decomposed.into_iter().unzip();
        Ok(KronEigen::new(KronChain::new(vectors)?, Spectrum::new(operation, Combine::Sum, &values)?))
    }

    /// The eigenvalues, real or complex: the sums of one eigenvalue of each factor, the last factor's varying first.
    /// They are not sorted.
    ///
    /// # Cost, accuracy
    /// As [`KronBase::eigenvalues`](crate::operator::KronBase::eigenvalues).
    /// # Errors
    /// As [`KronBase::eigenvalues`](crate::operator::KronBase::eigenvalues).
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// let values = KronSum::new(array![[0.0, -1.0], [1.0, 0.0]], array![[5.0_f64]])?.eigenvalues()?; // 5 ± i
    /// assert!(values.iter().all(|value| (value.re - 5.0).abs() < 1e-14 && (value.im.abs() - 1.0).abs() < 1e-14));
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn eigenvalues(&self) -> Result<Array1<Complex<T>>> {
        Ok(complex_spectrum("eigenvalues", self.named(), Combine::Sum)?.values)
    }

    /// The determinant, the product of the eigenvalues, taken with an exponent of its own: infinity or zero only where
    /// the determinant itself is out of range.
    ///
    /// # Errors
    /// As [`KronSum::eigenvalues`].
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// let sum = KronSum::new(array![[1.0, 2.0], [3.0, 4.0]], array![[10.0]])?; // [[11, 2], [3, 14]]
    /// assert!((sum.determinant()? - 148.0_f64).abs() < 1e-12);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn determinant(&self) -> Result<T> {
        Ok(complex_spectrum("determinant", self.named(), Combine::Sum)?.determinant(T::zero()))
    }

    /// Sign and logarithm of the determinant.
    ///
    /// # Errors
    /// As [`KronSum::eigenvalues`].
    pub fn log_determinant(&self) -> Result<LogDeterminant<T>> {
        Ok(complex_spectrum("log_determinant", self.named(), Combine::Sum)?.log_determinant(T::zero()))
    }

    /// Sign and logarithm of the determinant of `A ⊕ B + c·I`.
    ///
    /// For many shifts of a symmetric sum there is
    /// [`KronEigen::log_determinant_shifted`](crate::KronEigen::log_determinant_shifted).
    ///
    /// # Errors
    /// As [`KronSum::eigenvalues`].
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// let sum = KronSum::new(array![[1.0, 2.0], [3.0, 4.0]], array![[10.0]])?; // [[11, 2], [3, 14]]
    /// let log = sum.log_determinant_shifted(-12.0_f64)?; // [[−1, 2], [3, 2]]
    /// assert!(log.sign == -1.0 && (log.ln_abs - 8.0_f64.ln()).abs() < 1e-13);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn log_determinant_shifted(&self, c: T) -> Result<LogDeterminant<T>> {
        Ok(complex_spectrum("log_determinant_shifted", self.named(), Combine::Sum)?.log_determinant(c))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::kron_sum::cases::{sums, sums_of};
    use crate::decompose::reference;
    use crate::error::KronError;
    use crate::test_support::{close, symmetric};
    use ndarray::{Array2, array};

    fn eigenvalues_agree_with_the_dense_ones<T: Scalar>(scales: [f64; 3]) {
        for (sum, dense) in sums_of(symmetric::<T>) {
            let expected = reference::symmetric_eigenvalues(&dense);
            let allowed = T::from_usize_lossy(4 * dense.nrows());
            for scale in scales.map(T::from_f64_lossy) {
                let sum = &sum * scale;
                let eigen = sum.symmetric_eigen().unwrap();
                assert_eq!(sum.symmetric_eigenvalues().unwrap(), eigen.values());
                let mut grid: Vec<T> = eigen.grid().iter().copied().collect();
                grid.sort_by(|x, y| x.partial_cmp(y).unwrap());
                assert_eq!(grid, eigen.values().to_vec());
                for (index, &value) in eigen.values().indexed_iter() {
                    close(value / scale, expected[index], allowed);
                    let vector = eigen.vector(index).unwrap();
                    let product = dense.dot(&vector);
                    product.iter().zip(&vector).for_each(|(&mv, &v)| close(mv, value / scale * v, allowed));
                    assert_eq!(eigen.grid()[&*eigen.indices(index).unwrap()], value);
                }
            }
        }
    }

    #[test]
    fn eigenvalues_agree_with_the_dense_ones_in_f32_and_f64() {
        eigenvalues_agree_with_the_dense_ones::<f32>([1.0, 1e-30, 1e30]);
        eigenvalues_agree_with_the_dense_ones::<f64>([1.0, 1e-200, 1e200]);
    }

    fn determinants_agree_with_the_dense_ones<T: Scalar>() {
        for (sum, dense) in sums::<T>().into_iter().chain(sums_of(symmetric)) {
            for c in [0.0, 3.5, -2.25].map(T::from_f64_lossy) {
                let shifted = &dense + &(Array2::<T>::eye(dense.nrows()) * c);
                let expected = reference::determinant(&shifted);
                // The size of the terms that the determinant is a sum of.
                let size = shifted.rows().into_iter().map(|row| row.dot(&row).sqrt()).fold(T::one(), |x, y| x * y);
                let allowed = size * T::from_usize_lossy(4 * dense.nrows());
                close(sum.log_determinant_shifted(c).unwrap().value(), expected, allowed);
                if c == T::zero() {
                    close(sum.determinant().unwrap(), expected, allowed);
                    close(sum.log_determinant().unwrap().value(), expected, allowed);
                }
            }
            let trace = sum.eigenvalues().unwrap().iter().fold(Complex::new(T::zero(), T::zero()), |x, y| x + y);
            let allowed = T::from_usize_lossy(8 * dense.nrows());
            close(trace.re, dense.diag().sum(), allowed);
            close(trace.im, T::zero(), allowed);
        }
    }

    #[test]
    fn determinants_agree_with_the_dense_ones_in_f32_and_f64() {
        determinants_agree_with_the_dense_ones::<f32>();
        determinants_agree_with_the_dense_ones::<f64>();
    }

    #[test]
    fn determinants_out_of_range_have_a_logarithm() {
        let sum = KronSum::new(Array2::<f64>::eye(30) * 1e20, Array2::eye(2) * -3e20).unwrap();
        let log = sum.log_determinant().unwrap();
        assert_eq!((log.sign, sum.determinant()), (1.0, Ok(f64::INFINITY)));
        close(log.ln_abs / (60.0 * 2e20_f64.ln()), 1.0, 1.0);
    }

    #[test]
    fn each_error_is_named() {
        let sum = KronSum::new(array![[1.0]], array![[-1.0, 3.0], [0.0, 1.0]]).unwrap();
        let error = KronError::NotSymmetric { operation: "symmetric_eigen", name: "B", difference: 3.0 };
        assert_eq!(sum.symmetric_eigen().unwrap_err(), error);
        let nan = KronSum::new(array![[1.0]], array![[f64::NAN]]).unwrap();
        let error = |operation| KronError::NonFinite { operation, argument: "B", count: 1 };
        assert_eq!(nan.eigenvalues(), Err(error("eigenvalues")));
        assert_eq!(nan.determinant(), Err(error("determinant")));
        assert_eq!(nan.log_determinant(), Err(error("log_determinant")));
        assert_eq!(nan.log_determinant_shifted(1.0), Err(error("log_determinant_shifted")));
    }
}
