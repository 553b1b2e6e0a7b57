//! Operators at the ends: inner sizes of zero, values that are not finite, coefficients of zero, more values than
//! memory.

use lokr_testing::matrix;
use ndarray::{Array2, ArrayView2, array};

use crate::contraction::Order;
use crate::error::KronError;
use crate::gemm::{PackedMatrix, matmul_into};
use crate::operator::{Factor, Kron, KronChain, KronGradients, kron_dense};
use crate::scalar::Scalar;
use crate::shape::KronShape;
use crate::test_support::all_close;

/// A zero factor whose halves meet in nothing.
fn nothing<T: Scalar>(rows: usize, cols: usize) -> Factor<'static, T> {
    Factor::low_rank(Array2::<T>::zeros((rows, 0)), Array2::zeros((0, cols))).unwrap()
}

/// Every product of such a factor with one of another kind.
fn products_with_nothing<T: Scalar>(m: usize, n: usize, p: usize, q: usize) -> Vec<Kron<'static, T>> {
    let low = |rows, cols| Factor::low_rank(matrix::<T>(rows, 2, 1), matrix(2, cols, 2)).unwrap();
    vec![
        Kron::new(matrix(m, n, 3), nothing(p, q)).unwrap(),
        Kron::new(nothing(m, n), matrix(p, q, 3)).unwrap(),
        Kron::new(low(m, n), nothing(p, q)).unwrap(),
        Kron::new(nothing(m, n), low(p, q)).unwrap(),
        Kron::new(nothing(m, n), nothing(p, q)).unwrap(),
    ]
}

fn an_inner_size_of_zero_is_a_factor_of_zeros<T: Scalar>() {
    let nan = || T::nan();
    for (m, n, p, q) in [(2, 2, 3, 2), (1, 1, 1, 1), (5, 3, 2, 7), (1, 13, 11, 1), (40, 40, 40, 40)] {
        for k in products_with_nothing::<T>(m, n, p, q) {
            let (height, width) = k.dim();
            for batch in [0, 1, 3, 40] {
                let (x, dy) = (matrix::<T>(batch, width, 4), matrix::<T>(batch, height, 5));
                assert_eq!(k.apply(&x), Ok(Array2::zeros((batch, height))));
                assert_eq!(k.apply_transposed(&dy), Ok(Array2::zeros((batch, width))));
                assert_eq!(k.transposed().apply(&dy), Ok(Array2::zeros((batch, width))));
                assert_eq!(k.prepared(batch).unwrap().apply(&x), Ok(Array2::zeros((batch, height))));
                let mut y = Array2::from_elem((batch, height), nan());
                k.apply_into(T::one(), &x, T::zero(), &mut y).unwrap();
                assert_eq!(y, Array2::<T>::zeros((batch, height)));
                k.apply_into(T::one(), &x, T::one(), &mut y).unwrap();
                y.fill(T::one());
                k.apply_into(T::one(), &x, T::from_f64_lossy(-2.0), &mut y).unwrap();
                assert_eq!(y, Array2::from_elem((batch, height), T::from_f64_lossy(-2.0)));
                let mut back = Array2::from_elem((batch, width), nan());
                k.apply_transposed_into(T::one(), &dy, T::zero(), &mut back).unwrap();
                assert_eq!(back, Array2::<T>::zeros((batch, width)));

                let (gradients, dx) = k.gradients(&x, &dy).unwrap();
                assert_eq!(dx, Array2::<T>::zeros((batch, width)));
                // A gradient of the other factor would have this one's values in it.
                assert!(gradients.parts().iter().flatten().all(|&value| value == T::zero()));
                let mut dx = Array2::from_elem((batch, width), nan());
                let mut gradients = KronGradients::zeros(&k);
                k.gradients_into(T::one(), &x, &dy, &mut gradients, T::zero(), &mut dx).unwrap();
                assert_eq!(dx, Array2::<T>::zeros((batch, width)));
            }
            assert_eq!(k.to_dense(), Array2::<T>::zeros((height, width)));
            assert_eq!(k.element(0, 0), Ok(T::zero()));
            assert_eq!(k.row(height - 1).unwrap().sum(), T::zero());
            let mut w = matrix::<T>(height, width, 6);
            let before = w.clone();
            k.add_to(T::one(), &mut w).unwrap();
            assert_eq!(w, before);
            assert_eq!((k.frobenius_norm(), k.max_norm()), (T::zero(), T::zero()));
            assert_eq!(k.inner(&k), Ok(T::zero()));
            assert_eq!(k.cosine(&k), Ok(T::zero()));
            if height == width {
                assert_eq!((k.trace(), k.determinant()), (Ok(T::zero()), Ok(T::zero())));
            }
        }
    }
}

#[test]
fn an_inner_size_of_zero_in_f32_and_f64() {
    an_inner_size_of_zero_is_a_factor_of_zeros::<f32>();
    an_inner_size_of_zero_is_a_factor_of_zeros::<f64>();
}

#[test]
fn nan_in_the_data_passes_a_factor_of_zeros_as_it_does_densely() {
    let k = Kron::new(array![[1.0]], nothing::<f64>(1, 1)).unwrap();
    assert!(k.apply(&array![[f64::NAN]]).unwrap()[[0, 0]].is_nan());
}

/// Small and large sizes, so that every kernel is met; some rows and many.
const SIZES: [(usize, usize, usize, usize, usize); 5] =
    [(2, 3, 4, 5, 3), (1, 1, 1, 1, 1), (7, 1, 1, 11, 20), (3, 2, 150, 140, 2), (150, 140, 2, 3, 300)];

fn alpha_zero_reads_nothing<T: Scalar>() {
    for (m, n, p, q, batch) in SIZES {
        for bad in [T::nan(), T::infinity()] {
            let all = |rows, cols| Array2::from_elem((rows, cols), bad);
            let (good, k) =
                (Kron::new(matrix::<T>(m, n, 1), matrix(p, q, 2)).unwrap(), Kron::new(all(m, n), all(p, q)));
            for k in [good, k.unwrap()] {
                let (height, width) = k.dim();
                let (x, dy, old) = (all(batch, width), all(batch, height), matrix::<T>(batch, height, 3));
                for (beta, expected) in
                    [(T::one(), old.clone()), (T::from_f64_lossy(-2.0), &old * T::from_f64_lossy(-2.0))]
                {
                    let mut y = old.clone();
                    k.apply_into(T::zero(), &x, beta, &mut y).unwrap();
                    assert_eq!(y, expected);
                    let chain = KronChain::new([k.a().to_dense(), k.b().to_dense()]).unwrap();
                    let mut y = old.clone();
                    chain.apply_into(T::zero(), &x, beta, &mut y).unwrap();
                    assert_eq!(y, expected);
                }
                let mut y = all(batch, height);
                k.apply_into(T::zero(), &x, T::zero(), &mut y).unwrap();
                assert_eq!(y, Array2::<T>::zeros((batch, height)));
                let (mut gradients, mut dx) = (KronGradients::zeros(&k), Array2::ones((batch, width)));
                k.gradients_into(T::zero(), &x, &dy, &mut gradients, T::one(), &mut dx).unwrap();
                assert_eq!((gradients, dx), (KronGradients::zeros(&k), Array2::ones((batch, width))));
                let mut back = Array2::ones((batch, width));
                k.apply_transposed_into(T::zero(), &dy, T::one(), &mut back).unwrap();
                assert_eq!(back, Array2::<T>::ones((batch, width)));
            }
            let k = Kron::new(all(m, n), all(p, q)).unwrap();
            let mut w = matrix::<T>(m * p, n * q, 4);
            let before = w.clone();
            k.add_to(T::zero(), &mut w).unwrap();
            assert_eq!(w, before);
            let mut c = matrix::<T>(m, p, 5);
            let before = c.clone();
            matmul_into(T::zero(), &all(m, n), &all(n, p), T::one(), &mut c).unwrap();
            assert_eq!(c, before);
            PackedMatrix::new(&all(p, n)).unwrap().apply_into(T::zero(), &all(m, n), T::one(), &mut c).unwrap();
            assert_eq!(c, before);
        }
    }
}

#[test]
fn alpha_zero_reads_nothing_in_f32_and_f64() {
    alpha_zero_reads_nothing::<f32>();
    alpha_zero_reads_nothing::<f64>();
}

fn not_finite_where_the_dense_product_is_not<T: Scalar>() {
    let dense = |k: &Array2<T>, x: &Array2<T>| {
        Array2::from_shape_fn((x.nrows(), k.nrows()), |(i, r)| (0..k.ncols()).map(|c| x[[i, c]] * k[[r, c]]).sum::<T>())
    };
    for (m, n, p, q, batch) in [(2, 3, 4, 5, 3), (1, 1, 1, 1, 1), (7, 1, 1, 11, 20), (3, 4, 20, 17, 2)] {
        for bad in [T::nan(), T::infinity(), T::neg_infinity()] {
            for place in 0..3 {
                let (mut a, mut b, mut x) = (matrix::<T>(m, n, 1), matrix::<T>(p, q, 2), matrix::<T>(batch, n * q, 3));
                // Zeros to meet what is not finite.
                a[[0, 0]] = T::zero();
                b[[p - 1, q - 1]] = T::zero();
                x[[0, 0]] = T::zero();
                let into = [&mut a, &mut b, &mut x].into_iter().nth(place).unwrap();
                let (rows, cols) = into.dim();
                into[[rows - 1, cols / 2]] = bad;
                let expected = dense(&kron_dense(&a, &b).unwrap(), &x);
                let k = Kron::new(&a, &b).unwrap();
                let chain = KronChain::new([&a, &b]).unwrap();
                for found in [k.apply(&x).unwrap(), chain.apply(&x).unwrap()] {
                    if bad.is_nan() {
                        assert_eq!(found.mapv(T::is_nan), expected.mapv(T::is_nan));
                    }
                    assert_eq!(found.mapv(T::is_finite), expected.mapv(T::is_finite));
                }
            }
        }
    }
}

#[test]
fn not_finite_where_the_dense_product_is_not_in_f32_and_f64() {
    not_finite_where_the_dense_product_is_not::<f32>();
    not_finite_where_the_dense_product_is_not::<f64>();
}

#[test]
fn infinity_times_zero_is_nan_where_elements_meet() {
    let k = Kron::new(array![[f64::INFINITY]], array![[0.0, 1.0]]).unwrap();
    let dense = k.to_dense();
    assert!(dense[[0, 0]].is_nan() && k.element(0, 0).unwrap().is_nan() && k.row(0).unwrap()[0].is_nan());
    assert_eq!(dense[[0, 1]], f64::INFINITY);
    // B·x first: a number, times infinity.
    assert_eq!(k.apply(&array![[5.0, 1.0]]), Ok(array![[f64::INFINITY]]));
    let k = Kron::new(array![[f64::INFINITY]], array![[0.0]]).unwrap();
    assert!(k.frobenius_norm().is_nan() && k.max_norm().is_nan());
}

#[test]
fn more_values_than_memory_are_an_error() {
    let one = array![[1.0_f64]];
    fn of(one: &Array2<f64>, shape: (usize, usize)) -> ArrayView2<'_, f64> {
        one.broadcast(shape).unwrap()
    }
    let (tall, wide) = (of(&one, (1 << 24, 1)), of(&one, (1, 1 << 24)));
    let shape = (1 << 24, 1 << 24);
    let refused = |operation| KronError::OutOfMemory { operation, shape };
    let k = Kron::new(tall, wide).unwrap();
    assert_eq!(k.try_to_dense().unwrap_err(), refused("to_dense"));
    assert_eq!(kron_dense(&tall, &wide).unwrap_err(), refused("dense Kronecker product"));
    assert_eq!(k.slice(0..1 << 24, 0..1 << 24).unwrap_err(), refused("slice"));
    assert_eq!(KronChain::new([tall, wide]).unwrap().to_dense().unwrap_err(), refused("to_dense"));
    assert_eq!(refused("to_dense").to_string(), "to_dense: no memory for a matrix of shape (16777216, 16777216)");
    // A batch whose result no memory holds.
    let x = of(&one, shape);
    assert_eq!(k.apply(&x).unwrap_err(), KronError::OutOfMemory { operation: "apply", shape });
    assert_eq!(k.apply_transposed(&x).unwrap_err(), refused("apply_transposed"));

    let (tall, wide) = (of(&one, (1 << 30, 1)), of(&one, (1, 1 << 31)));
    let too_large = |error| matches!(error, Err(KronError::TooLarge { .. }));
    let k = Kron::new(tall, wide).unwrap(); // 2⁶¹ values are a number, their bytes are not
    assert!(too_large(k.try_to_dense()) && too_large(kron_dense(&tall, &wide)));
    assert!(too_large(k.slice(0..1 << 30, 0..1 << 31)));
    assert!(too_large(KronChain::new([tall, wide]).unwrap().to_dense()));
    let square = array![[0.5_f64, 0.5], [0.5, 0.5]];
    assert!(too_large(KronChain::power(&square, 40).unwrap().to_dense()));
    assert!(too_large(KronChain::power(&square, 30).unwrap().to_dense()));
    let none = Array2::<f64>::zeros((0, 1));
    let wide = of(&one, (1, 1 << 40));
    assert!(too_large(kron_dense(&none.broadcast((0, 1 << 40)).unwrap(), &wide)));
}

#[test]
fn sizes_that_cannot_be_multiplied_are_no_obstacle_to_an_empty_batch() {
    let one = array![[1.0_f64]];
    let (tall, wide) = (one.broadcast((1 << 40, 1)).unwrap(), one.broadcast((1, 1 << 40)).unwrap());
    let none = Array2::<f64>::zeros((0, 1));
    let x = none.broadcast((0, 1 << 40)).unwrap();
    for factors in [vec![tall, wide], vec![wide, tall]] {
        let chain = KronChain::new(factors).unwrap();
        assert_eq!(chain.apply(&x).unwrap().dim(), (0, 1 << 40));
    }
    // Of seven factors, the rule for long chains decides; one value comes in and one goes out.
    let mut long = vec![one.broadcast((1 << 31, 1)).unwrap(), one.broadcast((1, 1 << 31)).unwrap()];
    long.extend([one.view(); 5]);
    let x = none.broadcast((0, 1 << 31)).unwrap();
    assert_eq!(KronChain::new(long).unwrap().apply(&x).unwrap().dim(), (0, 1 << 31));
}

#[test]
fn flops_end_at_the_largest_number() {
    let largest = KronShape::new(1 << 31, 1, 1, 1 << 31).unwrap();
    assert_eq!(Order::AFirst.flops(largest), usize::MAX);
    assert_eq!(Order::BFirst.flops(largest), 2 * ((1 << 31) + (1 << 31)));
    assert_eq!(Order::cheapest(largest), Order::BFirst);
    let all = KronShape::new(1, usize::MAX / 2, 1, 1).unwrap();
    assert_eq!(Order::AFirst.flops(all), usize::MAX);
}

#[test]
fn shapes_are_looked_at_before_memory() {
    let k = Kron::new(array![[1.0]], array![[2.0]]).unwrap();
    let error = k.apply(&Array2::zeros((2, 3))).unwrap_err();
    assert_eq!(error, KronError::Shape { operation: "apply", argument: "x", expected: (2, 1), found: (2, 3) });
    all_close(&k.apply(&array![[1.5]]).unwrap(), &array![[3.0]], 1.0);
}
