//! The scale of the factors does not matter: results at both ends of the number range are those in its middle, times
//! the scale.

use lokr_testing::matrix;
use ndarray::{Array2, array};

use super::KronSum;
use crate::operator::{Factor, Kron};
use crate::scalar::Scalar;
use crate::test_support::{all_close, close, positive, symmetric};

fn eigenvalues<T: Scalar>(scales: &[(f64, f64)]) {
    let (a, b) = (symmetric::<T>(5, 1), symmetric::<T>(3, 2));
    let expected = Kron::new(&a, &b).unwrap().symmetric_eigenvalues().unwrap();
    for &(of_a, of_b) in scales {
        let both = T::from_f64_lossy(of_a * of_b);
        let k = Kron::new(&a * T::from_f64_lossy(of_a), &b * T::from_f64_lossy(of_b)).unwrap();
        let values = k.symmetric_eigenvalues().unwrap();
        values.iter().zip(&expected).for_each(|(&x, &y)| close(x / both, y, T::from_usize_lossy(15)));
        // (K + c·I)·x = y with c of the size of K.
        let y = matrix::<T>(2, 15, 3);
        let c = T::from_f64_lossy(0.7) * both;
        let x = k.solve_shifted(c, &y).unwrap() * both;
        let plain = Kron::new(&a, &b).unwrap().solve_shifted(T::from_f64_lossy(0.7), &y).unwrap();
        let size = plain.iter().fold(T::one(), |max, x| max.max(x.abs()));
        all_close(&x, &plain, size * size * T::from_usize_lossy(15));
    }
}

#[test]
fn eigenvalues_in_f32_and_f64() {
    eigenvalues::<f32>(&[(1e30, 1.0), (1e-30, 1.0), (1.0, 1e-25), (1e30, 1e-30), (1e-20, 1e35), (1e19, 1.0)]);
    let f64s = [(1e300, 1.0), (1e-290, 1.0), (1.0, 1e-200), (1e200, 1e-200), (1e-250, 1e300), (1e154, 1.0)];
    eigenvalues::<f64>(&f64s);
    // A factor of subnormal values loses none of the product's digits.
    let k = Kron::new(array![[4e-310, 0.0], [0.0, 2e-310]], array![[1e300]]).unwrap();
    let exact = [2e-310 * 1e300, 4e-310 * 1e300];
    k.symmetric_eigenvalues().unwrap().iter().zip(exact).for_each(|(&x, y)| close(x / y, 1.0, 1.0));
}

fn sums<T: Scalar>(scales: &[f64]) {
    let general =
        |size: usize, seed| matrix::<T>(size, size, seed) + Array2::<T>::eye(size) * T::from_usize_lossy(size + 1);
    let skew = |size: usize, seed| {
        let half = matrix::<T>(size, size, seed);
        &half - &half.t()
    };
    let pairs = [
        (positive(3, 1), positive(4, 2)),
        (general(3, 3), general(4, 4)),
        (general(5, 5), positive(2, 6)),
        (skew(3, 7), skew(4, 8)),
    ];
    for (a, b) in pairs {
        let y = matrix::<T>(2, a.nrows() * b.nrows(), 9);
        let plain = KronSum::new(&a, &b).unwrap().solve(&y).unwrap();
        let size = plain.iter().fold(T::one(), |max, x| max.max(x.abs()));
        for &scale in scales {
            let scale = T::from_f64_lossy(scale);
            let sum = KronSum::new(&a * scale, &b * scale).unwrap();
            all_close(&(sum.solve(&y).unwrap() * scale), &plain, size * size * T::from_usize_lossy(8));
            all_close(&sum.solve(&(&y * scale)).unwrap(), &plain, size * size * T::from_usize_lossy(8));
        }
    }
}

#[test]
fn sums_in_f32_and_f64() {
    sums::<f32>(&[1e-30, 1e-25, 1e-35, 1e19, 1e30, 1e35]);
    sums::<f64>(&[1e-300, 1e-200, 1e-160, 1e154, 1e200, 1e300]);
}

fn singular_values<T: Scalar>(scales: &[(f64, f64)]) {
    let low = |scale: T| Factor::low_rank(matrix::<T>(5, 2, 3), matrix::<T>(2, 4, 4) * scale).unwrap();
    let (a, one) = (matrix::<T>(3, 5, 1), T::one());
    let dense = Kron::new(&a, low(one)).unwrap().to_dense();
    let expected = Kron::new(&a, low(one)).unwrap().svd().unwrap();
    let scale = T::from_usize_lossy(60);
    for &(of_a, of_b) in scales {
        let both = T::from_f64_lossy(of_a * of_b);
        let k = Kron::new(&a * T::from_f64_lossy(of_a), low(T::from_f64_lossy(of_b))).unwrap();
        let svd = k.svd().unwrap();
        for (index, &value) in svd.values().indexed_iter() {
            close(value / both, expected.values()[index], scale);
            let (u, v) = (svd.left_vector(index).unwrap(), svd.right_vector(index).unwrap());
            dense.dot(&v).iter().zip(&u).for_each(|(&kv, &u)| close(kv, value / both * u, scale));
        }
        all_close(&(svd.reconstruct(6).unwrap() / both), &dense, scale);
        let norms = (k.spectral_norm().unwrap() / both, k.nuclear_norm().unwrap() / both, k.frobenius_norm() / both);
        close(norms.0, expected.values()[0], scale);
        close(norms.1, expected.values().sum(), scale);
        close(norms.2, dense.iter().map(|&x| x * x).sum::<T>().sqrt(), scale);
    }
}

#[test]
fn singular_values_in_f32_and_f64() {
    singular_values::<f32>(&[(1e-30, 1.0), (1.0, 1e-25), (1e30, 1.0), (1.0, 1e19), (1e30, 1e-30)]);
    let f64s = [(1e-200, 1.0), (1.0, 1e-290), (1e300, 1.0), (1.0, 1e154), (1e200, 1e-200), (1e-300, 1e305)];
    singular_values::<f64>(&f64s);
}

#[test]
fn values_that_leave_the_range_are_zero_or_infinite() {
    let values = |a: f64, b: f64| Kron::new(array![[a]], array![[b]]).unwrap().svd().unwrap().values()[0];
    assert_eq!((values(1e200, 1e200), values(1e-200, 1e-200)), (f64::INFINITY, 0.0));
    assert_eq!(values(4e-320, 1.0), 4e-320);
    close(values(1e-310, 1e300) / 1e-10, 1.0, 1e5); // 1e-310 has few digits itself
    let low = Factor::low_rank(array![[1e200], [1e200]], array![[1e200, 0.0]]).unwrap();
    let k = Kron::new(low, array![[1e-200]]).unwrap(); // no f64 can hold the first factor
    close(k.svd().unwrap().values()[0] / 1e200, 2.0_f64.sqrt(), 2.0);
}

fn shifted_systems<T: Scalar>(scales: &[(f64, f64, f64)]) {
    let skew = |size, seed| {
        let half = matrix::<T>(size, size, seed);
        &half - &half.t()
    };
    let pairs = [(matrix::<T>(4, 4, 1), matrix(3, 3, 2)), (skew(4, 3), skew(3, 4)), (symmetric(2, 5), matrix(5, 5, 6))];
    for (a, b) in pairs {
        let y = matrix::<T>(2, a.nrows() * b.nrows(), 7);
        let shift = T::from_f64_lossy(0.7);
        let plain = Kron::new(&a, &b).unwrap().solve_shifted(shift, &y).unwrap();
        let size = plain.iter().fold(T::one(), |max, x| max.max(x.abs()));
        for &(of_a, of_b, of_y) in scales {
            let (both, result) = (T::from_f64_lossy(of_a * of_b), T::from_f64_lossy(of_y / (of_a * of_b)));
            let k = Kron::new(&a * T::from_f64_lossy(of_a), &b * T::from_f64_lossy(of_b)).unwrap();
            let x = k.solve_shifted(shift * both, &(&y * T::from_f64_lossy(of_y))).unwrap();
            all_close(&(x / result), &plain, size * size * T::from_usize_lossy(12));
        }
    }
}

#[test]
fn shifted_systems_in_f32_and_f64() {
    let f32s = [(1e30, 1.0, 1.0), (1.0, 1e-30, 1.0), (1e30, 1e-30, 1e-30), (1e-30, 1e30, 1e30), (1e19, 1.0, 1e20)];
    shifted_systems::<f32>(&f32s);
    let f64s = [(1e300, 1.0, 1.0), (1e-300, 1.0, 1.0), (1.0, 1e-160, 1.0), (1e155, 1.0, 1.0), (1e200, 1e-200, 1e300)];
    shifted_systems::<f64>(&f64s);
    shifted_systems::<f64>(&[(1e-250, 1e250, 1e-300), (1e-150, 1e-150, 1e-200), (1e150, 1e150, 1e200)]);
}

#[test]
fn a_shift_of_another_size_than_the_product() {
    let (a, b) = (matrix::<f64>(3, 3, 1), matrix::<f64>(2, 2, 2));
    let y = matrix::<f64>(1, 6, 3);
    // K is nothing beside the shift.
    for scale in [1e-200, 1e-300] {
        let x = Kron::new(&a * scale, &b).unwrap().solve_shifted(4.0, &y).unwrap();
        all_close(&(x * 4.0), &y, 1.0);
        let x = Kron::new(&a * scale, &b * scale).unwrap().solve_shifted(4.0, &y).unwrap();
        all_close(&(x * 4.0), &y, 1.0);
    }
    // The shift is nothing beside K.
    let x = Kron::new(&a * 1e250, &b).unwrap().solve_shifted(1e-250, &(&y * 1e250)).unwrap();
    let expected = Kron::new(&a, &b).unwrap().solve(&y).unwrap();
    let size = expected.iter().fold(1.0_f64, |max, x| max.max(x.abs()));
    all_close(&x, &expected, 100.0 * size * size);
}
