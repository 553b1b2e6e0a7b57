//! Every operation that decomposes or inverts a factor refuses values that are not finite, in either factor, full or
//! low-rank, and says so in the same way.

use lokr_testing::matrix;
use ndarray::{Array1, Array2, array};

use super::KronSum;
use crate::error::{KronError, Result};
use crate::operator::{Factor, Kron};
use crate::scalar::Scalar;
use crate::test_support::positive;

/// What every operation answers, without its result.
fn answers<T: Scalar>(k: &Kron<'_, T>) -> Vec<(&'static str, Result<()>)> {
    let y = matrix::<T>(2, 9, 5);
    let sum = KronSum::new(k.a().view(), k.b().view()).unwrap();
    vec![
        ("svd", k.svd().map(drop)),
        ("spectral_norm", k.spectral_norm().map(drop)),
        ("nuclear_norm", k.nuclear_norm().map(drop)),
        ("rank", k.rank().map(drop)),
        ("rank_with_tolerance", k.rank_with_tolerance(T::epsilon()).map(drop)),
        ("condition_number", k.condition_number().map(drop)),
        ("pseudo_inverse", k.pseudo_inverse().map(drop)),
        ("inverse", k.inverse().map(drop)),
        ("solve", k.solve(&y).map(drop)),
        ("solve_shifted", k.solve_shifted(T::one(), &y).map(drop)),
        ("cholesky", k.cholesky().map(drop)),
        ("symmetric_eigen", k.symmetric_eigen().map(drop)),
        ("symmetric_eigenvalues", k.symmetric_eigenvalues().map(drop)),
        ("symmetric_eigen", sum.symmetric_eigen().map(drop)),
        ("symmetric_eigenvalues", sum.symmetric_eigenvalues().map(drop)),
        ("solve", sum.solve(&y).map(drop)),
    ]
}

/// A factor `(3, 3)` with two values that are not finite, on and beside the diagonal.
fn bad_factors<T: Scalar>(bad: T) -> [Factor<'static, T>; 3] {
    let mut full = positive::<T>(3, 1);
    full[[0, 0]] = bad;
    full[[1, 2]] = bad;
    let (mut left, right) = (positive::<T>(3, 2), positive::<T>(3, 3));
    left[[2, 0]] = bad;
    left[[1, 1]] = bad;
    // The values beside the diagonal differ: not finite comes before not symmetric.
    let mut general = matrix::<T>(3, 3, 4);
    general.diag_mut().assign(&Array1::from_vec(vec![T::one(), bad, bad]));
    [full.into(), Factor::low_rank(left, right).unwrap(), general.into()]
}

fn either_factor_is_refused<T: Scalar>() {
    let good = || Factor::from(positive::<T>(3, 7));
    for bad in [T::nan(), T::infinity(), T::neg_infinity()] {
        for factor in bad_factors(bad) {
            for (argument, k) in
                [("A", Kron::new(factor.clone(), good()).unwrap()), ("B", Kron::new(good(), factor.clone()).unwrap())]
            {
                for (operation, answer) in answers(&k) {
                    let expected = KronError::NonFinite { operation, argument, count: 2 };
                    assert_eq!(answer, Err(expected), "{bad} in {argument}: {factor:?}");
                }
            }
        }
    }
}

#[test]
fn either_factor_is_refused_f32() {
    either_factor_is_refused::<f32>();
}

#[test]
fn either_factor_is_refused_f64() {
    either_factor_is_refused::<f64>();
}

#[test]
fn the_second_factor_is_looked_at_when_the_first_is_not_symmetric() {
    // Such systems go through the Schur decompositions.
    let a = array![[1.0, 5.0], [0.0, 2.0]];
    let b = array![[1.0, 0.5], [f64::NAN, 1.0]];
    let y = matrix::<f64>(1, 4, 1);
    let expected = |operation| KronError::NonFinite { operation, argument: "B", count: 1 };
    assert_eq!(Kron::new(&a, &b).unwrap().solve_shifted(1.0, &y), Err(expected("solve_shifted")));
    assert_eq!(KronSum::new(&a, &b).unwrap().solve(&y), Err(expected("solve")));
}

#[test]
fn sums_of_elements_and_right_hand_sides_let_them_flow_through() {
    let k = Kron::new(array![[f64::NAN, 1.0], [0.0, 1.0]], array![[1.0]]).unwrap();
    for value in [k.frobenius_norm(), k.trace().unwrap(), k.determinant().unwrap(), k.inner(&k).unwrap()] {
        assert!(value.is_nan());
    }
    let k = Kron::new(Array2::<f64>::eye(2), array![[2.0]]).unwrap();
    let y = array![[f64::NAN, 1.0]];
    for x in [k.solve(&y), k.solve_shifted(1.0, &y)] {
        assert!(x.unwrap()[[0, 0]].is_nan());
    }
}
