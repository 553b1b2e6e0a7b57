//! Reference arithmetic and generators shared by the integration tests: slow, plain, and independent of the code
//! under test.
#![allow(dead_code, unreachable_pub)]

use lokr::core::Scalar;
use ndarray::{Array2, ArrayRef2, ShapeBuilder, s};

/// A small generator of its own, so that the tests' numbers depend on nothing but the seed.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03)
    }

    /// Uniform in (-1, 1).
    pub fn next<T: Scalar>(&mut self) -> T {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        T::from_f64_lossy((z >> 11) as f64 / (1u64 << 52) as f64 - 1.0)
    }

    pub fn matrix<T: Scalar>(&mut self, rows: usize, cols: usize) -> Array2<T> {
        Array2::from_shape_simple_fn((rows, cols), || self.next())
    }
}

/// The dense Kronecker product from the definition, four plain loops.
pub fn dense_kron<T: Scalar>(a: &ArrayRef2<T>, b: &ArrayRef2<T>) -> Array2<T> {
    let ((m, n), (p, q)) = (a.dim(), b.dim());
    let mut k = Array2::zeros((m * p, n * q));
    for i in 0..m {
        for j in 0..n {
            for r in 0..p {
                for c in 0..q {
                    k[[i * p + r, j * q + c]] = a[[i, j]] * b[[r, c]];
                }
            }
        }
    }
    k
}

/// A plain matrix product, three loops, summed in f64.
pub fn dense_product<T: Scalar>(a: &ArrayRef2<T>, b: &ArrayRef2<T>) -> Array2<T> {
    assert_eq!(a.ncols(), b.nrows());
    Array2::from_shape_fn((a.nrows(), b.ncols()), |(i, j)| {
        let sum: f64 = (0..a.ncols()).map(|k| a[[i, k]].to_f64_exact() * b[[k, j]].to_f64_exact()).sum();
        T::from_f64_lossy(sum)
    })
}

/// Asserts `|got − want| ≤ ulps·ε·length·(1 + largest |want|)` element by element; `length` is that of the sums.
#[track_caller]
pub fn assert_close<T: Scalar>(got: &ArrayRef2<T>, want: &ArrayRef2<T>, length: usize, what: &str) {
    assert_eq!(got.dim(), want.dim(), "{what}: shape");
    let largest = want.iter().fold(1.0f64, |m, v| m.max(v.to_f64_exact().abs()));
    let epsilon = if T::NAME == "f32" { f64::from(f32::EPSILON) } else { f64::EPSILON };
    let tolerance = 4.0 * epsilon * (length.max(1) as f64) * largest;
    for ((index, g), w) in got.indexed_iter().zip(want) {
        let difference = (g.to_f64_exact() - w.to_f64_exact()).abs();
        assert!(
            difference <= tolerance,
            "{what}: at {index:?} got {g}, want {w} (difference {difference:e} > {tolerance:e})"
        );
    }
}

/// How a matrix lies in memory.
#[derive(Debug, Clone, Copy)]
pub enum Layout {
    RowMajor,
    ColumnMajor,
    /// Every second row and column of a larger matrix full of NaN.
    Strided,
    /// Both axes reversed.
    Reversed,
    /// Some columns out of a wider matrix: rows contiguous, with gaps between.
    Columns,
}

pub const LAYOUTS: [Layout; 5] =
    [Layout::RowMajor, Layout::ColumnMajor, Layout::Strided, Layout::Reversed, Layout::Columns];

/// Runs `work` on a view that has the values of `matrix` and the memory layout `layout`.
pub fn with_layout<T: Scalar, R>(
    matrix: &ArrayRef2<T>,
    layout: Layout,
    work: impl FnOnce(&mut ArrayRef2<T>) -> R,
) -> R {
    let (rows, cols) = matrix.dim();
    match layout {
        Layout::RowMajor => work(&mut matrix.to_owned()),
        Layout::ColumnMajor => {
            let mut f = Array2::from_elem((rows, cols).f(), T::nan());
            f.assign(matrix);
            work(&mut f)
        }
        Layout::Strided => {
            let mut big = Array2::from_elem((2 * rows + 1, 2 * cols + 1), T::nan());
            let mut view = big.slice_mut(s![1..2 * rows + 1; 2, 1..2 * cols + 1; 2]);
            view.assign(matrix);
            work(&mut view)
        }
        Layout::Reversed => {
            let mut big = Array2::from_elem((rows, cols), T::nan());
            let mut view = big.slice_mut(s![..;-1, ..;-1]);
            view.assign(matrix);
            work(&mut view)
        }
        Layout::Columns => {
            let mut big = Array2::from_elem((rows, cols + 3), T::nan());
            let mut view = big.slice_mut(s![.., 2..cols + 2]);
            view.assign(matrix);
            work(&mut view)
        }
    }
}
