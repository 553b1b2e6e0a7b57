//! The singular value decomposition of a Kronecker product, held as those of its factors.

use ndarray::{Array1, Array2, ArrayView1, s};

use super::sorted::{Sort, kron_vector, sorted};
use crate::decompose::{Scaled, ThinSvd, scaled_thin_svd};
use crate::error::{KronError, Result};
use crate::gemm::{Threads, matmul};
use crate::operator::Kron;
use crate::scalar::Scalar;

/// `A ⊗ B = (U_A ⊗ U_B)·(Σ_A ⊗ Σ_B)·(V_A ⊗ V_B)ᵀ`: the singular values of a product are the products of its factors'
/// singular values. Made by [`Kron::svd`].
///
/// Values are sorted; singular vectors are formed one at a time, or stay lazy Kronecker products, whose columns are in
/// the unsorted order of the factors.
///
/// # Zeros that are there by shape
/// Only `rank_bound(A)·rank_bound(B)` triplets are held. A matrix of shape `(m·p, n·q)` has `min(m·p, n·q)` singular
/// values; the rest, [`KronSvd::structural_zeros`], are exactly zero. There are some when one factor is tall and the
/// other wide, and when a low-rank factor's inner size is less than its sides.
///
/// # Examples
/// ```
/// # use lokr_core::Kron;
/// # use ndarray::array;
/// let k = Kron::new(array![[0.0, 3.0], [1.0, 0.0]], array![[2.0], [0.0], [0.0]])?; // (6, 2)
/// let svd = k.svd()?;
/// assert!((svd.values()[0] - 6.0_f64).abs() < 1e-14 && (svd.values()[1] - 2.0).abs() < 1e-14);
/// assert_eq!(svd.pairs(), [(0, 0), (1, 0)]);
/// assert_eq!(svd.structural_zeros(), 0);
/// assert!((svd.reconstruct(1)?[[0, 1]] - 6.0).abs() < 1e-14); // 3·2, the one element of the larger value
/// # Ok::<(), lokr_core::KronError>(())
/// ```
#[derive(Debug, Clone)]
pub struct KronSvd<T> {
    a: ThinSvd<T>,
    b: ThinSvd<T>,
    values: Array1<T>,
    pairs: Vec<(usize, usize)>,
}

impl<T: Scalar> Kron<'_, T> {
    /// The singular value decomposition, for factors of any shape.
    ///
    /// # Cost
    /// One thin decomposition per factor, some times `m·n·min(m, n) + p·q·min(p, q)` flops (of the halves for a
    /// low-rank factor), and a sort of `min(m, n)·min(p, q)` products.
    /// # Errors
    /// [`KronError::NonFinite`] when a factor holds a value that is not finite; [`KronError::NoConvergence`].
    pub fn svd(&self) -> Result<KronSvd<T>> {
        let Scaled { result: a, power: of_a } = scaled_thin_svd("svd", "A", self.a())?;
        let Scaled { result: b, power: of_b } = scaled_thin_svd("svd", "B", self.b())?;
        let power = of_a.and(of_b);
        let grid = Array2::from_shape_fn((a.s.len(), b.s.len()), |(i, j)| power.times(a.s[i] * b.s[j]));
        let (values, pairs) = sorted(&grid, Sort::Descending);
        Ok(KronSvd { a, b, values, pairs })
    }
}

impl<T: Scalar> KronSvd<T> {
    /// Shape of the decomposed product, `(m·p, n·q)`.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        (self.a.u.nrows() * self.b.u.nrows(), self.a.v.nrows() * self.b.v.nrows())
    }

    /// The singular values held, descending. [`KronSvd::structural_zeros`] more are exactly zero.
    #[must_use]
    pub fn values(&self) -> ArrayView1<'_, T> {
        self.values.view()
    }

    /// For each value, which singular values of `A` and of `B` it is the product of. Equal values keep the order of
    /// their pairs.
    #[must_use]
    pub fn pairs(&self) -> &[(usize, usize)] {
        &self.pairs
    }

    /// How many of the `min(m·p, n·q)` singular values are zero whatever the factors hold.
    #[must_use]
    pub fn structural_zeros(&self) -> usize {
        let (rows, cols) = self.dim();
        rows.min(cols) - self.values.len()
    }

    /// The left singular vector of the `index`-th value, `m·p` long: a column of `U_A` times one of `U_B`.
    ///
    /// # Errors
    /// [`KronError::OutOfBounds`] when fewer values are held.
    pub fn left_vector(&self, index: usize) -> Result<Array1<T>> {
        let (i, j) = self.pair("left_vector", index)?;
        Ok(kron_vector(self.a.u.column(i), self.b.u.column(j)))
    }

    /// The right singular vector of the `index`-th value, `n·q` long.
    ///
    /// # Errors
    /// [`KronError::OutOfBounds`] when fewer values are held.
    pub fn right_vector(&self, index: usize) -> Result<Array1<T>> {
        let (i, j) = self.pair("right_vector", index)?;
        Ok(kron_vector(self.a.v.column(i), self.b.v.column(j)))
    }

    /// `U_A ⊗ U_B`, orthonormal columns. Its columns are not sorted: the one of the `index`-th value is
    /// `i·rank_bound(B) + j` with `(i, j) = pairs()[index]`.
    ///
    /// # Errors
    /// [`KronError::EmptyFactor`] when a low-rank factor has inner size zero and so no singular vectors.
    pub fn left(&self) -> Result<Kron<'_, T>> {
        Kron::new(&self.a.u, &self.b.u)
    }

    /// `V_A ⊗ V_B`, orthonormal columns in the order of [`KronSvd::left`].
    ///
    /// # Errors
    /// [`KronError::EmptyFactor`] when a low-rank factor has inner size zero and so no singular vectors.
    pub fn right(&self) -> Result<Kron<'_, T>> {
        Kron::new(&self.a.v, &self.b.v)
    }

    /// The best approximation of rank `k` in the 2-norm and the Frobenius norm (Eckart & Young), as two halves
    /// `(m·p, k)` and `(k, n·q)`: a LoRA adapter. The root of each singular value goes to either side.
    ///
    /// # Cost
    /// `k·(m·p + n·q)` flops and as much memory. The product is not formed.
    /// # Errors
    /// [`KronError::OutOfBounds`] when fewer than `k` values are held; with all of them the halves are exact.
    pub fn low_rank(&self, k: usize) -> Result<(Array2<T>, Array2<T>)> {
        if k > self.values.len() {
            return Err(self.out_of_bounds("low_rank", k));
        }
        let (rows, cols) = self.dim();
        let (mut left, mut right) = (Array2::zeros((rows, k)), Array2::zeros((k, cols)));
        for (index, &(i, j)) in self.pairs[..k].iter().enumerate() {
            let root = self.values[index].sqrt();
            left.column_mut(index).assign(&(kron_vector(self.a.u.column(i), self.b.u.column(j)) * root));
            right.row_mut(index).assign(&(kron_vector(self.a.v.column(i), self.b.v.column(j)) * root));
        }
        Ok((left, right))
    }

    /// The best approximation of rank `k` as a dense matrix, `(m·p, n·q)`.
    ///
    /// # Cost
    /// `2·k·m·p·n·q` flops, and the memory of the product.
    /// # Errors
    /// [`KronError::OutOfBounds`] when fewer than `k` values are held.
    pub fn reconstruct(&self, k: usize) -> Result<Array2<T>> {
        if k > self.values.len() {
            return Err(self.out_of_bounds("reconstruct", k));
        }
        let (left, right) = self.low_rank(k)?;
        Ok(matmul(left.view(), right.view(), Threads::All))
    }

    /// The Frobenius norm of what the best approximation of rank `k` leaves out: the root of the sum of the remaining
    /// squared singular values. Zero when `k` is at least their number.
    #[must_use]
    pub fn truncation_error(&self, k: usize) -> T {
        let rest = self.values.slice(s![k.min(self.values.len())..]);
        let Some(&scale) = rest.first().filter(|&&largest| largest > T::zero()) else { return T::zero() };
        scale * rest.iter().map(|&value| (value / scale) * (value / scale)).sum::<T>().sqrt()
    }

    fn pair(&self, operation: &'static str, index: usize) -> Result<(usize, usize)> {
        self.pairs.get(index).copied().ok_or_else(|| self.out_of_bounds(operation, index))
    }

    fn out_of_bounds(&self, operation: &'static str, index: usize) -> KronError {
        let held = self.values.len();
        KronError::OutOfBounds { operation, row: index, col: index, shape: (held, held) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decompose::reference;
    use crate::operator::Factor;
    use crate::test_support::{all_close, cases, close, kron_of};
    use lokr_testing::matrix;
    use ndarray::array;

    fn agrees_with_the_dense_decomposition<T: Scalar>() {
        for (k, dense) in cases::<T>(&[(3, 2, 5, 7), (1, 4, 3, 1), (2, 5, 3, 4), (4, 3, 2, 2), (1, 1, 1, 1)]) {
            let svd = k.svd().unwrap();
            let (rows, cols) = dense.dim();
            let scale = T::from_usize_lossy(rows * cols);
            assert_eq!(svd.dim(), dense.dim());

            let mut values = svd.values().to_vec();
            values.resize(values.len() + svd.structural_zeros(), T::zero());
            let expected = reference::singular_values(&dense);
            assert_eq!(values.len(), expected.len());
            values.iter().zip(&expected).for_each(|(&found, &expected)| close(found, expected, scale));

            // Every triplet by its definition, K·v = σ·u and Kᵀ·u = σ·v.
            for (index, &value) in svd.values().indexed_iter() {
                let (u, v) = (svd.left_vector(index).unwrap(), svd.right_vector(index).unwrap());
                let (ku, kv) = (dense.t().dot(&u), dense.dot(&v));
                kv.iter().zip(&u).for_each(|(&kv, &u)| close(kv, value * u, scale));
                ku.iter().zip(&v).for_each(|(&ku, &v)| close(ku, value * v, scale));
            }

            // The lazy vectors: orthonormal, and the same columns in another order.
            let (left, right) = (svd.left().unwrap().to_dense(), svd.right().unwrap().to_dense());
            all_close(&left.t().dot(&left), &Array2::eye(values.len() - svd.structural_zeros()), scale);
            all_close(&right.t().dot(&right), &Array2::eye(values.len() - svd.structural_zeros()), scale);
            for (index, &(i, j)) in svd.pairs().iter().enumerate() {
                let column = i * k.b().rank_bound() + j;
                assert_eq!(svd.left_vector(index).unwrap(), left.column(column));
                assert_eq!(svd.right_vector(index).unwrap(), right.column(column));
            }

            for rank in 0..=svd.values().len() {
                let error = &dense - &svd.reconstruct(rank).unwrap();
                let norm = error.iter().map(|&x| x * x).sum::<T>().sqrt();
                close(norm, svd.truncation_error(rank), scale);
                let rest: T = expected[rank..].iter().map(|&x| x * x).sum();
                close(norm, rest.sqrt(), scale);
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_decomposition() {
        agrees_with_the_dense_decomposition::<f32>();
        agrees_with_the_dense_decomposition::<f64>();
    }

    #[test]
    fn zeros_by_shape_are_counted() {
        let zeros = |k: Kron<'_, f64>| k.svd().unwrap().structural_zeros();
        assert_eq!(zeros(kron_of(5, 2, 7, 3)), 0); // both tall
        assert_eq!(zeros(kron_of(5, 2, 3, 7)), 14 - 2 * 3); // tall and wide: (15, 14)
        let low = Factor::low_rank(matrix(6, 2, 1), matrix(2, 5, 2)).unwrap();
        assert_eq!(zeros(Kron::new(matrix(3, 3, 3), low).unwrap()), 15 - 3 * 2);
    }

    #[test]
    fn halves_have_equal_weight() {
        let (left, right) = kron_of::<f64>(3, 2, 2, 5).svd().unwrap().low_rank(3).unwrap();
        assert_eq!((left.dim(), right.dim()), ((6, 3), (3, 10)));
        for r in 0..3 {
            close(left.column(r).dot(&left.column(r)), right.row(r).dot(&right.row(r)), 10.0);
        }
    }

    #[test]
    fn equal_values_keep_the_order_of_their_pairs() {
        let eye = Array2::<f64>::eye(2);
        let svd = Kron::new(&eye, &eye).unwrap().svd().unwrap();
        assert_eq!(svd.pairs(), [(0, 0), (0, 1), (1, 0), (1, 1)]);
    }

    #[test]
    fn zero_matrices_and_inner_size_zero() {
        let svd = Kron::new(Array2::<f64>::zeros((2, 3)), matrix(2, 2, 1)).unwrap().svd().unwrap();
        assert_eq!(svd.values(), array![0.0, 0.0, 0.0, 0.0]);
        assert_eq!(svd.truncation_error(0), 0.0);
        let none = Factor::low_rank(Array2::<f64>::zeros((3, 0)), Array2::zeros((0, 2))).unwrap();
        let svd = Kron::new(matrix(2, 2, 1), none).unwrap().svd().unwrap();
        assert_eq!((svd.values().len(), svd.structural_zeros()), (0, 4));
        assert_eq!(svd.reconstruct(0).unwrap(), Array2::zeros((6, 4)));
        assert!(matches!(svd.left(), Err(KronError::EmptyFactor { name: "B", rows: 3, cols: 0 })));
        assert!(matches!(svd.right(), Err(KronError::EmptyFactor { name: "B", rows: 2, cols: 0 })));
    }

    #[test]
    fn indices_beyond_the_values_are_errors() {
        let svd = kron_of::<f64>(3, 1, 2, 5).svd().unwrap(); // (6, 5), two values
        let error = |operation, index| KronError::OutOfBounds { operation, row: index, col: index, shape: (2, 2) };
        assert_eq!(svd.left_vector(2), Err(error("left_vector", 2)));
        assert_eq!(svd.right_vector(4), Err(error("right_vector", 4)));
        assert_eq!(svd.low_rank(3), Err(error("low_rank", 3)));
        assert_eq!(svd.reconstruct(3), Err(error("reconstruct", 3)));
        assert_eq!(svd.truncation_error(9), 0.0);
        let infinite = Kron::new(array![[f64::INFINITY]], array![[1.0]]).unwrap();
        assert_eq!(infinite.svd().err(), Some(KronError::NonFinite { operation: "svd", argument: "A", count: 1 }));
    }
}
