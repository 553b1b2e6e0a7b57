//! The definitions, as plain loops.

use ndarray::{Array2, ArrayRef2, NdFloat};

use crate::{from_f64, to_f64};

/// The dense Kronecker product from the definition, `(a ⊗ b)[i·p + k, j·q + l] = a[i, j]·b[k, l]`.
///
/// # Examples
/// ```
/// use ndarray::array;
/// let k = lokr_testing::dense_kron(&array![[1.0, 2.0]], &array![[3.0], [4.0]]);
/// assert_eq!(k, array![[3.0, 6.0], [4.0, 8.0]]);
/// ```
pub fn dense_kron<T: NdFloat>(a: &ArrayRef2<T>, b: &ArrayRef2<T>) -> Array2<T> {
    let ((m, n), (p, q)) = (a.dim(), b.dim());
    let mut product = Array2::zeros((m * p, n * q));
    for i in 0..m {
        for j in 0..n {
            for k in 0..p {
                for l in 0..q {
                    product[[i * p + k, j * q + l]] = a[[i, j]] * b[[k, l]];
                }
            }
        }
    }
    product
}

/// A plain matrix product, three loops, summed in `f64` along the inner dimension.
///
/// # Panics
/// If the inner sizes differ.
pub fn dense_product<T: NdFloat>(a: &ArrayRef2<T>, b: &ArrayRef2<T>) -> Array2<T> {
    assert_eq!(a.ncols(), b.nrows(), "inner sizes");
    let wide = |matrix: &ArrayRef2<T>| Array2::from_shape_fn(matrix.dim(), |index| to_f64(matrix[index]));
    wide_product(&wide(a), &wide(b)).mapv(from_f64)
}

/// Row after row of `b`, so that the sums of a row are made side by side. Not generic: it is compiled here, once.
fn wide_product(a: &Array2<f64>, b: &Array2<f64>) -> Array2<f64> {
    let mut product = Array2::zeros((a.nrows(), b.ncols()));
    for (a, mut sums) in a.rows().into_iter().zip(product.rows_mut()) {
        for (&a, b) in a.iter().zip(b.rows()) {
            sums.iter_mut().zip(b).for_each(|(sum, &b)| *sum += a * b);
        }
    }
    product
}
