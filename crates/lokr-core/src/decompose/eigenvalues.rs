//! The eigenvalues of a square factor, real or complex.

use ndarray::Array1;
use num_complex::Complex;

use super::power_of_two::Scaled;
use super::scaled;
use super::symmetric::{Kind, kind, scaled_symmetric_eigen, skew_schur};
use super::symmetry::Symmetry;
use crate::check::count_non_finite;
use crate::error::{KronError, Result};
use crate::operator::Factor;
use crate::scalar::Scalar;

/// The eigenvalues of a factor, which must be square; the power is theirs. Those of a symmetric factor are real, of a
/// skew one imaginary, and complex ones come with their conjugates, bit for bit. Some `10·n³` flops.
///
/// # Errors
/// [`KronError::NonFinite`]; [`KronError::NoConvergence`].
pub(crate) fn eigenvalues<T: Scalar>(
    operation: &'static str,
    name: &'static str,
    factor: &Factor<'_, T>,
) -> Result<Scaled<Array1<Complex<T>>>> {
    match kind(operation, name, factor, Symmetry::Rounding)? {
        Kind::Symmetric => {
            let Scaled { result, power } = scaled_symmetric_eigen(operation, name, factor, Symmetry::Rounding)?;
            Ok(Scaled { result: result.values.mapv(|value| Complex::new(value, T::zero())), power })
        }
        Kind::Skew => {
            let schur = skew_schur(operation, name, factor)?;
            let mut values = schur.t.diag().to_owned();
            pair_up(&mut values);
            Ok(Scaled { result: values, power: schur.power })
        }
        Kind::General => {
            let matrix = factor.dense();
            KronError::check_all_finite(operation, name, count_non_finite(&matrix))?;
            scaled::eigenvalues(matrix.view()).ok_or(KronError::NoConvergence { operation, name })
        }
    }
}

/// Makes the ascending imaginary eigenvalues of a skew matrix pairs `±i·h`, with a zero between them where there is an
/// odd one.
fn pair_up<T: Scalar>(values: &mut Array1<Complex<T>>) {
    let size = values.len();
    for low in 0..size / 2 {
        let high = size - 1 - low;
        let half = (values[high].im - values[low].im) * T::from_f64_lossy(0.5);
        (values[low].im, values[high].im) = (-half, half);
    }
    if size % 2 == 1 {
        values[size / 2].im = T::zero();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decompose::Schur;
    use crate::test_support::{close, symmetric};
    use lokr_testing::matrix;
    use ndarray::{Array2, array};

    /// Every value of the Schur decomposition is there, as far as a defective matrix lets it be known, and conjugates
    /// are exact.
    fn check<T: Scalar>(m: &Array2<T>, accuracy: T) {
        let Scaled { result, power } = eigenvalues("test", "A", &Factor::from(m)).unwrap();
        let schur = Schur::new("test", "A", m.view()).unwrap();
        let largest = schur.t.diag().iter().fold(T::zero(), |max, value| max.max(value.norm()));
        let mut left: Vec<_> = schur.t.diag().to_vec();
        for value in &result {
            let value = *value * power.and(schur.power.inverse()).times(T::one());
            let distance = |other: &Complex<T>| (*other - value).norm();
            let nearest = (0..left.len()).min_by(|&i, &j| distance(&left[i]).partial_cmp(&distance(&left[j])).unwrap());
            let other = left.swap_remove(nearest.unwrap());
            assert!(distance(&other) <= accuracy * largest, "{value} {other}");
        }
        let mut imaginary: Vec<_> = result.iter().filter(|value| value.im != T::zero()).collect();
        while let Some(value) = imaginary.pop() {
            let conjugate = imaginary.iter().position(|other| **other == value.conj());
            imaginary.swap_remove(conjugate.expect("a conjugate"));
        }
    }

    fn agree_with_the_schur_decomposition<T: Scalar>(scales: [f64; 5]) {
        let rounding = T::from_f64_lossy(64.0) * T::epsilon();
        for size in [1, 2, 3, 4, 7, 16, 31, 70] {
            let sides = T::from_usize_lossy(size);
            for scale in scales.map(T::from_f64_lossy) {
                check(&(matrix::<T>(size, size, 1) * scale), rounding * sides);
                check(&(symmetric::<T>(size, 2) * scale), rounding * sides);
                let half = matrix::<T>(size, size, 3) * scale;
                check(&(&half - &half.t()), rounding * sides);
            }
            let cycle =
                Array2::from_shape_fn((size, size), |(i, j)| T::from_usize_lossy(usize::from((i + 1) % size == j)));
            check(&cycle, rounding * sides);
            check(&Array2::<T>::zeros((size, size)), rounding);
            if size < 5 {
                let jordan = Array2::from_shape_fn((size, size), |(i, j)| {
                    T::from_f64_lossy(f64::from(u8::from(i == j) * 2 + u8::from(i + 1 == j)))
                });
                check(&jordan.t().to_owned(), T::epsilon().powf(T::from_f64_lossy(0.24)));
            }
        }
        for seed in 0..100 {
            let size = 2 + seed as usize % 9;
            // Integers make defective matrices.
            let m = matrix::<T>(size, size, seed).mapv(|value| (value * T::from_f64_lossy(1.4)).round());
            check(&m, T::epsilon().powf(T::from_f64_lossy(0.15)));
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_schur_decomposition() {
        agree_with_the_schur_decomposition::<f32>([1.0, 1e-30, 1e30, 1e-36, 1e36]);
        agree_with_the_schur_decomposition::<f64>([1.0, 1e-200, 1e200, 1e-300, 1e300]);
    }

    #[test]
    fn those_of_a_rotation_are_conjugates() {
        let Scaled { result, .. } =
            eigenvalues("test", "A", &Factor::from(array![[1.0, -2.0], [2.0, 1.0_f64]])).unwrap();
        close(result[0].re, 1.0, 1.0);
        close(result[0].im.abs(), 2.0, 1.0);
        assert_eq!(result[0], result[1].conj());
    }

    #[test]
    fn values_that_are_not_finite_are_an_error() {
        let error = eigenvalues("test", "A", &Factor::from(array![[1.0, f64::NAN], [0.0, 1.0]])).unwrap_err();
        assert_eq!(error, KronError::NonFinite { operation: "test", argument: "A", count: 1 });
    }
}
