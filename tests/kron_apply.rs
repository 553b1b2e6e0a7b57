//! Applying the lazy product and its transpose, and its dense forms, against the dense product written out.

mod support;

use lokr::core::{Factor, Kron, KronChain, KronError, Scalar};
use ndarray::{Array2, array, s};
use proptest::prelude::*;
use support::{LAYOUTS, Numbers, assert_close, dense_kron, dense_product, with_layout};

/// Sizes `(m, n, p, q)`: ones, primes, non-square, both orders of contraction, and some large enough for threads,
/// blocks and whole products.
const SHAPES: [(usize, usize, usize, usize); 12] = [
    (1, 1, 1, 1),
    (2, 3, 5, 7),
    (7, 5, 3, 2),
    (1, 13, 11, 1),
    (13, 1, 1, 11),
    (4, 8, 8, 4),
    (1, 1, 17, 19),
    (19, 17, 1, 1),
    (31, 37, 29, 23),
    (3, 5, 210, 190),
    (210, 190, 3, 5),
    (2, 2, 410, 395),
];
const BATCHES: [usize; 5] = [0, 1, 2, 17, 70];

fn apply_equals_dense<T: Scalar>() {
    let mut numbers = Numbers::new(1);
    for (m, n, p, q) in SHAPES {
        let (a, b) = (numbers.matrix::<T>(m, n), numbers.matrix::<T>(p, q));
        let (kron, dense) = (Kron::new(&a, &b).unwrap(), dense_kron(&a, &b));
        for batch in BATCHES {
            let what = format!("{} {:?} batch {batch}", T::NAME, (m, n, p, q));
            let (x, y) = (numbers.matrix::<T>(batch, n * q), numbers.matrix::<T>(batch, m * p));
            assert_close(&kron.apply(&x).unwrap(), &dense_product(&x, &dense.t()), n * q, &what);
            assert_close(&kron.apply_transposed(&y).unwrap(), &dense_product(&y, &dense), m * p, &what);
        }
    }
}

#[test]
fn apply_equals_the_dense_product_f32() {
    apply_equals_dense::<f32>();
}

#[test]
fn apply_equals_the_dense_product_f64() {
    apply_equals_dense::<f64>();
}

#[test]
fn every_layout_of_every_argument_gives_the_same() {
    let mut numbers = Numbers::new(2);
    let (m, n, p, q, batch) = (3, 4, 5, 2, 9);
    let (a, b, x) = (numbers.matrix::<f64>(m, n), numbers.matrix(p, q), numbers.matrix(batch, n * q));
    let y0 = numbers.matrix::<f64>(batch, m * p);
    let product = dense_product(&x, &dense_kron(&a, &b).t());
    let want = &product * 1.5 + &y0 * 0.5;
    for layout_a in LAYOUTS {
        for layout_x in LAYOUTS {
            for layout_y in LAYOUTS {
                let what = format!("a, b {layout_a:?}, x {layout_x:?}, y {layout_y:?}");
                let got = with_layout(&a, layout_a, |a| {
                    with_layout(&b, layout_a, |b| {
                        with_layout(&x, layout_x, |x| {
                            with_layout(&y0, layout_y, |y| {
                                let kron = Kron::new(&*a, &*b).unwrap();
                                kron.apply_into(1.5, x, 0.5, y).unwrap();
                                y.to_owned()
                            })
                        })
                    })
                });
                assert_close(&got, &want, n * q, &what);
            }
        }
    }
}

#[test]
fn beta_zero_overwrites_anything() {
    let mut numbers = Numbers::new(3);
    for (m, n, p, q) in SHAPES {
        let (a, b, x) = (numbers.matrix::<f32>(m, n), numbers.matrix(p, q), numbers.matrix(3, n * q));
        let want = dense_product(&x, &dense_kron(&a, &b).t());
        for layout in LAYOUTS {
            let nan = Array2::from_elem((3, m * p), f32::NAN);
            with_layout(&nan, layout, |y| {
                Kron::new(&a, &b).unwrap().apply_into(1.0, &x, 0.0, y).unwrap();
                assert_close(y, &want, n * q, &format!("{:?} {layout:?}", (m, n, p, q)));
            });
        }
    }
}

#[test]
fn low_rank_factors_equal_their_products() {
    let mut numbers = Numbers::new(4);
    // Ranks below and above the sizes, so that halves and multiplied-out factors are both chosen.
    for (m, n, p, q, r) in [(3, 4, 20, 22, 1), (3, 4, 20, 22, 5), (2, 3, 5, 4, 40), (17, 11, 6, 7, 2)] {
        let (b_a, b_b) = (numbers.matrix::<f64>(p, r), numbers.matrix(r, q));
        let (a_a, a_b) = (numbers.matrix::<f64>(m, r), numbers.matrix(r, n));
        let (a, b) = (dense_product(&a_a, &a_b), dense_product(&b_a, &b_b));
        let dense = dense_kron(&a, &b);
        for batch in [0, 1, 40] {
            let (x, y) = (numbers.matrix(batch, n * q), numbers.matrix(batch, m * p));
            let second = Kron::new(&a, Factor::low_rank(&b_a, &b_b).unwrap()).unwrap();
            let both = Kron::new(Factor::low_rank(&a_a, &a_b).unwrap(), Factor::low_rank(&b_a, &b_b).unwrap()).unwrap();
            for kron in [second, both] {
                let what = format!("{:?} rank {r} batch {batch}", (m, n, p, q));
                assert_close(&kron.apply(&x).unwrap(), &dense_product(&x, &dense.t()), n * q * r * r, &what);
                assert_close(&kron.apply_transposed(&y).unwrap(), &dense_product(&y, &dense), m * p * r * r, &what);
                assert_close(&kron.to_dense(), &dense, r * r, &what);
            }
        }
    }
}

#[test]
fn chains_equal_the_dense_product() {
    let mut numbers = Numbers::new(5);
    for shapes in
        [vec![], vec![(3, 2)], vec![(2, 3), (3, 1), (4, 5)], vec![(2, 2); 7], vec![(1, 4), (5, 2), (3, 3), (2, 7)]]
    {
        let factors: Vec<Array2<f64>> = shapes.iter().map(|&(m, n)| numbers.matrix(m, n)).collect();
        let chain = KronChain::new(factors.iter()).unwrap();
        let dense = factors.iter().fold(array![[1.0]], |k, f| dense_kron(&k, f));
        assert_eq!(chain.dim(), dense.dim());
        assert_close(&chain.to_dense().unwrap(), &dense, 1, "dense");
        for batch in [0, 1, 33] {
            let x = numbers.matrix(batch, dense.ncols());
            let y = numbers.matrix(batch, dense.nrows());
            assert_close(&chain.apply(&x).unwrap(), &dense_product(&x, &dense.t()), dense.ncols(), "apply");
            let back = chain.transposed().apply(&y).unwrap();
            assert_close(&back, &dense_product(&y, &dense), dense.nrows(), "transposed");
        }
        for ((row, col), &value) in dense.indexed_iter() {
            assert!((chain.element(row, col).unwrap() - value).abs() < 1e-14);
        }
        assert!(matches!(chain.element(dense.nrows(), 0), Err(KronError::OutOfBounds { .. })));
    }
}

#[test]
fn elements_rows_blocks_and_slices_are_those_of_the_dense_product() {
    let mut numbers = Numbers::new(6);
    let (a, b) = (numbers.matrix::<f64>(3, 4), numbers.matrix(5, 2));
    let (kron, dense) = (Kron::new(&a, &b).unwrap(), dense_kron(&a, &b));
    for ((row, col), &value) in dense.indexed_iter() {
        assert_eq!(kron.element(row, col).unwrap(), value);
    }
    for row in 0..15 {
        assert_eq!(kron.row(row).unwrap(), dense.row(row));
    }
    for i in 0..3 {
        for j in 0..4 {
            assert_eq!(kron.block(i, j).unwrap(), dense.slice(s![i * 5..i * 5 + 5, j * 2..j * 2 + 2]));
        }
    }
    assert_eq!(kron.slice(4..11, 1..7).unwrap(), dense.slice(s![4..11, 1..7]));
    assert_eq!(kron.slice(15..15, 8..8).unwrap().dim(), (0, 0));
    assert_eq!(kron.transposed().to_dense(), dense.t());
    let outside = [
        kron.element(15, 0).unwrap_err(),
        kron.element(0, 8).unwrap_err(),
        kron.row(15).unwrap_err(),
        kron.row(usize::MAX).unwrap_err(),
        kron.block(3, 0).unwrap_err(),
        kron.slice(0..16, 0..1).unwrap_err(),
    ];
    for error in outside {
        assert!(matches!(error, KronError::OutOfBounds { .. }), "{error}");
    }
}

#[test]
fn merging_adds_the_scaled_product_in_every_layout() {
    let mut numbers = Numbers::new(7);
    for (m, n, p, q) in SHAPES {
        let (a, b, w) = (numbers.matrix::<f64>(m, n), numbers.matrix(p, q), numbers.matrix::<f64>(m * p, n * q));
        let kron = Kron::new(&a, &b).unwrap();
        let want = &w + &(dense_kron(&a, &b) * -0.75);
        for layout in LAYOUTS {
            with_layout(&w, layout, |w| {
                kron.add_to(-0.75, w).unwrap();
                assert_close(w, &want, 1, &format!("{:?} {layout:?}", (m, n, p, q)));
            });
        }
        let mut out = Array2::from_elem((m * p, n * q), f64::NAN);
        kron.dense_into(&mut out).unwrap();
        assert_eq!(out, dense_kron(&a, &b));
    }
}

#[test]
fn wrong_shapes_are_errors_that_leave_the_output_alone() {
    let (a, b) = (array![[1.0, 2.0]], array![[3.0], [4.0]]); // (2, 2)
    let kron = Kron::new(&a, &b).unwrap();
    let before = array![[7.0, 8.0]];
    let mut y = before.clone();
    for (x, rows) in [(Array2::zeros((1, 3)), 1), (Array2::zeros((2, 2)), 2)] {
        assert!(matches!(kron.apply_into(1.0, &x, 0.0, &mut y), Err(KronError::Shape { .. })), "{rows} rows");
        assert!(matches!(kron.apply_transposed_into(1.0, &x, 0.0, &mut y), Err(KronError::Shape { .. })));
    }
    assert!(matches!(kron.add_to(1.0, &mut y), Err(KronError::Shape { .. })));
    assert!(matches!(kron.dense_into(&mut y), Err(KronError::Shape { .. })));
    assert_eq!(y, before);
    let empty = Kron::<f64>::new(Array2::zeros((0, 2)), b.clone()).unwrap_err();
    assert_eq!(empty, KronError::EmptyFactor { name: "A", rows: 0, cols: 2 });
    let chain = KronChain::<f64>::new([Array2::zeros((2, 0))]).unwrap_err();
    assert!(matches!(chain, KronError::EmptyFactor { rows: 2, cols: 0, .. }));
    let wide = Array2::<f32>::zeros((1, 1 << 20));
    let sizes = std::iter::repeat_n(wide.view(), 4);
    assert!(matches!(KronChain::new(sizes), Err(KronError::TooLarge { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn apply_is_the_dense_product_on_any_shape(
        m in 1usize..9, n in 1usize..9, p in 1usize..9, q in 1usize..9, batch in 0usize..6, seed in any::<u64>(),
    ) {
        let mut numbers = Numbers::new(seed);
        let (a, b) = (numbers.matrix::<f64>(m, n), numbers.matrix(p, q));
        let x = numbers.matrix(batch, n * q);
        let want = dense_product(&x, &dense_kron(&a, &b).t());
        assert_close(&Kron::new(&a, &b).unwrap().apply(&x).unwrap(), &want, n * q, "apply");
    }

    #[test]
    fn transposing_is_the_adjoint(
        m in 1usize..9, n in 1usize..9, p in 1usize..9, q in 1usize..9, seed in any::<u64>(),
    ) {
        let mut numbers = Numbers::new(seed);
        let (a, b) = (numbers.matrix::<f64>(m, n), numbers.matrix(p, q));
        let (x, y) = (numbers.matrix(1, n * q), numbers.matrix(1, m * p));
        let kron = Kron::new(&a, &b).unwrap();
        let left = dense_product(&y, &kron.apply(&x).unwrap().t());
        let right = dense_product(&kron.apply_transposed(&y).unwrap(), &x.t());
        assert_close(&left, &right, m * n * p * q, "<y, Kx> = <Ky, x>");
    }
}
