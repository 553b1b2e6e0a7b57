//! Operators and comparisons for the unit tests, beside what `lokr-testing` has.

use lokr_testing::{Layout, dense_kron, matrix, with_layout};
use ndarray::{Array2, ArrayRef2};

use crate::operator::{Factor, Kron, KronChain, kron_dense};
use crate::scalar::Scalar;

/// A symmetric matrix with eigenvalues of both signs.
pub(crate) fn symmetric<T: Scalar>(size: usize, seed: u64) -> Array2<T> {
    let half = matrix::<T>(size, size, seed);
    &half + &half.t()
}

/// A symmetric positive definite matrix, well conditioned.
pub(crate) fn positive<T: Scalar>(size: usize, seed: u64) -> Array2<T> {
    let root = matrix::<T>(size, size, seed);
    let mut gram = root.dot(&root.t());
    gram.diag_mut().mapv_inplace(|d| d + T::one());
    gram
}

/// The product of two full factors of the given shapes.
pub(crate) fn kron_of<T: Scalar>(m: usize, n: usize, p: usize, q: usize) -> Kron<'static, T> {
    Kron::new(matrix(m, n, 1), matrix(p, q, 2)).unwrap()
}

/// For every shape `(m, n, p, q)`: full factors, factors in Fortran order, a low-rank `B`, and both low-rank; each with
/// the dense product written out.
pub(crate) fn cases<T: Scalar>(shapes: &[(usize, usize, usize, usize)]) -> Vec<(Kron<'static, T>, Array2<T>)> {
    let low = |rows, cols, rank, seed| {
        let (left, right) = (matrix::<T>(rows, rank, seed), matrix::<T>(rank, cols, seed + 1));
        let dense = Array2::from_shape_fn((rows, cols), |(i, j)| (0..rank).map(|r| left[[i, r]] * right[[r, j]]).sum());
        (Factor::low_rank(left, right).unwrap(), dense)
    };
    let mut cases = Vec::new();
    for &(m, n, p, q) in shapes {
        let (a, b) = (matrix::<T>(m, n, 1), matrix::<T>(p, q, 2));
        let dense = kron_dense(&a, &b).unwrap();
        let fortran = |x: &Array2<T>| with_layout(x, Layout::ColumnMajor, |x| x.to_owned());
        cases.push((Kron::new(a.clone(), b.clone()).unwrap(), dense.clone()));
        cases.push((Kron::new(fortran(&a), fortran(&b)).unwrap(), dense));
        for rank in [1, 2] {
            let (low_b, dense_b) = low(p, q, rank, 5);
            cases.push((Kron::new(a.clone(), low_b.clone()).unwrap(), kron_dense(&a, &dense_b).unwrap()));
            let (low_a, dense_a) = low(m, n, rank, 8);
            cases.push((Kron::new(low_a, low_b).unwrap(), kron_dense(&dense_a, &dense_b).unwrap()));
        }
    }
    cases
}

/// Asserts `|found − expected| ≤ 32·ε·scale`.
#[track_caller]
pub(crate) fn close<T: Scalar>(found: T, expected: T, scale: T) {
    let allowed = T::from_f64_lossy(32.0) * T::epsilon() * scale;
    let difference = (found - expected).abs();
    assert!(difference <= allowed, "found {found}, expected {expected}: differ by {difference}, allowed {allowed}");
}

/// Asserts equal shapes and [`close`] elements.
#[track_caller]
pub(crate) fn all_close<T: Scalar>(found: &ArrayRef2<T>, expected: &ArrayRef2<T>, scale: T) {
    assert_eq!(found.dim(), expected.dim());
    ndarray::Zip::from(found).and(expected).for_each(|&f, &e| close(f, e, scale));
}

/// Chains of one to five factors, square and not, with the dense product written out.
pub(crate) fn chains<T: Scalar>() -> Vec<(KronChain<'static, T>, Array2<T>)> {
    let shapes: [&[(usize, usize)]; 7] = [
        &[(2, 3)],
        &[(1, 1), (5, 1), (1, 3)],
        &[(2, 3), (3, 2), (1, 1)],
        &[(2, 2), (3, 3), (1, 1), (2, 2)],
        &[(2, 1), (3, 5), (1, 2), (2, 3)],
        &[(1, 2); 5],
        &[(2, 1), (3, 5), (5, 6)],
    ];
    let chain = |shapes: &[(usize, usize)]| {
        let factors: Vec<_> = (1..).zip(shapes).map(|(seed, &(rows, cols))| matrix::<T>(rows, cols, seed)).collect();
        let dense = factors.iter().fold(Array2::ones((1, 1)), |dense, factor| dense_kron(&dense, factor));
        (KronChain::new(factors).unwrap(), dense)
    };
    shapes.into_iter().map(chain).collect()
}

/// A matrix that is not symmetric, and well conditioned: its diagonal dominates.
pub(crate) fn dominant<T: Scalar>(size: usize, seed: u64) -> Array2<T> {
    matrix::<T>(size, size, seed) + Array2::<T>::eye(size) * T::from_usize_lossy(2 * size)
}

/// Chains of one to five square factors that are made by `factor` from a side and a seed.
pub(crate) fn square_chains<T: Scalar>(factor: fn(usize, u64) -> Array2<T>) -> Vec<KronChain<'static, T>> {
    let sides: [&[usize]; 6] = [&[3], &[5, 2], &[1, 1, 1], &[2, 3, 4], &[3, 1, 2, 2], &[2; 5]];
    let chain = |sides: &[usize]| KronChain::new((1..).zip(sides).map(|(seed, &side)| factor(side, seed)));
    sides.into_iter().map(|sides| chain(sides).unwrap()).collect()
}

/// Chains of full and low-rank factors, square and not, with the dense product written out.
pub(crate) fn low_rank_chains<T: Scalar>() -> Vec<(KronChain<'static, T>, Array2<T>)> {
    // Rows, the inner size of low-rank factors, columns.
    let shapes: [&[(usize, Option<usize>, usize)]; 4] = [
        &[(4, Some(2), 3)],
        &[(2, None, 2), (3, Some(2), 3), (2, None, 2)],
        &[(3, Some(1), 4), (1, None, 2), (5, Some(2), 3)],
        &[(2, Some(3), 2), (1, None, 1), (3, Some(3), 3)],
    ];
    let factor = |(seed, &(rows, rank, cols)): (u64, &(usize, Option<usize>, usize))| match rank {
        None => Factor::from(matrix::<T>(rows, cols, seed)),
        Some(rank) => Factor::low_rank(matrix::<T>(rows, rank, seed), matrix::<T>(rank, cols, seed + 10)).unwrap(),
    };
    let chain = |shapes: &[(usize, Option<usize>, usize)]| {
        let chain = KronChain::new((1..).zip(shapes).map(factor)).unwrap();
        let dense = |dense: Array2<T>, factor: &Factor<'_, T>| match factor {
            Factor::Full(matrix) => dense_kron(&dense, matrix),
            Factor::LowRank(low) => dense_kron(&dense, &low.left().dot(&low.right())),
        };
        let dense = chain.factors().iter().fold(Array2::ones((1, 1)), dense);
        (chain, dense)
    };
    shapes.into_iter().map(chain).collect()
}

/// All of [`chains`] and [`low_rank_chains`].
pub(crate) fn all_chains<T: Scalar>() -> Vec<(KronChain<'static, T>, Array2<T>)> {
    chains().into_iter().chain(low_rank_chains()).collect()
}

/// The product with its first factor times `scale`, the second divided by it, the third times it and so on.
pub(crate) fn stretched<T: Scalar>(chain: &KronChain<'_, T>, scale: T) -> KronChain<'static, T> {
    let factor = |(index, factor): (usize, &Factor<'_, T>)| {
        let scale = if index % 2 == 0 { scale } else { T::one() / scale };
        factor.scaled(scale).into_owned()
    };
    KronChain::new(chain.factors().iter().enumerate().map(factor)).unwrap()
}
