//! The exponential of a square matrix.

use lokr_decompose::System;
use ndarray::{Array2, ArrayView2};

use super::lu::Lu;
use super::magnitude::largest_magnitude;
use crate::scalar::Scalar;
use crate::sums::{exponent, times_two_to};

/// The numerators' coefficients of the diagonal Padé approximants of `exp`, from `x⁰` on, and the largest 1-norm for
/// which each is exact to the rounding of `f64` (Higham 2005, table 2.3).
const APPROXIMANTS: [(&[f64], f64); 5] = [
    (&[120.0, 60.0, 12.0, 1.0], 1.495585217958292e-2),
    (&[30240.0, 15120.0, 3360.0, 420.0, 30.0, 1.0], 2.539_398_330_063_23e-1),
    (&[17297280.0, 8648640.0, 1995840.0, 277200.0, 25200.0, 1512.0, 56.0, 1.0], 9.504178996162932e-1),
    (
        &[17643225600.0, 8821612800.0, 2075673600.0, 302702400.0, 30270240.0, 2162160.0, 110880.0, 3960.0, 90.0, 1.0],
        2.097847961257068,
    ),
    (
        &[
            64764752532480000.0,
            32382376266240000.0,
            7771770303897600.0,
            1187353796428800.0,
            129060195264000.0,
            10559470521600.0,
            670442572800.0,
            33522128640.0,
            1323241920.0,
            40840800.0,
            960960.0,
            16380.0,
            182.0,
            1.0,
        ],
        5.371920351148152,
    ),
];

/// Largest values between `2^±SQUARED` are squared as they are.
const SQUARED: i64 = 500;
/// No exponent of a matrix that means anything is larger.
const LIMIT: i64 = 1 << 40;

/// `exp(M) = 2^exponent·matrix` of a finite square matrix, in `f64` whatever the type; `None` where the exponent is
/// beyond all bounds.
///
/// By scaling and squaring with Padé approximants (Higham 2005, *The Scaling and Squaring Method for the Matrix
/// Exponential Revisited*): some `(14 + 2·log₂‖M‖₁)·n³` flops. Where a square would leave the range of `f64`, a power
/// of two is taken out first.
pub(crate) fn exponential<T: Scalar>(matrix: ArrayView2<'_, T>) -> Option<(Array2<f64>, i64)> {
    let matrix = matrix.mapv(T::to_f64_exact);
    let (norm, of_norm) = one_norm(&matrix);
    let small = APPROXIMANTS.iter().find(|(_, largest)| norm <= times_two_to(*largest, -of_norm));
    if let Some((coefficients, _)) = small {
        return Some((approximant(&matrix, coefficients), 0));
    }
    let (coefficients, largest) = APPROXIMANTS[APPROXIMANTS.len() - 1];
    // The least number of halvings that bring the norm below the bound.
    let halvings = (of_norm + (norm / largest).log2().ceil() as i64).max(0);
    let mut result = approximant(&matrix.mapv(|x| times_two_to(x, -halvings)), coefficients);
    let mut taken = 0_i64;
    for _ in 0..halvings {
        let size = exponent(largest_magnitude(result.view())).unwrap_or(0);
        if size.abs() > SQUARED {
            // As little as needed: small values beside the largest one stay numbers.
            let excess = size - SQUARED * size.signum();
            result.mapv_inplace(|x| times_two_to(x, -excess));
            taken += excess;
        }
        result = result.dot(&result);
        taken *= 2;
        if taken < -LIMIT {
            return Some((Array2::zeros(matrix.dim()), 0));
        } else if taken > LIMIT {
            return None;
        }
    }
    Some((result, taken))
}

/// The largest sum of magnitudes of a column, divided by `2^exponent` so that it does not overflow.
fn one_norm(matrix: &Array2<f64>) -> (f64, i64) {
    let size = exponent(largest_magnitude(matrix.view())).unwrap_or(0);
    let sums = matrix.columns().into_iter().map(|column| column.iter().map(|&x| times_two_to(x.abs(), -size)).sum());
    (sums.fold(0.0, f64::max), size)
}

/// `(V − U)⁻¹·(V + U)` with the odd powers `U` and the even ones `V` of the numerator.
fn approximant(matrix: &Array2<f64>, coefficients: &[f64]) -> Array2<f64> {
    let size = matrix.nrows();
    let square = matrix.dot(matrix);
    let (mut odd, mut even) = (Array2::zeros(matrix.dim()), Array2::zeros(matrix.dim()));
    let mut power = Array2::eye(size);
    for (index, pair) in coefficients.chunks(2).enumerate() {
        if index > 0 {
            power = power.dot(&square);
        }
        even.scaled_add(pair[0], &power);
        odd.scaled_add(pair[1], &power);
    }
    let odd = matrix.dot(&odd);
    let (lu, mut result) = (Lu::new((&even - &odd).view()), even + odd);
    if let Some(result) = result.as_slice_mut() {
        // The matrix is about `coefficients[0]` times the identity: no power is left over.
        lu.solve_scaled_row_major(System::Plain, result, &mut Lu::<f64>::memory(&[(size, size)]));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decompose::Symmetry;
    use crate::decompose::symmetric::scaled_symmetric_eigen;
    use crate::operator::Factor;
    use crate::test_support::{all_close, close, symmetric};
    use lokr_testing::matrix;
    use ndarray::{Array1, array};

    fn exp(matrix: &Array2<f64>) -> Array2<f64> {
        let (result, power) = exponential(matrix.view()).unwrap();
        result.mapv(|x| times_two_to(x, power))
    }

    #[test]
    fn symmetric_matrices_agree_with_their_eigenvalues_at_every_norm() {
        for size in [1, 2, 3, 5, 8, 13] {
            for scale in [1e-300, 1e-20, 1e-3, 0.02, 0.1, 0.3, 1.0, 5.0, 30.0] {
                let matrix = symmetric::<f64>(size, 1) * (scale / size as f64);
                let found = exp(&matrix);
                let eigen = scaled_symmetric_eigen("test", "A", &Factor::from(&matrix), Symmetry::Rounding).unwrap();
                let (values, q) = (eigen.result.values.mapv(|x| eigen.power.times(x).exp()), eigen.result.vectors);
                let expected = (&q * &values).dot(&q.t());
                let largest = values.iter().fold(1.0_f64, |max, &x| max.max(x));
                all_close(&(found / largest), &(expected / largest), 4.0 * size as f64 * (1.0 + scale));
            }
        }
    }

    #[test]
    fn matrices_whose_exponentials_are_known() {
        let (sin, cos) = 2.5_f64.sin_cos();
        all_close(&exp(&array![[0.0, -2.5], [2.5, 0.0]]), &array![[cos, -sin], [sin, cos]], 4.0);
        // Nilpotent, of a norm that takes 18 squarings, each of which doubles the rounding errors.
        let found = exp(&array![[0.0, 1e6, 0.0], [0.0, 0.0, 1e-6], [0.0, 0.0, 0.0]]) * 1e-6;
        all_close(&found, &array![[1e-6, 1.0, 5e-7], [0.0, 1e-6, 1e-12], [0.0, 0.0, 1e-6]], 1e6);
        assert_eq!(exp(&Array2::zeros((3, 3))), Array2::<f64>::eye(3));
        // Tiny elements keep their digits beside the ones.
        let found = exp(&array![[0.0, 3e-200], [2e-100, 0.0]]);
        close(found[[0, 1]] / 3e-200, 1.0, 1.0);
        close(found[[1, 0]] / 2e-100, 1.0, 1.0);
        // C. Moler and C. Van Loan's example, where a Taylor series loses all digits.
        let found = exp(&array![[-49.0, 24.0], [-64.0, 31.0]]);
        all_close(
            &found,
            &array![[-0.735758758144755, 0.551819099658099], [-1.471517599088267, 1.103638240715556]],
            100.0,
        );
    }

    #[test]
    fn inverses_are_those_of_the_negative() {
        for size in [2, 5, 9] {
            let m = matrix::<f64>(size, size, 3) * 2.0;
            let product = exp(&m).dot(&exp(&(-&m)));
            let size = exp(&m).iter().chain(&exp(&(-&m))).fold(1.0_f64, |max, x| max.max(x.abs()));
            all_close(&product, &Array2::eye(m.nrows()), 20.0 * size * size);
        }
    }

    #[test]
    fn results_beyond_the_range_have_an_exponent() {
        for value in [2000.0_f64, -2000.0, 1e5, 700.0, -730.0] {
            let (found, power) = exponential(array![[value, 0.0], [0.0, value]].view()).unwrap();
            let ln = found[[0, 0]].ln() + power as f64 * std::f64::consts::LN_2;
            close(ln / value, 1.0, 1.0);
        }
        let found = exp(&Array2::from_diag(&Array1::from_vec(vec![700.0, -700.0, 0.0])));
        for (index, value) in [700.0_f64, -700.0, 0.0].into_iter().enumerate() {
            close(found[[index, index]] / value.exp(), 1.0, 1000.0);
        }
        assert!(exponential(array![[1e300_f64]].view()).is_none());
        assert!(exponential(array![[f64::MAX, f64::MAX], [f64::MAX, f64::MAX]].view()).is_none());
        assert_eq!(exp(&array![[-1e300]]), array![[0.0]]);
        assert_eq!(exponential(array![[f32::MIN]].view()), Some((array![[0.0]], 0)));
    }
}
