//! The backend asked for at build time is the one in use, and a product large enough for it comes out right.

use lokr_core::{Scalar, backend, matmul_into};
use ndarray::Array2;

/// The provider features of this package that are on, in the order in which `backend()` prefers them.
fn requested() -> Vec<&'static str> {
    [
        (cfg!(feature = "openblas-system"), "openblas-system"),
        (cfg!(feature = "openblas-static"), "openblas-static"),
        (cfg!(feature = "blis"), "blis"),
        (cfg!(feature = "intel-mkl"), "intel-mkl"),
        (cfg!(feature = "accelerate"), "accelerate"),
        (cfg!(feature = "netlib"), "netlib"),
    ]
    .into_iter()
    .filter_map(|(on, name)| on.then_some(name))
    .collect()
}

#[test]
fn the_requested_provider_is_the_one_in_use() {
    let expected = requested().first().copied().unwrap_or("embedded");
    assert_eq!(backend().name(), expected, "features requested: {:?}", requested());
    assert_eq!(backend().is_blas(), !requested().is_empty());
}

/// CI sets `LOKR_EXPECTED_BACKEND`, so that a run whose feature got lost on the way fails instead of testing the
/// embedded kernels twice.
#[test]
fn the_backend_is_the_one_the_environment_expects() {
    if let Ok(expected) = std::env::var("LOKR_EXPECTED_BACKEND") {
        assert_eq!(backend().name(), expected);
    }
}

/// The dynamic library is really loaded, not merely named.
#[test]
#[cfg(all(target_os = "linux", feature = "openblas-system"))]
fn openblas_is_loaded() {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux lists the libraries of a process");
    assert!(maps.contains("openblas"), "no OpenBLAS among the loaded libraries:\n{maps}");
}

/// `C ← α·A·B + β·C`, every element by the definition.
fn slow<T: Scalar>(alpha: T, a: &Array2<T>, b: &Array2<T>, beta: T, c: &Array2<T>) -> Array2<T> {
    Array2::from_shape_fn(c.dim(), |(i, j)| {
        let mut sum = T::zero();
        for k in 0..a.ncols() {
            sum += a[[i, k]] * b[[k, j]];
        }
        alpha * sum + beta * c[[i, j]]
    })
}

/// Distinct values in (-1, 1), no two rows or columns alike.
fn filled<T: Scalar>(rows: usize, cols: usize, seed: usize) -> Array2<T> {
    let value = |i: usize, j: usize| (((i * 7919 + j * 104_729 + seed) % 65_537) as f64 / 32_768.5) - 1.0;
    Array2::from_shape_fn((rows, cols), |(i, j)| T::from_f64_lossy(value(i, j)))
}

/// All sizes above 256, so that no backend takes its path for small products.
fn large_product_agrees_with_the_triple_loop<T: Scalar>() {
    let (m, k, n) = (257, 283, 269);
    let (a, b) = (filled::<T>(m, k, 1), filled::<T>(k, n, 2));
    let (alpha, beta) = (T::one() + T::one(), -T::one());
    // Sums of k products below one, scaled by two, in an order that the backend chooses.
    let tolerance = T::epsilon().to_f64_exact() * 4.0 * k as f64;

    let cases = [
        ("row-major", a.clone(), b.clone()),
        ("column-major", column_major(&a), column_major(&b)),
        ("mixed", a.clone(), column_major(&b)),
    ];
    for (layout, a, b) in cases {
        let start = filled::<T>(m, n, 3);
        let mut c = start.clone();
        matmul_into(alpha, &a, &b, beta, &mut c).expect("the shapes agree");
        let expected = slow(alpha, &a, &b, beta, &start);
        for ((i, j), &value) in c.indexed_iter() {
            let difference = (value - expected[[i, j]]).abs().to_f64_exact();
            assert!(difference <= tolerance, "{layout}: element ({i}, {j}) is off by {difference:e} on {}", backend());
        }
    }
}

/// The same matrix in column-major order.
fn column_major<T: Scalar>(matrix: &Array2<T>) -> Array2<T> {
    matrix.t().as_standard_layout().into_owned().reversed_axes()
}

#[test]
fn large_f32_product() {
    large_product_agrees_with_the_triple_loop::<f32>();
}

#[test]
fn large_f64_product() {
    large_product_agrees_with_the_triple_loop::<f64>();
}
