//! The symmetric eigenvalue decomposition against the dense one.

use lokr_testing::matrix;
use ndarray::{Array2, array};

use crate::decompose::{Symmetry, reference};
use crate::error::KronError;
use crate::operator::{Factor, Kron, KronChain};
use crate::scalar::Scalar;
use crate::test_support::{all_close, close, kron_of, positive, symmetric};

fn agrees_with_the_dense_decomposition<T: Scalar>() {
    for (n, q) in [(1, 1), (1, 5), (3, 2), (4, 7)] {
        let k = Kron::new(symmetric::<T>(n, 1), symmetric(q, 2)).unwrap();
        let (dense, scale) = (k.to_dense(), T::from_usize_lossy(n * q));
        let eigen = k.symmetric_eigen().unwrap();
        let expected = reference::symmetric_eigenvalues(&dense);
        eigen.values().iter().zip(&expected).for_each(|(&found, &expected)| close(found, expected, scale));
        assert_eq!(k.symmetric_eigenvalues().unwrap(), eigen.values());

        let vectors = eigen.vectors().to_dense();
        all_close(&vectors.t().dot(&vectors), &Array2::eye(n * q), scale);
        for (index, &value) in eigen.values().indexed_iter() {
            let vector = eigen.vector(index).unwrap();
            let (i, j) = eigen.pairs()[index];
            assert_eq!(vector, vectors.column(i * q + j));
            dense.dot(&vector).iter().zip(&vector).for_each(|(&mv, &v)| close(mv, value * v, scale));
        }
    }
}

#[test]
fn f32_and_f64_agree_with_the_dense_decomposition() {
    agrees_with_the_dense_decomposition::<f32>();
    agrees_with_the_dense_decomposition::<f64>();
}

#[test]
fn a_symmetric_low_rank_factor_has_zero_eigenvalues() {
    let left = matrix::<f64>(4, 2, 1);
    let gram = Factor::low_rank(left.view(), left.t()).unwrap();
    let values = Kron::new(positive(3, 2), gram).unwrap().symmetric_eigenvalues().unwrap();
    values.iter().take(6).for_each(|&value| close(value, 0.0, 10.0));
    assert!(values[6] > 1e-3);
}

#[test]
fn one_decomposition_solves_for_many_shifts() {
    let k = Kron::new(positive::<f64>(3, 1), positive(4, 2)).unwrap();
    let eigen = k.symmetric_eigen().unwrap();
    for c in [0.0, 0.5, 100.0] {
        for batch in [0, 1, 5] {
            let x = matrix::<f64>(batch, 12, 3);
            let y = x.dot(&(k.to_dense() + Array2::<f64>::eye(12) * c));
            all_close(&eigen.solve_shifted(c, &y).unwrap(), &x, 1000.0);
        }
    }
}

#[test]
fn a_small_eigenvalue_that_is_exact_is_not_zero() {
    let one = array![[1.0]];
    let y = array![[2.0, 3.0]];
    let k = Kron::new(array![[1.0, 0.0], [0.0, 1e-20]], &one).unwrap();
    let x = k.solve_shifted(1e-22, &y).unwrap();
    all_close(&(x / array![[2.0, 3.0 / 1.01e-20]]), &array![[1.0, 1.0]], 1.0);
    let singular = KronError::Singular { operation: "solve_shifted", name: "A ⊗ B + c·I" };
    assert_eq!(k.solve_shifted(-1e-20, &y), Err(singular.clone()));
    assert_eq!(k.solve_shifted(-1.0, &y), Err(singular.clone()));
    assert_eq!(k.symmetric_eigenvalues().unwrap(), array![1e-20, 1.0]);
    // Several of them, beside a block that is not diagonal.
    let mut a = Array2::from_diag(&array![3e-20, 1.0, 1.0, 1e-20, 2e-20]);
    a[[1, 2]] = 0.5;
    a[[2, 1]] = 0.5;
    let diagonal = Kron::new(&a, &one).unwrap();
    let x = diagonal.solve_shifted(1e-22, &array![[3.01, 0.0, 0.0, 1.01, 2.01]]).unwrap();
    all_close(&(x * 1e-20), &array![[1.0, 0.0, 0.0, 1.0, 1.0]], 1.0);
    let values = diagonal.symmetric_eigenvalues().unwrap();
    let exact = [1e-20, 2e-20, 3e-20, 0.5, 1.5];
    values.iter().zip(exact).for_each(|(&found, exact)| close(found / exact, 1.0, 1.0));
    // The same in f32, and with a zero eigenvalue that the shift lifts.
    let k = Kron::new(array![[1.0_f32, 0.0], [0.0, 0.0]], array![[1.0]]).unwrap();
    let x = k.solve_shifted(1e-12, &array![[2.0, 3.0]]).unwrap();
    all_close(&(x / array![[2.0, 3e12]]), &array![[1.0, 1.0]], 1.0);
    // Of rank one up to rounding: nobody knows its small eigenvalues.
    let column = matrix::<f64>(6, 1, 1);
    let k = Kron::new(column.dot(&column.t()), one).unwrap();
    assert_eq!(k.solve_shifted(1e-25, &matrix(1, 6, 2)), Err(singular));
}

fn skew_factors<T: Scalar>() {
    for (n, q) in [(2, 2), (3, 2), (5, 4), (4, 7)] {
        let skew = |size, seed| {
            let half = matrix::<T>(size, size, seed);
            &half - &half.t()
        };
        let k = Kron::new(skew(n, 1), skew(q, 2)).unwrap();
        let expected = reference::symmetric_eigenvalues(&k.to_dense());
        let scale = T::from_usize_lossy(n * q);
        let values = k.symmetric_eigenvalues().unwrap();
        values.iter().zip(&expected).for_each(|(&found, &expected)| close(found, expected, scale));
        assert!(matches!(k.symmetric_eigen(), Err(KronError::NotSymmetric { name: "A", .. })));
    }
}

#[test]
fn skew_factors_have_a_symmetric_product_in_f32_and_f64() {
    skew_factors::<f32>();
    skew_factors::<f64>();
}

#[test]
fn the_measure_of_symmetry_can_be_chosen() {
    // A covariance matrix with an asymmetry of 1e-12 of its size.
    let mut a = positive::<f64>(4, 1);
    a[[1, 2]] += 1e-12;
    let k = Kron::new(&a, positive(2, 2)).unwrap();
    assert!(matches!(k.symmetric_eigen(), Err(KronError::NotSymmetric { name: "A", .. })));
    for symmetry in [Symmetry::Within(1e-10), Symmetry::Average] {
        let eigen = k.symmetric_eigen_with(symmetry).unwrap();
        let expected = reference::symmetric_eigenvalues(&k.to_dense());
        eigen.values().iter().zip(&expected).for_each(|(&x, &y)| assert!((x - y).abs() < 1e-10));
        assert_eq!(k.symmetric_eigenvalues_with(symmetry).unwrap(), eigen.values());
    }
}

#[test]
fn each_error_is_named() {
    let operation = "symmetric_eigen";
    let error = |k: Kron<'_, f64>| k.symmetric_eigen().unwrap_err();
    assert_eq!(error(kron_of(2, 2, 2, 3)), KronError::NotSquare { operation, name: "B", shape: (2, 3) });
    let k = Kron::new(array![[1.0, 2.0], [2.5, 1.0]], array![[1.0]]).unwrap();
    assert_eq!(error(k), KronError::NotSymmetric { operation, name: "A", difference: 0.5 });
    let k = Kron::new(array![[1.0]], array![[f64::NAN]]).unwrap();
    assert_eq!(error(k), KronError::NonFinite { operation, argument: "B", count: 1 });

    let eigen = Kron::new(array![[2.0]], array![[1.0, 0.0], [0.0, 3.0]]).unwrap().symmetric_eigen().unwrap();
    let out_of_bounds = KronError::OutOfBounds { operation: "vector", row: 0, col: 2, shape: (2, 2) };
    assert_eq!(eigen.vector(2), Err(out_of_bounds));
    let operation = "solve_shifted";
    let shape = KronError::Shape { operation, argument: "y", expected: (1, 2), found: (1, 3) };
    assert_eq!(eigen.solve_shifted(1.0, &array![[1.0, 2.0, 3.0]]), Err(shape));
    let singular = KronError::Singular { operation, name: "M + c·I" };
    assert_eq!(eigen.solve_shifted(-6.0, &array![[1.0, 2.0]]), Err(singular));
}

/// Chains of one to four factors, each made by `matrix` of a side and a seed.
fn chains_of<T: Scalar>(matrix: impl Fn(usize, u64) -> Array2<T>) -> Vec<(KronChain<'static, T>, Array2<T>)> {
    let sides: [&[usize]; 6] = [&[5], &[1, 3], &[4, 3], &[2, 3, 2], &[3, 1, 4], &[2, 1, 3, 2]];
    let chain = |sides: &[usize]| {
        let chain = KronChain::new((1..).zip(sides).map(|(seed, &side)| matrix(side, seed))).unwrap();
        let dense = chain.to_dense().unwrap();
        (chain, dense)
    };
    sides.into_iter().map(chain).collect()
}

fn chains_agree_with_the_dense_decomposition<T: Scalar>(scales: [f64; 3]) {
    for (chain, dense) in chains_of(symmetric::<T>) {
        let expected = reference::symmetric_eigenvalues(&dense);
        let size = expected.iter().fold(T::one(), |max, x| max.max(x.abs()));
        let allowed = size * T::from_usize_lossy(4 * dense.nrows());
        for scale in scales.map(T::from_f64_lossy) {
            let chain = &chain * scale;
            let eigen = chain.symmetric_eigen().unwrap();
            assert_eq!(chain.symmetric_eigenvalues().unwrap(), eigen.values());
            assert_eq!(eigen.grid().shape(), chain.factors().iter().map(Factor::nrows).collect::<Vec<_>>());
            let rest = dense.nrows() / chain.factors()[0].nrows();
            for (index, &value) in eigen.values().indexed_iter() {
                close(value / scale, expected[index], allowed);
                let vector = eigen.vector(index).unwrap();
                dense.dot(&vector).iter().zip(&vector).for_each(|(&mv, &v)| close(mv, value / scale * v, allowed));
                let (i, j) = eigen.pairs()[index];
                assert_eq!(vector, eigen.vectors().column(i * rest + j).unwrap());
                let indices = eigen.indices(index).unwrap();
                assert_eq!((eigen.grid()[&*indices], indices[0]), (value, i));
            }
            if let [a, b] = chain.factors() {
                let pair = Kron::new(a.view(), b.view()).unwrap().symmetric_eigen().unwrap();
                assert_eq!(pair, eigen);
                assert_eq!(pair.grid().into_dyn(), eigen.grid());
                assert_eq!(pair.pairs(), eigen.pairs());
            }
        }
    }
}

#[test]
fn chains_agree_with_the_dense_decomposition_in_f32_and_f64() {
    chains_agree_with_the_dense_decomposition::<f32>([1.0, 1e-30, 1e30]);
    chains_agree_with_the_dense_decomposition::<f64>([1.0, 1e-200, 1e200]);
}

#[test]
fn an_even_number_of_skew_factors_among_symmetric_ones() {
    let skew = |size, seed| {
        let half = matrix::<f64>(size, size, seed);
        &half - &half.t()
    };
    let factors = [skew(2, 1), symmetric(3, 2), skew(3, 3), skew(2, 4), symmetric(1, 5), skew(2, 6)];
    for (chosen, is_symmetric) in
        [(&[0, 1, 2][..], true), (&[0, 2, 3, 5], true), (&[1, 0, 2, 4], true), (&[0, 2, 3], false), (&[0, 1], false)]
    {
        let chain = KronChain::new(chosen.iter().map(|&index: &usize| &factors[index])).unwrap();
        if is_symmetric {
            let expected = reference::symmetric_eigenvalues(&chain.to_dense().unwrap());
            let size = expected.iter().fold(1.0_f64, |max, x| max.max(x.abs()));
            let values = chain.symmetric_eigenvalues().unwrap();
            values.iter().zip(&expected).for_each(|(&found, &expected)| close(found, expected, 100.0 * size));
        } else {
            let error = chain.symmetric_eigenvalues().unwrap_err();
            assert!(matches!(error, KronError::NotSymmetric { name: "A₁", .. }));
        }
    }
}

#[test]
fn many_factors_of_opposite_scale_make_eigenvalues_in_range() {
    let diagonal = |x: f64, y: f64| Array2::from_diag(&array![x, y]);
    let chain = KronChain::new([diagonal(1.0, 1e-200), diagonal(1e-200, 1.0), diagonal(3e300, 1e300)]).unwrap();
    let values = chain.symmetric_eigenvalues().unwrap();
    let exact = [1e-100, 3e-100, 1e100, 1e100, 3e100, 3e100, 1e300, 3e300];
    values
        .iter()
        .zip(exact)
        .for_each(|(&found, exact)| assert!((found - exact).abs() <= 1e-15 * exact, "{found:e} {exact:e}"));
    let one = |x: f64| array![[x]];
    let chain = KronChain::new([one(1e200), one(1e200), one(1e-200), one(1e-200), one(-1e300), one(1e-300)]).unwrap();
    close(chain.symmetric_eigenvalues().unwrap()[0], -1.0, 4.0);
    let error = KronChain::power(&Array2::<f64>::eye(2), 50).unwrap().symmetric_eigen().unwrap_err();
    assert_eq!(error, KronError::OutOfMemory { operation: "symmetric_eigen", shape: (1 << 50, 1) });
}

#[test]
fn what_is_printed_is_short() {
    let eigen = Kron::new(positive::<f64>(30, 1), positive(40, 2)).unwrap().symmetric_eigen().unwrap();
    assert!(eigen.values().len() == 1200 && format!("{eigen:?}").len() < 2000);
}

#[test]
fn indices_outside_are_named() {
    let eigen = KronChain::new([array![[2.0]]]).unwrap().symmetric_eigen().unwrap();
    let error = |operation| KronError::OutOfBounds { operation, row: 0, col: 1, shape: (1, 1) };
    assert_eq!((eigen.vector(1), eigen.indices(1)), (Err(error("vector")), Err(error("indices"))));
}
