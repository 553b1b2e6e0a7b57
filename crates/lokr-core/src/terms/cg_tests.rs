//! Systems solved by conjugate gradients, against dense arithmetic.

use lokr_testing::{LAYOUTS, matrix, with_layout};
use ndarray::{Array1, Array2, ArrayRef2, Axis, array};

use super::{CgOptions, CgSolution, Diagonal, KronTerms, Preconditioner};
use crate::error::KronError;
use crate::operator::{Factor, Kron};
use crate::scalar::Scalar;
use crate::test_support::positive;

/// Positive definite sums, of one split and of several, with a low-rank factor or not.
fn systems<T: Scalar>() -> Vec<KronTerms<'static, T>> {
    let splits: [&[(usize, usize)]; 6] = [
        &[(1, 1)],
        &[(3, 4)],
        &[(3, 4), (3, 4), (3, 4)],
        &[(3, 4), (4, 3), (12, 1), (2, 6)],
        &[(1, 7), (7, 1)],
        &[(5, 1)],
    ];
    let sum = |splits: &[(usize, usize)]| {
        let terms = (1..).step_by(3).zip(splits).map(|(seed, &(n, q))| {
            let weight = T::from_f64_lossy(0.5 + seed as f64 / 4.0);
            let kron = if seed == 4 && q > 1 {
                let half = matrix::<T>(q, 2, seed);
                Kron::new(positive::<T>(n, seed), Factor::low_rank(half.clone(), half.t().to_owned()).unwrap())
            } else {
                Kron::new(positive::<T>(n, seed), positive(q, seed + 1))
            };
            (weight, kron.unwrap())
        });
        KronTerms::new(terms).unwrap()
    };
    splits.into_iter().map(sum).collect()
}

fn preconditioners<'k, T: Scalar>(k: &'k KronTerms<'static, T>) -> Vec<Preconditioner<'k, T>> {
    let given = Preconditioner::Kron(&k.terms()[0]);
    vec![Preconditioner::None, Preconditioner::Diagonal, Preconditioner::Nearest, given]
}

fn tight<T: Scalar>(preconditioner: Preconditioner<'_, T>) -> CgOptions<'_, T> {
    CgOptions { tolerance: T::epsilon() * T::from_f64_lossy(1000.0), preconditioner, ..Default::default() }
}

/// `‖y − M·x‖ / ‖y‖` of every row.
fn dense_residuals<T: Scalar>(m: &Array2<T>, x: &ArrayRef2<T>, y: &ArrayRef2<T>) -> Array1<f64> {
    let [m, x, y] = [m.view(), x.view(), y.view()].map(|of| of.mapv(|value: T| value.to_f64_exact()));
    let norms = |rows: &Array2<f64>| rows.map_axis(Axis(1), |row| row.dot(&row).sqrt());
    norms(&(&y - &x.dot(&m))) / norms(&y)
}

fn solutions_have_the_residuals_that_are_said<T: Scalar>(scales: [f64; 3]) {
    for k in systems::<T>() {
        let (size, d) = (k.nrows(), matrix::<T>(1, k.nrows(), 7).mapv(|value| value * value).remove_axis(Axis(0)));
        let y = matrix::<T>(3, size, 8);
        for (constant, values) in [(T::zero(), None), (T::from_f64_lossy(0.25), None), (T::zero(), Some(&d))] {
            let diagonal = values.cloned().unwrap_or_else(|| Array1::from_elem(size, constant));
            let dense = k.to_dense() + Array2::from_diag(&diagonal);
            for preconditioner in preconditioners(&k) {
                for (of_k, of_y) in
                    scales.map(T::from_f64_lossy).into_iter().flat_map(|k| scales.map(|y| (k, T::from_f64_lossy(y))))
                {
                    if !(of_y / of_k).is_normal() {
                        continue; // no solution of this type
                    }
                    let scaled = &k * of_k;
                    let diagonal = &diagonal * of_k;
                    let d = if values.is_some() { Diagonal::from(&diagonal) } else { Diagonal::from(constant * of_k) };
                    let given = k.terms()[0].scaled(of_k);
                    let preconditioner = match &preconditioner {
                        Preconditioner::Kron(_) => Preconditioner::Kron(&given),
                        other => other.clone(),
                    };
                    let found = scaled.conjugate_gradients(d, &(&y * of_y), &tight(preconditioner.clone())).unwrap();
                    assert!(found.converged, "{preconditioner:?} {found:?}");
                    assert!(found.iterations > 0 && found.iterations < 100);
                    let residuals = dense_residuals(&dense, &(&found.x * of_k / of_y), &y);
                    for (&found, dense) in found.residuals.iter().zip(residuals) {
                        let found = found.to_f64_exact();
                        assert!((found - dense).abs() < 100.0 * T::epsilon().to_f64_exact(), "{found:e} {dense:e}");
                    }
                }
            }
        }
    }
}

#[test]
fn solutions_have_the_residuals_that_are_said_in_f32_and_f64_at_every_scale() {
    solutions_have_the_residuals_that_are_said::<f32>([1.0, 1e-30, 1e30]);
    solutions_have_the_residuals_that_are_said::<f64>([1.0, 1e-200, 1e200]);
}

#[test]
fn one_product_and_a_constant_need_one_iteration() {
    let k = Kron::new(positive::<f64>(6, 1), positive(5, 2)).unwrap();
    let y = matrix::<f64>(4, 30, 3);
    let found = k.conjugate_gradients(0.3, &y, &CgOptions::default()).unwrap();
    assert!(found.converged && found.iterations == 1 && found.residual() < 1e-13);
    let direct = k.solve_shifted(0.3, &y).unwrap();
    assert!((&found.x - &direct).iter().all(|d| d.abs() < 1e-12));
    // The same terms twice, and a weight: still one product.
    let sum = (&k * 0.25 + &k * 0.75).unwrap();
    let again = sum.conjugate_gradients(0.3, &y, &CgOptions::default()).unwrap();
    assert!(again.iterations == 1 && (again.x - direct).iter().all(|d| d.abs() < 1e-12));
}

/// Few eigenvalues lie far from those of the nearest product.
#[test]
fn a_preconditioner_saves_iterations() {
    let badly = |size: usize, seed| {
        let roots = matrix::<f64>(size, size, seed) * Array1::from_shape_fn(size, |i| 10.0_f64.powi(-(i as i32) / 3));
        roots.dot(&roots.t()) + Array2::<f64>::eye(size) * 1e-5
    };
    let k = Kron::new(badly(20, 1), badly(20, 2)).unwrap();
    let noise = Array1::from_shape_fn(400, |i| 1e-3 * (1.0 + 0.1 * (i as f64).sin()));
    let y = matrix::<f64>(1, 400, 3);
    let iterations = |preconditioner| {
        let options = CgOptions { preconditioner, ..Default::default() };
        let found = k.conjugate_gradients(&noise, &y, &options).unwrap();
        assert!(found.converged);
        found.iterations
    };
    let (none, nearest) = (iterations(Preconditioner::None), iterations(Preconditioner::Nearest));
    assert!(nearest < 12 && nearest * 4 < none, "{nearest} {none}");
    // A diagonal of very different values is best met by itself.
    let noise = Array1::from_shape_fn(400, |i| 10.0_f64.powi((i % 7) as i32));
    let iterations = |preconditioner| {
        let options = CgOptions { preconditioner, ..Default::default() };
        k.conjugate_gradients(&noise, &y, &options).unwrap().iterations
    };
    assert!(iterations(Preconditioner::Diagonal) * 2 < iterations(Preconditioner::None));
}

#[test]
fn samples_of_every_kind_and_layout() {
    let k = &systems::<f64>()[2];
    let y = matrix::<f64>(5, 12, 1);
    let options = CgOptions { tolerance: 1e-13, ..Default::default() };
    let expected = k.conjugate_gradients(0.1, &y, &options).unwrap();
    for layout in LAYOUTS {
        let found = with_layout(&y, layout, |y| k.conjugate_gradients(0.1, y, &options).unwrap());
        assert_eq!(found, expected);
    }
    let fields = y.clone().into_shape_with_order((5, 3, 4)).unwrap();
    let found = k.conjugate_gradients(0.1, &fields, &options).unwrap();
    assert_eq!(found.x.into_shape_with_order((5, 12)).unwrap(), expected.x);
    let vector = k.conjugate_gradients(0.1, &y.row(2), &options).unwrap();
    assert!((vector.x - expected.x.row(2)).iter().all(|d| d.abs() < 1e-12));
    let none = k.conjugate_gradients(0.1, &Array2::zeros((0, 12)), &options).unwrap();
    let residuals = Array1::zeros(0);
    assert_eq!(none, CgSolution { x: Array2::zeros((0, 12)), iterations: 0, residuals, converged: true });
    assert_eq!(none.residual(), 0.0);
}

#[test]
fn zero_has_the_solution_zero_and_nan_spoils_its_own_row_only() {
    let k = &systems::<f64>()[3];
    let mut y = matrix::<f64>(5, 12, 1);
    y.row_mut(1).fill(0.0);
    let options = CgOptions::default();
    let plain = k.conjugate_gradients(0.0, &y, &options).unwrap();
    assert!(plain.converged && plain.residuals[1] == 0.0);
    assert_eq!(plain.x.row(1), Array1::<f64>::zeros(12));
    for bad in [f64::NAN, f64::INFINITY] {
        y[[3, 2]] = bad;
        let found = k.conjugate_gradients(0.0, &y, &options).unwrap();
        assert!(!found.converged && found.residual().is_nan());
        for row in 0..5 {
            match row {
                3 => assert!(found.x.row(3).iter().all(|x| x.is_nan()) && found.residuals[3].is_nan()),
                _ => assert!(found.residuals[row] <= options.tolerance),
            }
        }
    }
}

#[test]
fn what_does_not_converge_is_told() {
    let k = &systems::<f64>()[2];
    let (y, dense) = (matrix::<f64>(2, 12, 1), k.to_dense());
    for max_iterations in [0, 1, 2] {
        let options = CgOptions { max_iterations, preconditioner: Preconditioner::None, ..Default::default() };
        let found = k.conjugate_gradients(0.0, &y, &options).unwrap();
        assert_eq!((found.iterations, found.converged), (max_iterations, false));
        let residuals = dense_residuals(&dense, &found.x, &y);
        assert!((&found.residuals - residuals).iter().all(|d| d.abs() < 1e-13));
    }
    // No number of iterations gives what the type does not hold, and not many are made in vain.
    let single = &systems::<f32>()[2];
    for preconditioner in preconditioners(single) {
        let options = CgOptions { tolerance: 1e-12, max_iterations: 100_000, preconditioner };
        let found = single.conjugate_gradients(0.0, &matrix::<f32>(2, 12, 1), &options).unwrap();
        assert!(!found.converged && found.iterations < 500 && found.residual() < 1e-5, "{found:?}");
    }
    // A singular matrix, and a sample that it reaches or not.
    let k = Kron::new(array![[1.0, 1.0], [1.0, 1.0]], array![[2.0]]).unwrap();
    for preconditioner in [Preconditioner::None, Preconditioner::Diagonal, Preconditioner::Nearest] {
        let options = CgOptions { preconditioner, ..Default::default() };
        let found = k.conjugate_gradients(0.0, &array![[1.0, 1.0], [1.0, -1.0], [1.0, 0.0]], &options).unwrap();
        assert!(!found.converged && found.iterations < 20);
        assert!(found.residuals[0] < 1e-14 && found.residuals[1] > 0.9 && found.residuals[2] > 0.7);
    }
    let any = CgOptions { tolerance: 1.0, ..Default::default() };
    let found = k.conjugate_gradients(0.0, &array![1.0, 0.0], &any).unwrap();
    assert_eq!((found.iterations, found.converged, found.x), (0, true, array![0.0, 0.0]));
}

#[test]
fn the_bits_do_not_depend_on_the_threads() {
    let k = &systems::<f64>()[3];
    let y = matrix::<f64>(40, 12, 1);
    let solve = || k.conjugate_gradients(0.01, &y, &CgOptions::default()).unwrap();
    let of_one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(solve);
    let of_three = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap().install(solve);
    assert_eq!(of_one, of_three);
}

#[test]
fn each_error_is_named() {
    let operation = "conjugate_gradients";
    let error = |k: &KronTerms<'_, f64>, d: Diagonal<'_, f64>, y: &Array2<f64>, options: &CgOptions<'_, f64>| {
        k.conjugate_gradients(d, y, options).unwrap_err()
    };
    let (k, y, default) =
        (KronTerms::from(Kron::new(positive(2, 1), positive(3, 2)).unwrap()), matrix(2, 6, 3), CgOptions::default());
    let zero = || Diagonal::Constant(0.0);
    let (five, nan) = (Array1::ones(5), array![1.0, f64::NAN, 1.0, 1.0, 1.0, f64::INFINITY]);
    let length = KronError::Length { operation, argument: "d", expected: 6, found: 5 };
    assert_eq!(error(&k, Diagonal::from(&five), &y, &default), length);
    let non_finite = |argument, count| KronError::NonFinite { operation, argument, count };
    assert_eq!(error(&k, Diagonal::from(&nan), &y, &default), non_finite("d", 2));
    assert_eq!(error(&(&k * f64::NAN), zero(), &y, &default), non_finite("K", 1));
    let options = CgOptions { tolerance: f64::NAN, ..Default::default() };
    assert_eq!(error(&k, zero(), &y, &options), non_finite("tolerance", 1));
    let shape = |argument, expected, found| KronError::Shape { operation, argument, expected, found };
    assert_eq!(error(&k, zero(), &matrix(2, 5, 3), &default), shape("y", (2, 6), (2, 5)));
    let options = |kron| CgOptions::<'_, f64> { preconditioner: Preconditioner::Kron(kron), ..Default::default() };
    let other = Kron::new(positive::<f64>(2, 1), positive(2, 2)).unwrap();
    assert_eq!(error(&k, zero(), &y, &options(&other)), shape("the preconditioner", (6, 6), (4, 4)));
    let wide = Kron::new(matrix::<f64>(2, 3, 1), matrix(3, 2, 2)).unwrap();
    let not_square = |name, shape| KronError::NotSquare { operation, name, shape };
    assert_eq!(error(&k, zero(), &y, &options(&wide)), not_square("A of the preconditioner", (2, 3)));
    let rectangle = KronTerms::from(Kron::new(matrix::<f64>(2, 3, 1), matrix(3, 1, 2)).unwrap());
    assert_eq!(error(&rectangle, zero(), &matrix(1, 6, 1), &default), not_square("K", (6, 3)));
    let skewed = Kron::new(matrix::<f64>(2, 2, 1), positive(3, 2)).unwrap();
    assert!(matches!(error(&k, zero(), &y, &options(&skewed)), KronError::NotSymmetric { name: "A", .. }));
    let not_positive = |name| KronError::NotPositiveDefinite { operation, name };
    let negative = Kron::new(-positive::<f64>(2, 1), positive(3, 2)).unwrap();
    assert_eq!(error(&k, zero(), &y, &options(&negative)), not_positive("the preconditioner"));
    assert_eq!(error(&KronTerms::from(negative), zero(), &y, &default), not_positive("K + D"));
    assert_eq!(error(&(&k * 0.0), zero(), &y, &default), not_positive("K + D"));
    // A diagonal of ones, and an eigenvalue of −1.
    let hidden = KronTerms::from(Kron::new(array![[1.0, 2.0], [2.0, 1.0]], Array2::<f64>::eye(3)).unwrap());
    for preconditioner in [Preconditioner::None, Preconditioner::Diagonal, Preconditioner::Nearest] {
        let options = CgOptions { preconditioner, ..Default::default() };
        assert_eq!(error(&hidden, zero(), &y, &options), not_positive("K + D"));
        // Enough is added to make it positive.
        let found = hidden.conjugate_gradients(1.5, &y, &options).unwrap();
        assert!(found.converged);
    }
}
