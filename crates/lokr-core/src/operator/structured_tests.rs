//! Products with identities, diagonals and small factors, and rows longer than the caches, against plain loops.

use lokr_testing::{LAYOUTS, matrix, with_layout};
use ndarray::{Array2, array, s};

use crate::operator::{Factor, Kron, KronChain};
use crate::scalar::Scalar;
use crate::test_support::{all_close, close};

/// One axis after the other, by three loops.
fn plain<T: Scalar>(factors: &[Array2<T>], x: &Array2<T>) -> Array2<T> {
    let mut sizes: Vec<usize> = factors.iter().map(|factor| factor.ncols()).collect();
    let mut rows = x.clone();
    for (axis, factor) in factors.iter().enumerate() {
        let (d_out, d_in) = factor.dim();
        let (before, after): (usize, usize) = (sizes[..axis].iter().product(), sizes[axis + 1..].iter().product());
        let mut next = Array2::zeros((x.nrows(), before * d_out * after));
        for (row, to) in rows.rows().into_iter().zip(next.rows_mut()) {
            let (row, to) = (row.to_slice().unwrap(), to.into_slice().unwrap());
            for b in 0..before {
                for i in 0..d_out {
                    let to = &mut to[(b * d_out + i) * after..][..after];
                    for j in 0..d_in {
                        let (from, element) = (&row[(b * d_in + j) * after..][..after], factor[[i, j]]);
                        to.iter_mut().zip(from).for_each(|(to, &value)| *to += element * value);
                    }
                }
            }
        }
        sizes[axis] = d_out;
        rows = next;
    }
    rows
}

/// Factors by name: `i3` an identity, `d3` a diagonal, `3x2` a full matrix.
fn factors<T: Scalar>(names: &str) -> Vec<Array2<T>> {
    let factor = |(seed, name): (u64, &str)| match name.split_at(1) {
        ("i", size) => Array2::eye(size.parse().unwrap()),
        ("d", size) => Array2::from_diag(&matrix(1, size.parse().unwrap(), seed).row(0)),
        _ => {
            let (rows, cols) = name.split_once('x').unwrap();
            matrix(rows.parse().unwrap(), cols.parse().unwrap(), seed)
        }
    };
    (1..).zip(names.split(' ')).map(factor).collect()
}

/// Every kind beside every other, in the sizes that have kernels of their own and in others; most of them long enough
/// for neighbours to be multiplied together.
const PRODUCTS: [&str; 16] = [
    "i1",
    "i5",
    "i2 i3 i4",
    "d7",
    "d3 d1 d2 i2 d5",
    "i7 d3",
    "2x2 i2 i2 i2 i2 i2 i2",
    "i2 i2 i2 2x2 d2 i2 i2",
    "i3 4x4 i3 3x3 i2",
    "2x2 2x2 2x2 2x2 2x2 2x2 2x2 2x2",
    "2x2 d2 2x2 i2 2x2 2x2 d2",
    "1x1 3x2 d1 2x3 1x1 1x4 5x1",
    "3x3 3x3 3x3 3x3",
    "8x8 1x1 8x8",
    "2x3 i4 7x5 d3",
    "i9 40x3",
];

fn agrees_with_plain_loops<T: Scalar>() {
    for names in PRODUCTS {
        let factors = factors::<T>(names);
        let chain = KronChain::new(&factors).unwrap();
        let (height, width) = chain.dim();
        for batch in [0, 1, 3, 40] {
            let x = matrix::<T>(batch, width, 50);
            let expected = plain(&factors, &x);
            all_close(&chain.apply(&x).unwrap(), &expected, T::from_usize_lossy(width));
            let transposes: Vec<_> = factors.iter().map(|factor| factor.t().to_owned()).collect();
            let y = matrix::<T>(batch, height, 51);
            let back = chain.apply_transposed(&y).unwrap();
            all_close(&back, &plain(&transposes, &y), T::from_usize_lossy(height));

            let (alpha, beta) = (T::from_f64_lossy(0.5), T::from_f64_lossy(-2.0));
            for layout in LAYOUTS {
                let mut blended = matrix::<T>(batch, height, 52);
                let sum = &expected * alpha + &blended * beta;
                with_layout(&x, layout, |x| chain.apply_into(alpha, x, beta, &mut blended)).unwrap();
                all_close(&blended, &sum, T::from_usize_lossy(width));
                let nan = Array2::from_elem((batch, height), T::nan());
                let found = with_layout(&nan, layout, |y| {
                    chain.apply_into(alpha, &x, T::zero(), y).unwrap();
                    y.to_owned()
                });
                all_close(&found, &(&expected * alpha), T::from_usize_lossy(width));
            }
        }
    }
}

#[test]
fn identities_diagonals_and_neighbours_agree_with_plain_loops() {
    agrees_with_plain_loops::<f32>();
    agrees_with_plain_loops::<f64>();
}

fn one_gate_at_every_place<T: Scalar>() {
    for (size, count) in [(2, 12), (3, 7), (4, 6), (5, 5)] {
        for place in 0..count {
            let mut factors = vec![Array2::eye(size); count];
            factors[place] = matrix::<T>(size, size, 1);
            let x = matrix::<T>(1, size.pow(count as u32), 2);
            let found = KronChain::new(&factors).unwrap().apply(&x).unwrap();
            all_close(&found, &plain(&factors, &x), T::from_usize_lossy(size));
            factors[place] = Array2::from_diag(&matrix::<T>(1, size, 1).row(0));
            let found = KronChain::new(&factors).unwrap().apply(&x).unwrap();
            all_close(&found, &plain(&factors, &x), T::one());
        }
    }
}

#[test]
fn one_gate_at_every_place_in_f32_and_f64() {
    one_gate_at_every_place::<f32>();
    one_gate_at_every_place::<f64>();
}

/// Rows longer than a block of the cache, in one stage of steps after the other.
fn long_rows<T: Scalar>() {
    for names in [
        "2x2 2x2 2x2 2x2 2x2 2x2 2x2 2x2 2x2 2x2 2x2 2x2 2x2 2x2 2x2 2x2 2x2 2x2",
        "4x4 d4 2x2 i2 2x2 3x3 5x5 2x2 2x2 d2 2x2 7x7 2x2 i2",
        "3x2 2x3 64x64 5x4 3x3 4x5 6x7 i2",
        "80x80 80x80 i3 9x9",
    ] {
        let factors = factors::<T>(names);
        let chain = KronChain::new(&factors).unwrap();
        let x = matrix::<T>(4, chain.ncols(), 60);
        let expected = plain(&factors, &x.slice(s![..1, ..]).to_owned());
        let scale = T::from_usize_lossy(1 << 8);
        for batch in [1, 4] {
            let x = x.slice(s![..batch, ..]);
            let on_threads = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| chain.apply(&x).unwrap())
            };
            let found = on_threads(1);
            all_close(&found.slice(s![..1, ..]), &expected, scale);
            assert!([2, 3].into_iter().all(|threads| on_threads(threads) == found), "{names}: bits");
            let last = s![batch - 1.., ..];
            all_close(&chain.apply(&x.slice(last)).unwrap(), &found.slice(last), scale);
        }
    }
}

#[test]
fn rows_longer_than_the_cache_in_f32_and_f64() {
    long_rows::<f32>();
    long_rows::<f64>();
}

#[test]
fn low_rank_factors_stay_by_themselves() {
    let low = Factor::low_rank(matrix::<f64>(6, 1, 1), matrix(1, 5, 2)).unwrap();
    let others = factors::<f64>("2x2 2x2 d2 i3");
    let list = [others[0].clone(), low.to_dense(), others[1].clone(), others[2].clone(), others[3].clone()];
    let chain = KronChain::new([
        Factor::from(&others[0]),
        low,
        Factor::from(&others[1]),
        Factor::from(&others[2]),
        Factor::from(&others[3]),
    ])
    .unwrap();
    let x = matrix(30, chain.ncols(), 3);
    all_close(&chain.apply(&x).unwrap(), &plain(&list, &x), 8.0);
}

#[test]
fn identities_copy_exactly() {
    let chain = KronChain::new([Array2::<f64>::eye(3), Array2::eye(1), Array2::eye(50)]).unwrap();
    let x = matrix(4, 150, 1);
    assert_eq!(chain.apply(&x).unwrap(), x);
    assert_eq!(Kron::new(Array2::eye(2), Array2::eye(75)).unwrap().apply(&x).unwrap(), x);
    let mut y = x.clone();
    chain.apply_into(2.0, &x, -1.0, &mut y).unwrap();
    assert_eq!(y, x);
}

/// The loss `Σ dY∘(X·Kᵀ)` is linear in every factor: its derivative by one element is the loss with that element one
/// and the rest of the factor zero.
fn gradients_of_all_kinds<T: Scalar>() {
    for names in ["i2 2x3 i3", "i2 i2", "d3 2x2 i2 d2", "2x2 i3 d2 i1", "i4 3x2 2x2"] {
        let factors = factors::<T>(names);
        let chain = KronChain::new(&factors).unwrap();
        let (height, width) = chain.dim();
        for batch in [1, 5, 60] {
            let (x, dy) = (matrix::<T>(batch, width, 70), matrix::<T>(batch, height, 71));
            let (gradients, dx) = chain.gradients(&x, &dy).unwrap();
            let scale = T::from_usize_lossy(batch * height);
            let transposes: Vec<_> = factors.iter().map(|factor| factor.t().to_owned()).collect();
            all_close(&dx, &plain(&transposes, &dy), scale);
            for (which, gradient) in gradients.parts().iter().enumerate() {
                for (index, &found) in gradient.indexed_iter() {
                    let mut others = factors.clone();
                    others[which].fill(T::zero());
                    others[which][index] = T::one();
                    close(found, (&plain(&others, &x) * &dy).sum(), scale);
                }
            }
        }
    }
}

#[test]
fn identities_and_diagonals_have_gradients_in_f32_and_f64() {
    gradients_of_all_kinds::<f32>();
    gradients_of_all_kinds::<f64>();
}

/// What is not finite reaches what it reaches in plain loops, through the zeros of identities and diagonals too.
fn not_finite_values_reach_what_they_reach_densely<T: Scalar>() {
    for names in
        ["i4 i5", "d4 i5", "d4 d5", "i4 5x5", "4x4 d5", "i8 i2 2x2 i2", "i8 2x2 d2 i2", "2x2 2x2 i8", "i1 d1 3x3"]
    {
        let factors = factors::<T>(names);
        let chain = KronChain::new(&factors).unwrap();
        for bad in [T::nan(), T::infinity()] {
            let mut x = Array2::ones((2, chain.ncols()));
            x[[1, chain.ncols() / 3]] = bad;
            let (found, expected) = (chain.apply(&x).unwrap(), plain(&factors, &x));
            assert_eq!(found.mapv(T::is_finite), expected.mapv(T::is_finite), "{names}");
            assert!(!bad.is_nan() || found.mapv(T::is_nan) == expected.mapv(T::is_nan), "{names}");
        }
    }
    let x = Array2::ones((1, 4));
    let nan = Kron::new(Array2::eye(2), Array2::from_elem((2, 2), T::nan())).unwrap();
    assert!(nan.apply(&x).unwrap().iter().all(|value| value.is_nan()));
}

#[test]
fn not_finite_values_reach_what_they_reach_densely_in_f32_and_f64() {
    not_finite_values_reach_what_they_reach_densely::<f32>();
    not_finite_values_reach_what_they_reach_densely::<f64>();
}

#[test]
fn a_diagonal_of_not_finite_values_touches_what_it_multiplies() {
    let k =
        Kron::new(Array2::from_diag(&array![f64::NAN, 2.0]), Array2::from_diag(&array![1.0, f64::INFINITY])).unwrap();
    let y = k.apply(&array![1.0, 1.0, 1.0, 0.0]).unwrap();
    assert!(y[0].is_nan() && y[1].is_nan() && y[2] == 2.0 && y[3].is_nan());
    assert!(k.to_dense()[[0, 1]].is_nan()); // NaN·0, where elements are multiplied
}

/// The product of two neighbours leaves the range of the type; the result and all that stands between do not.
fn neighbours_of_extreme_scale<T: Scalar>(large: f64) {
    let factors: Vec<Array2<T>> = (1..=4).map(|seed| matrix(5, 5, seed)).collect();
    let x = matrix::<T>(3, 625, 9);
    let expected = plain(&factors, &x);
    for (first, power) in (0..3).flat_map(|first| [(first, 1.0), (first, -1.0)]) {
        let times = |power: f64| T::from_f64_lossy(large.powf(power));
        let scaled = factors.iter().enumerate().map(|(index, factor)| {
            if index == first || index == first + 1 { factor * times(power) } else { factor.clone() }
        });
        let found = KronChain::new(scaled).unwrap().apply(&(&x * times(-1.5 * power))).unwrap();
        all_close(&(found / times(0.5 * power)), &expected, T::from_usize_lossy(25));
    }
}

#[test]
fn neighbours_of_extreme_scale_in_f32_and_f64() {
    neighbours_of_extreme_scale::<f32>(1e20);
    neighbours_of_extreme_scale::<f64>(1e160);
}
