//! The eigenvalues of products of any square factors.

use ndarray::Array1;
use num_complex::Complex;

use super::LogDeterminant;
use super::spectrum::{Combine, OfFactor, Spectrum};
use crate::decompose::{Scaled, eigenvalues};
use crate::error::Result;
use crate::operator::{Factor, FactorList, KronBase};
use crate::scalar::Scalar;

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// The eigenvalues of a product of square factors, real or complex: the products of one eigenvalue of each factor,
    /// the last factor's varying first. They are not sorted.
    ///
    /// [`KronBase::symmetric_eigenvalues`] has those of symmetric factors as real numbers.
    ///
    /// # Cost
    /// Some `10·n³` flops for each factor `(n, n)`, and one multiplication for each eigenvalue.
    /// # Accuracy
    /// Those of a symmetric factor are real, and complex ones come with their conjugates, bit for bit. Eigenvalues of
    /// matrices far from symmetric may be sensitive: in the worst case a change of a factor by `ε` moves one by the
    /// `n`-th root of `ε`.
    /// # Errors
    /// [`KronError::NotSquare`](crate::KronError::NotSquare); [`KronError::NonFinite`](crate::KronError::NonFinite);
    /// [`KronError::NoConvergence`](crate::KronError::NoConvergence);
    /// [`KronError::OutOfMemory`](crate::KronError::OutOfMemory) for more eigenvalues than memory holds.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let rotation = array![[0.0, -1.0], [1.0, 0.0]]; // eigenvalues ±i
    /// let k = Kron::new(&rotation, array![[2.0, 7.0], [0.0, 3.0_f64]])?; // ±2i, ±3i
    /// let values = k.eigenvalues()?;
    /// assert!(values.iter().all(|value| value.re.abs() < 1e-14));
    /// let mut sizes: Vec<f64> = values.iter().map(|value| value.im.abs()).collect();
    /// sizes.sort_by(f64::total_cmp);
    /// assert!(sizes.iter().zip([2.0, 2.0, 3.0, 3.0]).all(|(x, y)| (x - y).abs() < 1e-14));
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn eigenvalues(&self) -> Result<Array1<Complex<T>>> {
        Ok(self.complex_spectrum("eigenvalues")?.values)
    }

    /// Sign and logarithm of the determinant of `K + c·I`, from the eigenvalues of the product `K`.
    ///
    /// For many shifts of a symmetric product there is
    /// [`KronEigen::log_determinant_shifted`](crate::KronEigen::log_determinant_shifted).
    ///
    /// # Errors
    /// As [`KronBase::eigenvalues`].
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[2.0]], array![[0.0, -1.0], [1.0, 0.0]])?; // with c = 1: [[1, −2], [2, 1]]
    /// let log = k.log_determinant_shifted(1.0_f64)?;
    /// assert!(log.sign == 1.0 && (log.ln_abs - 5.0_f64.ln()).abs() < 1e-14);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn log_determinant_shifted(&self, c: T) -> Result<LogDeterminant<T>> {
        Ok(self.complex_spectrum("log_determinant_shifted")?.log_determinant(c))
    }

    fn complex_spectrum(&self, operation: &'static str) -> Result<Spectrum<Complex<T>, T>> {
        self.check_square_factors(operation)?;
        complex_spectrum(operation, self.named(), Combine::Product)
    }
}

/// The eigenvalues of square factors, combined.
pub(super) fn complex_spectrum<'f, T: Scalar>(
    operation: &'static str,
    factors: impl Iterator<Item = (&'static str, &'f Factor<'f, T>)>,
    combine: Combine,
) -> Result<Spectrum<Complex<T>, T>> {
    let of_factor = |(name, factor): (&'static str, &Factor<'_, T>)| {
        let Scaled { result, power } = eigenvalues(operation, name, factor)?;
        Ok(OfFactor::exact(result, power))
    };
    Spectrum::new(operation, combine, &factors.map(of_factor).collect::<Result<Vec<_>>>()?)
}
