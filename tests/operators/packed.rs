//! Products with a weight that was laid out once, against the plain triple loop.

use lokr::core::{KronError, PackedMatrix, Scalar};
use lokr_testing::{LAYOUTS, Numbers, assert_close, dense_product, with_layout};
use ndarray::{Array2, array};

/// `(batch, in, out)`: ones, primes, whole and broken strips, and one large enough for threads.
const SIZES: [(usize, usize, usize); 9] = [
    (0, 3, 5),
    (1, 1, 1),
    (1, 37, 29),
    (2, 64, 128),
    (5, 8, 1),
    (7, 1, 33),
    (16, 32, 48),
    (31, 97, 101),
    (70, 131, 127),
];

fn equals_the_plain_product<T: Scalar>() {
    let (alpha, beta) = (T::from_f64_lossy(-1.5), T::from_f64_lossy(0.25));
    for (batch, inputs, outputs) in SIZES {
        let mut numbers = Numbers::new(1);
        let (w, x) = (numbers.matrix::<T>(outputs, inputs), numbers.matrix::<T>(batch, inputs));
        let y0 = numbers.matrix::<T>(batch, outputs);
        let product = dense_product(&x, &w.t());
        for layout in LAYOUTS {
            let packed = with_layout(&w, layout, |w| PackedMatrix::new(w).unwrap());
            assert_eq!(packed.dim(), (outputs, inputs));
            for layout_y in LAYOUTS {
                let what = format!("{} {batch} {inputs} {outputs}: {layout:?}, y {layout_y:?}", T::NAME);
                with_layout(&x, layout, |x| {
                    with_layout(&y0, layout_y, |y| {
                        packed.apply_into(alpha, x, beta, y).unwrap();
                        assert_close(y, &(&product * alpha + &y0 * beta), 2 * inputs, &what);
                    });
                    with_layout(&Array2::from_elem(y0.dim(), T::nan()), layout_y, |y| {
                        packed.apply_into(T::one(), x, T::zero(), y).unwrap();
                        assert_close(y, &product, inputs, &what);
                    });
                });
            }
        }
    }
}

#[test]
fn products_equal_the_plain_ones_f32() {
    equals_the_plain_product::<f32>();
}

#[test]
fn products_equal_the_plain_ones_f64() {
    equals_the_plain_product::<f64>();
}

#[test]
fn wrong_shapes_are_errors_that_leave_the_output_alone() {
    let packed = PackedMatrix::new(&array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]).unwrap();
    let mut y = array![[7.0, 8.0, 9.0]];
    for x in [Array2::zeros((1, 3)), Array2::zeros((2, 2))] {
        assert!(matches!(packed.apply_into(1.0, &x, 0.0, &mut y), Err(KronError::Shape { .. })));
    }
    assert_eq!(y, array![[7.0, 8.0, 9.0]]);
    let empty = PackedMatrix::<f64>::new(&Array2::zeros((3, 0))).unwrap_err();
    assert!(matches!(empty, KronError::EmptyFactor { rows: 3, cols: 0, .. }));
}
