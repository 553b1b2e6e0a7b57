use lokr_testing::{LAYOUTS, matrix, with_layout};
use ndarray::{Array2, ArrayRef2, array};

use super::*;
use crate::decompose::reference::singular_values;
use crate::error::KronError;
use crate::operator::{Factor, Kron, kron_dense};
use crate::scalar::Scalar;
use crate::shape::KronShape;

/// `R(W)`, written out.
fn rearranged<T: Scalar>(w: &ArrayRef2<T>, KronShape { m, n, p, q }: KronShape) -> Array2<f64> {
    let mut r = Array2::zeros((m * n, p * q));
    for i in 0..m {
        for j in 0..n {
            for k in 0..p {
                for l in 0..q {
                    r[[i * n + j, k * q + l]] = w[[i * p + k, j * q + l]].to_f64_exact();
                }
            }
        }
    }
    r
}

fn norm<T: Scalar>(matrix: &Array2<T>) -> f64 {
    matrix.iter().map(|x| x.to_f64_exact().powi(2)).sum::<f64>().sqrt()
}

fn sum_of_terms<T: Scalar>(nearest: &NearestKron<T>, dim: (usize, usize)) -> Array2<T> {
    nearest
        .terms
        .iter()
        .fold(Array2::zeros(dim), |sum, term| sum + kron_dense(&term.a().dense(), &term.b().dense()).unwrap())
}

/// What must hold of any result on any matrix, against the dense decomposition.
fn check<T: Scalar>(w: &ArrayRef2<T>, shape: KronShape, terms: usize, options: &NearestOptions) -> NearestKron<T> {
    let before = w.to_owned();
    let nearest = nearest_kron(w, shape, terms, options).unwrap();
    assert_eq!(w, before, "the input changed");
    assert!(nearest.converged, "{shape:?} did not converge");
    let r = rearranged(w, shape);
    let sigma = singular_values(&r);
    let (total, eps) = (norm(&before), T::epsilon().to_f64_exact());
    // Squared singular values are right to the order of the tolerance squared, and of the rounding.
    let error = 1e-8f64.max(100.0 * eps);
    assert_eq!(nearest.terms.len(), terms);
    let mut captured = 0.0;
    for (i, term) in nearest.terms.iter().enumerate() {
        assert_eq!(term.shape(), shape);
        let square = |x: f64| (x / total).powi(2);
        assert!((square(nearest.singular_values[i]) - square(sigma[i])).abs() < error, "{shape:?}, σ{i}: {nearest:?}");
        assert!((nearest.energies[i] - square(sigma[i])).abs() < error, "{shape:?}, energy {i}");
        captured += square(sigma[i]);
        let (a, b) = (term.a().to_dense(), term.b().to_dense());
        assert!((norm(&a) - norm(&b)).abs() < 10.0 * eps * norm(&a) + error * total, "{shape:?}: scales differ");
        let largest = a.iter().fold(T::zero(), |l, &x| if x.abs() > l.abs() { x } else { l });
        assert!(largest >= T::zero(), "{shape:?}: sign");
    }
    assert!((nearest.energy - captured).abs() < terms as f64 * error, "{shape:?}: {} {captured}", nearest.energy);
    // The approximation really leaves what the energies say.
    let rest = norm(&(&before - &sum_of_terms(&nearest, w.dim())));
    assert!(((rest / total).powi(2) - (1.0 - captured)).abs() < terms as f64 * error, "{shape:?}: rest {rest}");
    nearest
}

const SHAPES: [(usize, usize, usize, usize); 9] = [
    (1, 1, 1, 1),
    (2, 3, 5, 7),
    (7, 5, 3, 2),
    (1, 4, 3, 6),
    (13, 1, 1, 11),
    (1, 1, 3, 5),
    (10, 9, 8, 12), // width 90: by iteration, positions as columns
    (12, 8, 10, 9), // width 90: by iteration, transposed
    (16, 11, 97, 2),
];

fn agrees_with_the_dense_decomposition<T: Scalar>() {
    for (m, n, p, q) in SHAPES {
        let shape = KronShape::new(m, n, p, q).unwrap();
        let w = matrix::<T>(m * p, n * q, 3);
        for terms in [1, 2, 5] {
            if terms <= (m * n).min(p * q) {
                check(&w, shape, terms, &NearestOptions::default());
            }
        }
    }
}

#[test]
fn agrees_with_the_dense_decomposition_f32() {
    agrees_with_the_dense_decomposition::<f32>();
}

#[test]
fn agrees_with_the_dense_decomposition_f64() {
    agrees_with_the_dense_decomposition::<f64>();
}

#[test]
fn all_terms_give_the_matrix_back() {
    let w = matrix::<f64>(6, 20, 1);
    for (m, n) in [(2, 4), (3, 2), (6, 1), (1, 1)] {
        let shape = KronShape::new(m, n, 6 / m, 20 / n).unwrap();
        let nearest = check(&w, shape, (m * n).min(120 / (m * n)), &NearestOptions::default());
        assert!(norm(&(&w - &sum_of_terms(&nearest, w.dim()))) < 1e-7, "{shape:?}");
    }
}

fn recovers_a_sum_of_products<T: Scalar>(tolerance: f64) {
    for (m, n, p, q) in [(4, 3, 5, 6), (10, 9, 8, 12), (12, 13, 9, 8)] {
        let shape = KronShape::new(m, n, p, q).unwrap();
        let mut w = Array2::<T>::zeros(shape.dim());
        for terms in 1..=3 {
            let (a, b) = (matrix::<T>(m, n, terms), matrix::<T>(p, q, 10 + terms));
            w += &kron_dense(&a, &b).unwrap();
            let nearest = check(&w, shape, terms as usize, &NearestOptions::default());
            let rest = norm(&(&w - &sum_of_terms(&nearest, w.dim())));
            assert!(rest < tolerance * norm(&w), "{shape:?}, {terms} terms: {rest}");
            assert!((nearest.energy - 1.0).abs() < tolerance);
        }
        // More terms than there are: the last is nothing.
        let nearest = check(&w, shape, 4, &NearestOptions::default());
        assert!(nearest.energies[3] < tolerance);
    }
}

#[test]
fn recovers_a_sum_of_products_f32() {
    recovers_a_sum_of_products::<f32>(3e-6);
}

#[test]
fn recovers_a_sum_of_products_f64() {
    recovers_a_sum_of_products::<f64>(1e-13);
}

#[test]
fn a_wide_block_survives_a_restart() {
    // Width 420 with a slowly falling spectrum and a sharp tolerance: the basis fills and is thinned out.
    let shape = KronShape::new(20, 22, 21, 20).unwrap();
    let w = matrix::<f64>(420, 440, 8);
    let options = NearestOptions { tolerance: 1e-10, oversampling: 1, ..Default::default() };
    let nearest = check(&w, shape, 2, &options);
    assert!(nearest.iterations > 96 / 3, "{} passes: no restart was needed", nearest.iterations);
    let sigma = singular_values(&rearranged(&w, shape));
    for (found, expected) in nearest.singular_values.iter().zip(&sigma) {
        assert!((found - expected).abs() < 1e-12 * sigma[0]);
    }
}

#[test]
fn any_strides_give_the_same_factors() {
    for (m, n, p, q) in [(2, 3, 5, 7), (10, 9, 8, 12), (12, 8, 10, 9)] {
        let shape = KronShape::new(m, n, p, q).unwrap();
        let (rows, cols) = shape.dim();
        let w = matrix::<f64>(rows, cols, 4);
        let expected = nearest_kron(&w, shape, 1, &NearestOptions::default()).unwrap();
        for layout in LAYOUTS {
            with_layout(&w, layout, |view| {
                assert_eq!(view, &w);
                let found = check(view, shape, 1, &NearestOptions::default());
                let difference = found.terms[0].to_dense() - expected.terms[0].to_dense();
                assert!(norm(&difference) < 1e-3 * norm(&w), "{shape:?} {layout:?}: {}", norm(&difference));
                assert_eq!(found.terms[0].a().dense().view().strides(), [n as isize, 1]);
            });
        }
    }
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    fn bits<T: Scalar>(threads: usize, shape: KronShape) -> NearestKron<T> {
        let (rows, cols) = shape.dim();
        let w = matrix::<T>(rows, cols, 6);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| nearest_kron(&w, shape, 2, &NearestOptions::default()).unwrap())
    }
    // Enough tiles for many tasks, in both orientations and by both methods.
    for (m, n, p, q) in [(24, 30, 28, 26), (28, 26, 24, 30), (4, 6, 300, 90), (300, 90, 4, 6)] {
        let shape = KronShape::new(m, n, p, q).unwrap();
        assert_eq!(bits::<f32>(1, shape), bits::<f32>(3, shape), "{shape:?}");
        assert_eq!(bits::<f64>(1, shape), bits::<f64>(3, shape), "{shape:?}");
    }
}

#[test]
fn the_seed_changes_the_start_and_not_the_answer() {
    let shape = KronShape::new(10, 9, 8, 12).unwrap();
    let w = matrix::<f64>(80, 108, 2);
    let with = |seed| nearest_kron(&w, shape, 1, &NearestOptions { seed, ..Default::default() }).unwrap();
    assert_eq!(with(1), with(1));
    assert_ne!(with(1), with(2));
    assert!((with(1).energy - with(2).energy).abs() < 1e-8);
}

#[test]
fn passes_are_limited_and_the_result_says_so() {
    let shape = KronShape::new(10, 9, 8, 12).unwrap();
    let w = matrix::<f64>(80, 108, 2);
    for max_iterations in [0, 1, 2] {
        let options = NearestOptions { max_iterations, ..Default::default() };
        let nearest = nearest_kron(&w, shape, 1, &options).unwrap();
        assert_eq!((nearest.iterations, nearest.converged), (max_iterations.max(1), false));
        assert!(nearest.energy > 0.0 && nearest.energy < 1.0);
    }
}

#[test]
fn very_large_and_very_small_values_neither_overflow_nor_vanish() {
    fn at<T: Scalar>(magnitude: f64) {
        for (m, n, p, q) in [(4, 3, 5, 6), (10, 9, 8, 12)] {
            let (a, b) = (matrix::<f64>(m, n, 1), matrix::<f64>(p, q, 2));
            let w = kron_dense(&a, &b).unwrap().mapv(|x| T::from_f64_lossy(x * magnitude));
            let shape = KronShape::new(m, n, p, q).unwrap();
            let nearest = nearest_kron(&w, shape, 1, &NearestOptions::default()).unwrap();
            assert!((nearest.energy - 1.0).abs() < 1e-6, "{} {magnitude:e}: {}", T::NAME, nearest.energy);
            let rest = nearest.terms[0].to_dense() - &w;
            let worst = rest.iter().fold(0.0f64, |worst, x| worst.max(x.abs().to_f64_exact()));
            assert!(worst <= 1e-5 * magnitude, "{} {magnitude:e}: {worst:e}", T::NAME);
        }
    }
    for magnitude in [1e30, 1e-30] {
        at::<f32>(magnitude);
    }
    for magnitude in [1e300, 1e-290] {
        at::<f64>(magnitude);
    }
}

#[test]
fn a_zero_matrix_is_captured_whole_by_zero_terms() {
    for (m, n, p, q) in [(2, 3, 5, 7), (10, 9, 8, 12)] {
        let shape = KronShape::new(m, n, p, q).unwrap();
        let nearest = nearest_kron(&Array2::<f32>::zeros(shape.dim()), shape, 2, &NearestOptions::default()).unwrap();
        assert_eq!(nearest.singular_values, [0.0, 0.0]);
        assert_eq!((nearest.energies.as_slice(), nearest.energy), ([0.0, 0.0].as_slice(), 1.0));
        assert!(nearest.converged);
        assert!(nearest.terms.iter().all(|term| term.parts().all(|part| part.iter().all(|&x| x == 0.0))));
    }
}

#[test]
fn bad_arguments_are_named() {
    let (w, shape) = (matrix::<f64>(6, 20, 1), KronShape::new(2, 4, 3, 5).unwrap());
    let options = NearestOptions::default();
    let error = nearest_kron(&w, KronShape::new(2, 4, 3, 6).unwrap(), 1, &options).unwrap_err();
    assert_eq!(error.to_string(), "nearest_kron: w has shape (6, 20), expected (6, 24)");
    for asked in [0, 9] {
        let error = nearest_kron(&w, shape, asked, &options).unwrap_err();
        assert_eq!(error, KronError::TermCount { operation: "nearest_kron", asked, possible: 8 });
    }
    let mut w = w;
    w[[1, 2]] = f64::NAN;
    w[[5, 19]] = f64::NEG_INFINITY;
    let error = nearest_kron(&w, shape, 1, &options).unwrap_err();
    assert_eq!(error, KronError::NonFinite { operation: "nearest_kron", argument: "w", count: 2 });
}

fn nearest_to_a_sum_is_nearest_to_its_dense_form<T: Scalar>() {
    let shapes = [(2, 3, 5, 4), (1, 2, 7, 3), (2, 1, 1, 3), (5, 5, 2, 1)];
    for (m, n, p, q) in shapes {
        let shape = KronShape::new(m, n, p, q).unwrap();
        let krons: Vec<Kron<'_, T>> = (0..3)
            .map(|t| match t {
                0 => {
                    let b = Factor::low_rank(matrix(p, 2, 20), matrix(2, q, 21)).unwrap();
                    Kron::new(matrix(m, n, 22), b).unwrap()
                }
                _ => Kron::new(matrix(m, n, t), matrix(p, q, 10 + t)).unwrap(),
            })
            .collect();
        let weights = [0.5, -2.0, 1.25].map(T::from_f64_lossy);
        let sum: Vec<(T, &Kron<'_, T>)> = weights.into_iter().zip(&krons).collect();
        let mut dense = Array2::<T>::zeros(shape.dim());
        for (weight, kron) in &sum {
            dense += &(kron_dense(&kron.a().dense(), &kron.b().dense()).unwrap() * *weight);
        }
        for terms in 1..=3.min(m * n).min(p * q) {
            let found = nearest_to_sum(&sum, terms).unwrap();
            let expected = check(&dense, shape, terms, &NearestOptions::default());
            let eps = 100.0 * T::epsilon().to_f64_exact();
            for i in 0..terms {
                assert!((found.singular_values[i] - expected.singular_values[i]).abs() < eps * norm(&dense));
                assert!((found.energies[i] - expected.energies[i]).abs() < eps);
            }
            assert!((found.energy - expected.energy).abs() < eps);
            let difference = sum_of_terms(&found, dense.dim()) - sum_of_terms(&expected, dense.dim());
            assert!(norm(&difference) < 20.0 * eps * norm(&dense), "{shape:?}, {terms}: {}", norm(&difference));
        }
    }
}

#[test]
fn nearest_to_a_sum_is_nearest_to_its_dense_form_f32() {
    nearest_to_a_sum_is_nearest_to_its_dense_form::<f32>();
}

#[test]
fn nearest_to_a_sum_is_nearest_to_its_dense_form_f64() {
    nearest_to_a_sum_is_nearest_to_its_dense_form::<f64>();
}

/// Sums of terms of every scale, some with factors of opposite ones, beside the same sum of factors of scale one.
fn sums_of_extreme_factors<T: Scalar>(large: f64) {
    let (large, small) = (T::from_f64_lossy(large), T::from_f64_lossy(1.0 / large));
    let (a, b) = ([1, 2, 3].map(|t| matrix::<T>(2, 3, t)), [4, 5, 6].map(|t| matrix::<T>(3, 2, t)));
    let plain: Vec<_> = a.iter().zip(&b).map(|(a, b)| Kron::new(a, b).unwrap()).collect();
    let expected =
        nearest_to_sum(&[1.0, -0.5, 0.25].map(T::from_f64_lossy).into_iter().zip(&plain).collect::<Vec<_>>(), 2);
    let expected = expected.unwrap();
    for (unit, weights) in [(T::one(), [T::one(), large, small]), (large, [large, T::one(), T::one()])] {
        // Each term in another way: by its weight, its first factor or its second.
        let scaled = [
            Kron::new(&a[0] * (unit / weights[0]), &b[0] * T::one()),
            Kron::new(&a[1] * T::from_f64_lossy(-0.5), &b[1] * (unit / weights[1])),
            Kron::new(&a[2] * large, &b[2] * (unit / weights[2] / large * T::from_f64_lossy(0.25))),
        ]
        .map(Result::unwrap);
        let sum: Vec<_> = weights.into_iter().zip(&scaled).collect();
        let found = nearest_to_sum(&sum, 2).unwrap();
        let unit_f64 = unit.to_f64_exact();
        let tolerance = 100.0 * T::epsilon().to_f64_exact();
        for (found, expected) in found.singular_values.iter().zip(&expected.singular_values) {
            assert!((found / unit_f64 / expected - 1.0).abs() < tolerance);
        }
        assert!((found.energy - expected.energy).abs() < tolerance);
        let difference = sum_of_terms(&found, (6, 6)) / unit - sum_of_terms(&expected, (6, 6));
        assert!(norm(&difference) < 20.0 * tolerance);
    }
}

#[test]
fn sums_of_factors_of_every_scale() {
    sums_of_extreme_factors::<f32>(1e18);
    sums_of_extreme_factors::<f64>(1e150);
}

#[test]
fn bad_sums_are_named() {
    let kron = |m, n, p, q| Kron::<f64>::new(matrix(m, n, 1), matrix(p, q, 2)).unwrap();
    let (first, second) = (kron(2, 3, 4, 5), kron(2, 3, 5, 4));
    let count = |asked, possible| KronError::TermCount { operation: "nearest_to_sum", asked, possible };
    assert_eq!(nearest_to_sum::<f64>(&[], 1), Err(count(1, 0)));
    assert_eq!(nearest_to_sum(&[(1.0, &first)], 2), Err(count(2, 1)));
    assert_eq!(nearest_to_sum(&[(1.0, &first)], 0), Err(count(0, 1)));
    let error = nearest_to_sum(&[(1.0, &first), (1.0, &second)], 1).unwrap_err();
    assert_eq!(error.to_string(), "nearest_to_sum: B has shape (5, 4), expected (4, 5): is it transposed?");
    let error = nearest_to_sum(&[(f64::NAN, &first)], 1).unwrap_err();
    assert_eq!(error, KronError::NonFinite { operation: "nearest_to_sum", argument: "sum", count: 1 });
    let infinite = Kron::new(array![[f64::INFINITY]], array![[1.0, f64::NAN]]).unwrap();
    let error = nearest_to_sum(&[(1.0, &infinite)], 1).unwrap_err();
    assert_eq!(error, KronError::NonFinite { operation: "nearest_to_sum", argument: "sum", count: 2 });
}
