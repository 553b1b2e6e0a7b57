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

/// A plain matrix product, three loops, summed in `f64`.
///
/// # Panics
/// If the inner sizes differ.
pub fn dense_product<T: NdFloat>(a: &ArrayRef2<T>, b: &ArrayRef2<T>) -> Array2<T> {
    assert_eq!(a.ncols(), b.nrows(), "inner sizes");
    Array2::from_shape_fn((a.nrows(), b.ncols()), |(i, j)| {
        from_f64((0..a.ncols()).map(|k| to_f64(a[[i, k]]) * to_f64(b[[k, j]])).sum())
    })
}
