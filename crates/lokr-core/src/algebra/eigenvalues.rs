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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decompose::reference;
    use crate::error::KronError;
    use crate::operator::{Kron, KronChain};
    use crate::test_support::{close, kron_of, symmetric};
    use lokr_testing::matrix;
    use ndarray::{Array2, array};

    fn agrees_with_the_dense_product<T: Scalar>(scales: [f64; 3]) {
        for sides in [&[5][..], &[1, 3], &[4, 3], &[2, 3, 2], &[2, 1, 3, 2]] {
            let of_side = |(seed, &side): (u64, &usize)| {
                if seed == 2 { symmetric::<T>(side, seed) } else { matrix(side, side, seed) }
            };
            let chain = KronChain::new((1..).zip(sides).map(of_side)).unwrap();
            let dense = chain.to_dense().unwrap();
            let size = dense.iter().map(|&x| x * x).sum::<T>().sqrt() + T::one();
            let allowed = size * T::from_usize_lossy(4 * dense.nrows());
            for scale in scales.map(T::from_f64_lossy) {
                // Sums of powers of the eigenvalues are traces of powers of the matrix.
                let values = (&chain * scale).eigenvalues().unwrap() / scale;
                let sum = |power: u32| values.iter().map(|value| value.powu(power)).sum::<Complex<T>>();
                for (found, expected) in [(sum(1), dense.diag().sum()), (sum(2), dense.dot(&dense).diag().sum())] {
                    close(found.re, expected, allowed * size);
                    close(found.im, T::zero(), allowed * size);
                }
            }
            for c in [0.0, 1.5, -0.5].map(T::from_f64_lossy) {
                let shifted = &dense + &(Array2::<T>::eye(dense.nrows()) * c);
                let bound = shifted.rows().into_iter().map(|row| row.dot(&row).sqrt()).fold(T::one(), |x, y| x * y);
                let found = chain.log_determinant_shifted(c).unwrap().value();
                close(found, reference::determinant(&shifted), bound * T::from_usize_lossy(4 * dense.nrows()));
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_product_at_every_scale() {
        agrees_with_the_dense_product::<f32>([1.0, 1e-30, 1e30]);
        agrees_with_the_dense_product::<f64>([1.0, 1e-200, 1e200]);
    }

    #[test]
    fn rotations_multiply_their_angles() {
        let rotation = |angle: f64| array![[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]];
        let values = Kron::new(rotation(0.3), rotation(1.1)).unwrap().eigenvalues().unwrap();
        for angle in [1.4, -1.4, 0.8, -0.8] {
            let expected = Complex::from_polar(1.0, angle);
            assert!(values.iter().any(|value| (value - expected).norm() < 1e-14), "{values}");
        }
    }

    #[test]
    fn each_error_is_named() {
        let error = kron_of::<f64>(2, 2, 2, 3).eigenvalues().unwrap_err();
        assert_eq!(error, KronError::NotSquare { operation: "eigenvalues", name: "B", shape: (2, 3) });
        let k = Kron::new(array![[f64::INFINITY]], array![[1.0]]).unwrap();
        let error = |operation| KronError::NonFinite { operation, argument: "A", count: 1 };
        assert_eq!(k.eigenvalues(), Err(error("eigenvalues")));
        assert_eq!(k.log_determinant_shifted(1.0), Err(error("log_determinant_shifted")));
    }
}
