//! The backend asked for at build time is the one in use, and a product large enough for it comes out right.

#![allow(clippy::expect_used)] // A helper that fails is a test that fails.

use lokr::core::{Scalar, backend, matmul_into};
use lokr_testing::{Layout, dense_product, matrix, with_layout};

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

/// All sizes above 256, so that no backend takes its path for small products.
fn large_product_agrees_with_the_triple_loop<T: Scalar>() {
    let (m, k, n) = (257, 283, 269);
    let (a, b, start) = (matrix::<T>(m, k, 1), matrix::<T>(k, n, 2), matrix::<T>(m, n, 3));
    let (alpha, beta) = (T::one() + T::one(), -T::one());
    let expected = dense_product(&a, &b) * alpha + &start * beta;
    // Sums of k products below one, scaled by two, in an order that the backend chooses.
    let tolerance = T::epsilon().to_f64_exact() * 4.0 * k as f64;

    use Layout::{ColumnMajor, RowMajor};
    for layouts in [(RowMajor, RowMajor), (ColumnMajor, ColumnMajor), (RowMajor, ColumnMajor)] {
        let mut c = start.clone();
        with_layout(&a, layouts.0, |a| {
            with_layout(&b, layouts.1, |b| matmul_into(alpha, a, b, beta, &mut c).expect("the shapes agree"));
        });
        for ((i, j), &value) in c.indexed_iter() {
            let difference = (value - expected[[i, j]]).abs().to_f64_exact();
            let by = backend();
            assert!(difference <= tolerance, "{layouts:?}: element ({i}, {j}) is off by {difference:e} on {by}");
        }
    }
}

#[test]
fn large_f32_product() {
    large_product_agrees_with_the_triple_loop::<f32>();
}

#[test]
fn large_f64_product() {
    large_product_agrees_with_the_triple_loop::<f64>();
}
