//! Applying the lazy product and its transpose, and its dense forms, against the dense product written out.

use std::ops::Range;

use lokr::core::{Factor, Kron, KronChain, KronError, Scalar};
use lokr_testing::{LAYOUTS, Numbers, assert_close, dense_kron, dense_product, with_layout};
use ndarray::{Array2, Axis, array, s};
use proptest::prelude::*;

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
        // The smaller batches are the first rows of the largest.
        let (x, y) = (numbers.matrix::<T>(BATCHES[4], n * q), numbers.matrix::<T>(BATCHES[4], m * p));
        let (forward, back) = (dense_product(&x, &dense.t()), dense_product(&y, &dense));
        for batch in BATCHES {
            let what = format!("{} {:?} batch {batch}", T::NAME, (m, n, p, q));
            let rows = s![..batch, ..];
            assert_close(&kron.apply(&x.slice(rows)).unwrap(), &forward.slice(rows), n * q, &what);
            assert_close(&kron.apply_transposed(&y.slice(rows)).unwrap(), &back.slice(rows), m * p, &what);
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
fn a_power_is_the_repeated_dense_product() {
    let a = Numbers::new(8).matrix::<f64>(2, 3);
    for exponent in 0..4 {
        let dense = (0..exponent).fold(array![[1.0]], |k, _| dense_kron(&k, &a));
        let power = KronChain::power(&a, exponent).unwrap();
        assert_eq!(power.dim(), dense.dim());
        assert_close(&power.to_dense().unwrap(), &dense, 1, "dense");
        let x = Numbers::new(9).matrix(5, dense.ncols());
        assert_close(&power.apply(&x).unwrap(), &dense_product(&x, &dense.t()), dense.ncols(), "apply");
    }
    assert!(matches!(KronChain::power(&a, 64), Err(KronError::TooLarge { .. })));
}

/// Every way to hold factors of the shapes `(m, n)` and `(p, q)`: full and low-rank, each with its dense product.
fn held_in_every_way<T: Scalar>(
    (m, n, p, q): (usize, usize, usize, usize),
    seed: u64,
) -> Vec<(Kron<'static, T>, Array2<T>)> {
    let mut numbers = Numbers::new(seed);
    let (a, b) = (numbers.matrix::<T>(m, n), numbers.matrix::<T>(p, q));
    let (a_a, a_b) = (numbers.matrix::<T>(m, 2), numbers.matrix::<T>(2, n));
    let (b_a, b_b) = (numbers.matrix::<T>(p, 2), numbers.matrix::<T>(2, q));
    let low = |left: &Array2<T>, right: &Array2<T>| Factor::low_rank(left.clone(), right.clone()).unwrap();
    let (dense_a, dense_b) = (dense_product(&a_a, &a_b), dense_product(&b_a, &b_b));
    vec![
        (Kron::new(a.clone(), b.clone()).unwrap(), dense_kron(&a, &b)),
        (Kron::new(a.clone(), low(&b_a, &b_b)).unwrap(), dense_kron(&a, &dense_b)),
        (Kron::new(low(&a_a, &a_b), b.clone()).unwrap(), dense_kron(&dense_a, &b)),
        (Kron::new(low(&a_a, &a_b), low(&b_a, &b_b)).unwrap(), dense_kron(&dense_a, &dense_b)),
    ]
}

fn parts_are_those_of_the_dense_product<T: Scalar>() {
    for (kron, dense) in held_in_every_way::<T>((3, 4, 5, 2), 6) {
        let equal = |got: &Array2<T>, rows: Range<usize>, cols: Range<usize>, what: &str| {
            assert_close(got, &dense.slice(s![rows, cols]), 4, &format!("{} {what}", T::NAME));
        };
        for (row, col) in (0..15).flat_map(|row| (0..8).map(move |col| (row, col))) {
            let element = array![[kron.element(row, col).unwrap()]];
            equal(&element, row..row + 1, col..col + 1, "element");
        }
        for row in 0..15 {
            equal(&kron.row(row).unwrap().insert_axis(Axis(0)), row..row + 1, 0..8, "row");
        }
        for (i, j) in (0..3).flat_map(|i| (0..4).map(move |j| (i, j))) {
            equal(&kron.block(i, j).unwrap(), i * 5..i * 5 + 5, j * 2..j * 2 + 2, "block");
        }
        equal(&kron.slice(4..11, 1..7).unwrap(), 4..11, 1..7, "slice");
        equal(&kron.to_dense(), 0..15, 0..8, "dense");
        assert_close(&kron.transposed().to_dense(), &dense.t(), 4, "transposed");
        assert_eq!(kron.slice(15..15, 8..8).unwrap().dim(), (0, 0));
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
}

#[test]
fn elements_rows_blocks_and_slices_are_those_of_the_dense_product() {
    parts_are_those_of_the_dense_product::<f32>();
    parts_are_those_of_the_dense_product::<f64>();
}

fn merging_adds_the_scaled_product<T: Scalar>() {
    let s = T::from_f64_lossy(-0.75);
    for shape @ (m, n, p, q) in SHAPES {
        let w = Numbers::new(7).matrix::<T>(m * p, n * q);
        // The large shapes are there for the threads, which see no difference between full and low-rank factors.
        let ways = if w.len() > 10_000 { 1 } else { 4 };
        for (index, (kron, dense)) in held_in_every_way::<T>(shape, 7).into_iter().take(ways).enumerate() {
            let want = &w + &(&dense * s);
            let what = format!("{} {shape:?} {index}", T::NAME);
            for layout in LAYOUTS {
                with_layout(&w, layout, |w| {
                    kron.add_to(s, w).unwrap();
                    assert_close(w, &want, 4, &format!("{what} {layout:?}"));
                });
            }
            with_layout(&Array2::from_elem(w.dim(), T::nan()), LAYOUTS[index], |out| {
                kron.dense_into(out).unwrap();
                assert_close(out, &dense, 4, &what);
            });
        }
    }
}

#[test]
fn merging_adds_the_scaled_product_in_every_layout_f32() {
    merging_adds_the_scaled_product::<f32>();
}

#[test]
fn merging_adds_the_scaled_product_in_every_layout_f64() {
    merging_adds_the_scaled_product::<f64>();
}

#[test]
fn a_prepared_operator_is_the_same_operator() {
    for batch in [0, 1, 40] {
        // The shape whose low-rank factors are worth multiplying out, and one where they are not.
        for shape @ (_, n, _, q) in [(3, 4, 2, 3), (3, 4, 40, 50)] {
            for (kron, dense) in held_in_every_way::<f64>(shape, 10) {
                let prepared = kron.prepared(batch).unwrap();
                assert_close(&prepared.to_dense(), &dense, 4, &format!("{shape:?} dense"));
                let x = Numbers::new(11).matrix(batch, n * q);
                let want = dense_product(&x, &dense.t());
                assert_close(&prepared.apply(&x).unwrap(), &want, 4 * n * q, &format!("{shape:?} batch {batch}"));
            }
        }
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
