//! Gradients of the factors and of the input: against central differences in f64, against the dense formulas in
//! both types, and independent of the number of threads.

use lokr::core::{Factor, Kron, KronChain, KronError, KronGradients, Scalar};
use lokr_testing::{LAYOUTS, Numbers, assert_close, central_difference, dense_kron, dense_product, with_layout};
use ndarray::{Array2, array};

/// `Σ dy ∘ y`: a loss whose gradient with respect to `y` is `dy`.
fn loss(kron: &Kron<'_, f64>, x: &Array2<f64>, dy: &Array2<f64>) -> f64 {
    (&kron.apply(x).unwrap() * dy).sum()
}

fn assert_near(got: f64, difference: f64, what: &str) {
    assert!((got - difference).abs() < 1e-7 * (1.0 + got.abs()), "{what}: {got} {difference}");
}

fn check_by_differences(kron: Kron<'_, f64>, batch: usize, seed: u64) {
    let mut numbers = Numbers::new(seed);
    let (height, width) = kron.dim();
    let (x, dy) = (numbers.matrix::<f64>(batch, width), numbers.matrix::<f64>(batch, height));
    let (gradients, dx) = kron.gradients(&x, &dy).unwrap();
    let matrices: Vec<Array2<f64>> = kron.parts().map(|matrix| matrix.to_owned()).collect();
    assert_eq!(gradients.parts().len(), matrices.len());
    for (index, matrix) in matrices.iter().enumerate() {
        assert_eq!(gradients.parts()[index].dim(), matrix.dim());
        for ((row, col), _) in matrix.indexed_iter() {
            let difference = central_difference(|by| {
                let mut kron = kron.clone();
                kron.parts_mut().nth(index).unwrap()[[row, col]] += by;
                loss(&kron, &x, &dy)
            });
            assert_near(gradients.parts()[index][[row, col]], difference, &format!("matrix {index} at {row}, {col}"));
        }
    }
    for ((row, col), &got) in dx.indexed_iter() {
        let difference = central_difference(|by| {
            let mut x = x.clone();
            x[[row, col]] += by;
            loss(&kron, &x, &dy)
        });
        assert_near(got, difference, &format!("dx at {row}, {col}"));
    }
}

#[test]
fn full_factors_by_central_differences() {
    for (seed, (m, n, p, q)) in
        [(2, 3, 4, 5), (5, 4, 3, 2), (1, 1, 1, 1), (1, 7, 3, 1), (6, 1, 1, 5)].into_iter().enumerate()
    {
        let mut numbers = Numbers::new(seed as u64);
        let (a, b) = (numbers.matrix(m, n), numbers.matrix(p, q));
        check_by_differences(Kron::new(a, b).unwrap(), 3, seed as u64);
    }
}

#[test]
fn low_rank_factors_by_central_differences() {
    // The last two ranks are so high that the factors are multiplied out first.
    for (seed, (m, n, p, q, r)) in
        [(2, 3, 6, 5, 1), (3, 2, 5, 7, 2), (2, 2, 3, 2, 9), (3, 4, 2, 3, 11)].into_iter().enumerate()
    {
        let mut numbers = Numbers::new(seed as u64);
        let b = Factor::low_rank(numbers.matrix(p, r), numbers.matrix(r, q)).unwrap();
        let full_a = Kron::new(numbers.matrix(m, n), b.clone()).unwrap();
        check_by_differences(full_a, 4, seed as u64);
        let a = Factor::low_rank(numbers.matrix(m, r), numbers.matrix(r, n)).unwrap();
        check_by_differences(Kron::new(a, b).unwrap(), 4, seed as u64);
    }
}

/// `dA[i, j] = Σ_kl dK[ip+k, jq+l]·B[k, l]` and so on, through the dense gradient `dK = dyᵀ·x`.
fn equals_dense_formulas<T: Scalar>() {
    for (m, n, p, q, batch) in
        [(31, 37, 29, 23, 50), (3, 5, 150, 140, 19), (150, 140, 3, 5, 19), (2, 2, 410, 395, 9), (16, 8, 8, 16, 200)]
    {
        let mut numbers = Numbers::new(9);
        let (a, b) = (numbers.matrix::<T>(m, n), numbers.matrix::<T>(p, q));
        let (x, dy) = (numbers.matrix::<T>(batch, n * q), numbers.matrix::<T>(batch, m * p));
        let (gradients, dx) = Kron::new(&a, &b).unwrap().gradients(&x, &dy).unwrap();
        let dk = dense_product(&dy.t(), &x);
        let (mut da, mut db) = (Array2::<f64>::zeros((m, n)), Array2::<f64>::zeros((p, q)));
        for ((row, col), g) in dk.indexed_iter() {
            let (i, k, j, l) = (row / p, row % p, col / q, col % q);
            da[[i, j]] += g.to_f64_exact() * b[[k, l]].to_f64_exact();
            db[[k, l]] += g.to_f64_exact() * a[[i, j]].to_f64_exact();
        }
        let what = format!("{} {:?}", T::NAME, (m, n, p, q));
        assert_close(&gradients.parts()[0], &da.mapv(T::from_f64_lossy), batch * p, &format!("dA {what}"));
        assert_close(&gradients.parts()[1], &db.mapv(T::from_f64_lossy), batch * m, &format!("dB {what}"));
        assert_close(&dx, &dense_product(&dy, &dense_kron(&a, &b)), m * p, &format!("dX {what}"));
    }
}

#[test]
fn gradients_equal_the_dense_formulas_f32() {
    equals_dense_formulas::<f32>();
}

#[test]
fn gradients_equal_the_dense_formulas_f64() {
    equals_dense_formulas::<f64>();
}

#[test]
fn gradients_accumulate_and_dx_honours_beta_in_every_layout() {
    let mut numbers = Numbers::new(11);
    let kron = Kron::new(numbers.matrix::<f64>(3, 4), numbers.matrix(5, 2)).unwrap();
    let (x, dy, dx0) = (numbers.matrix::<f64>(6, 8), numbers.matrix::<f64>(6, 15), numbers.matrix::<f64>(6, 8));
    let (once, dx) = kron.gradients(&x, &dy).unwrap();
    for layout in LAYOUTS {
        let mut sum = KronGradients::zeros(&kron);
        with_layout(&x, layout, |x| {
            with_layout(&dy, layout, |dy| {
                with_layout(&dx0, layout, |out| {
                    kron.gradients_into(2.0, x, dy, &mut sum, 0.5, out).unwrap();
                    assert_close(out, &(&dx * 2.0 + &dx0 * 0.5), 15, "dx");
                    kron.gradients_into(1.0, x, dy, &mut sum, 0.0, out).unwrap();
                    assert_close(out, &dx, 15, "dx");
                });
            });
        });
        for (sum, once) in sum.parts().iter().zip(once.parts()) {
            assert_close(sum, &(once * 3.0), 90, &format!("{layout:?}"));
        }
        sum.fill_zero();
        assert!(sum.parts().iter().all(|part| part.iter().all(|&v| v == 0.0)));
    }
}

#[test]
fn an_empty_batch_has_zero_gradients() {
    let kron = Kron::new(array![[1.0, 2.0]], array![[3.0], [4.0]]).unwrap();
    let (gradients, dx) = kron.gradients(&Array2::zeros((0, 2)), &Array2::zeros((0, 2))).unwrap();
    assert_eq!(gradients, KronGradients::zeros(&kron));
    assert_eq!(dx.dim(), (0, 2));
}

#[test]
fn chain_gradients_by_central_differences() {
    for shapes in [vec![(3, 2)], vec![(2, 3), (3, 2), (2, 2)], vec![(2, 1), (1, 3), (2, 2), (3, 2), (2, 3), (1, 2)]] {
        let mut numbers = Numbers::new(12);
        let factors: Vec<Array2<f64>> = shapes.iter().map(|&(m, n)| numbers.matrix(m, n)).collect();
        let chain = KronChain::new(factors.iter()).unwrap();
        let (x, dy) = (numbers.matrix::<f64>(3, chain.dim().1), numbers.matrix::<f64>(3, chain.dim().0));
        let (gradients, dx) = chain.gradients(&x, &dy).unwrap();
        let loss = |factors: &[Array2<f64>], x: &Array2<f64>| {
            (&KronChain::new(factors.iter()).unwrap().apply(x).unwrap() * &dy).sum()
        };
        for (index, factor) in factors.iter().enumerate() {
            for ((row, col), _) in factor.indexed_iter() {
                let difference = central_difference(|by| {
                    let mut factors = factors.clone();
                    factors[index][[row, col]] += by;
                    loss(&factors, &x)
                });
                assert_near(gradients.parts()[index][[row, col]], difference, &format!("factor {index}"));
            }
        }
        for ((row, col), &got) in dx.indexed_iter() {
            let difference = central_difference(|by| {
                let mut x = x.clone();
                x[[row, col]] += by;
                loss(&factors, &x)
            });
            assert_near(got, difference, "dx");
        }
    }
}

#[test]
fn wrong_shapes_are_errors_that_leave_everything_alone() {
    let kron = Kron::new(array![[1.0, 2.0]], array![[3.0], [4.0]]).unwrap();
    let other = Kron::new(array![[1.0], [2.0]], array![[3.0, 4.0]]).unwrap();
    let (good, bad) = (Array2::<f64>::ones((2, 2)), Array2::<f64>::ones((2, 3)));
    let run = |x: &Array2<f64>, dy: &Array2<f64>, dx: &Array2<f64>, of: &Kron<'_, f64>| {
        let (mut gradients, mut dx) = (KronGradients::zeros(of), dx.clone());
        let untouched = dx.clone();
        let error = kron.gradients_into(1.0, x, dy, &mut gradients, 0.0, &mut dx).unwrap_err();
        assert!(matches!(error, KronError::Shape { .. }), "{error}");
        assert_eq!((gradients, dx), (KronGradients::zeros(of), untouched));
    };
    run(&bad, &good, &good, &kron);
    run(&good, &bad, &good, &kron);
    run(&good, &good, &bad, &kron);
    run(&good, &Array2::ones((3, 2)), &good, &kron);
    run(&good, &good, &good, &other);
}

/// The same bits with one thread and with many. What a BLAS does with its own threads is its own, so this is the
/// promise of the embedded backend; a rayon pool keeps to it with every backend, since BLAS is not called inside one.
#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let mut numbers = Numbers::new(13);
    for (m, n, p, q, batch) in
        [(16, 16, 16, 16, 300), (3, 5, 150, 140, 64), (2, 2, 410, 395, 40), (150, 140, 3, 5, 33), (64, 64, 64, 64, 1)]
    {
        let kron = Kron::new(numbers.matrix::<f32>(m, n), numbers.matrix(p, q)).unwrap();
        let (x, dy) = (numbers.matrix::<f32>(batch, n * q), numbers.matrix::<f32>(batch, m * p));
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| (kron.apply(&x).unwrap(), kron.gradients(&x, &dy).unwrap()))
        };
        let one = run(1);
        for threads in [2, 3, 7] {
            assert_eq!(run(threads), one, "{threads} threads, {:?}", (m, n, p, q));
        }
    }
}
