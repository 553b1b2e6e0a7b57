//! The singular value decomposition of a Kronecker product, held as those of its factors.

use std::sync::OnceLock;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewD, Axis};

use super::sorted::{descending, products};
use crate::decompose::{Scaled, scaled_thin_svd};
use crate::error::{KronError, Result};
use crate::memory;
use crate::operator::{Factor, FactorList, KronBase};
use crate::scalar::Scalar;

/// `A ⊗ B = (U_A ⊗ U_B)·(Σ_A ⊗ Σ_B)·(V_A ⊗ V_B)ᵀ`: the singular values of a product are the products of its factors'
/// singular values. Made by [`KronBase::svd`]; of two factors it is `KronSvd<T>`.
///
/// Values are sorted; singular vectors are formed one at a time, or stay lazy Kronecker products, whose columns are in
/// the unsorted order of the factors, as are the values of `grid()`. What functions of the singular values do
/// to samples, truncation among them, is [`KronSvd::apply_function`] and [`KronSvd::solve_within`].
///
/// # Zeros that are there by shape
/// Only as many triplets are held as the factors' rank bounds multiply to, [`Factor::rank_bound`]. A matrix of shape
/// `(m·p, n·q)` has `min(m·p, n·q)` singular values; the rest, [`KronSvd::structural_zeros`], are exactly zero. There
/// are some when one factor is tall and another wide, and when a low-rank factor's inner size is less than its sides.
///
/// # Examples
/// ```
/// # use lokr_core::{Kron, KronChain};
/// # use ndarray::array;
/// let a = array![[0.0, 3.0], [1.0, 0.0]];
/// let k = Kron::new(&a, array![[2.0], [0.0], [0.0]])?; // (6, 2)
/// let svd = k.svd()?;
/// assert!((svd.values()[0] - 6.0_f64).abs() < 1e-14 && (svd.values()[1] - 2.0).abs() < 1e-14);
/// assert_eq!(svd.pairs(), [(0, 0), (1, 0)]);
/// assert_eq!(svd.structural_zeros(), 0);
/// assert!((svd.reconstruct(1)?[[0, 1]] - 6.0).abs() < 1e-14); // 3·2, the one element of the larger value
///
/// let svd = KronChain::power(&a, 3)?.svd()?; // 27, 9, 9, 9, 3, 3, 3, 1
/// assert!((svd.values()[0] - 27.0_f64).abs() < 1e-13);
/// assert_eq!(svd.indices(7)?, [1, 1, 1]);
/// # Ok::<(), lokr_core::KronError>(())
/// ```
#[derive(Debug, Clone)]
pub struct KronSvd<T: Scalar, L: FactorList<Elem = T> = [Factor<'static, T>; 2]> {
    pub(super) left: KronBase<L>,
    pub(super) right: KronBase<L>,
    /// The singular values of each factor.
    pub(super) of_factors: Vec<Scaled<Array1<T>>>,
    pub(super) grid: Array1<T>,
    pub(super) values: Array1<T>,
    /// Where in the grid each value is.
    pub(super) places: Vec<usize>,
    pairs: OnceLock<Vec<(usize, usize)>>,
}

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// The singular value decomposition, for factors of any shape.
    ///
    /// # Cost
    /// One thin decomposition per factor, of two some times `m·n·min(m, n) + p·q·min(p, q)` flops (of the halves for a
    /// low-rank factor), and a sort of the products of their values, of two `min(m, n)·min(p, q)`. All of these are
    /// held; norms, rank and condition number of many factors do without.
    /// # Errors
    /// [`KronError::NonFinite`] when a factor holds a value that is not finite; [`KronError::NoConvergence`];
    /// [`KronError::OutOfMemory`] when many factors have more singular values than memory holds.
    pub fn svd(&self) -> Result<KronSvd<T, L::Like<'static, T>>> {
        self.svd_for("svd")
    }

    /// [`KronBase::svd`] for an operation of that name.
    pub(super) fn svd_for(&self, operation: &'static str) -> Result<KronSvd<T, L::Like<'static, T>>> {
        let ((rows, cols), held) = (self.dim(), self.factors().iter().map(Factor::rank_bound).product());
        let (mut right, mut of_factors) = (Vec::new(), Vec::new());
        let left = self.try_map((rows, held), |name, factor| {
            let Scaled { result: svd, power } = scaled_thin_svd(operation, name, factor)?;
            right.push(svd.v);
            of_factors.push(Scaled { result: svd.s, power });
            Ok(svd.u.into())
        })?;
        let mut right = right.into_iter();
        let right =
            self.try_map((cols, held), |_, _| Ok(right.next().unwrap_or_else(|| Array2::zeros((0, 0))).into()))?;
        let mut grid = memory::list(operation, held)?;
        grid.extend(products(operation, &of_factors)?.into_iter().map(|value| value.value()));
        let grid = Array1::from_vec(grid);
        let places = descending(operation, &grid)?;
        let mut values = memory::list(operation, held)?;
        values.extend(places.iter().map(|&place| grid[place]));
        let values = Array1::from_vec(values);
        Ok(KronSvd { left, right, of_factors, grid, values, places, pairs: OnceLock::new() })
    }
}

impl<T: Scalar> KronSvd<T> {
    /// The singular values held, not sorted: that of column `i·rank_bound(B) + j` of the vectors at `[i, j]`.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 0.0], [0.0, 4.0]], array![[3.0, 0.0], [0.0, 2.0]])?;
    /// let svd = k.svd()?;
    /// assert!((&svd.grid() - &array![[12.0, 8.0], [3.0, 2.0_f64]]).iter().all(|x| x.abs() < 1e-14));
    /// let (u, v) = (svd.left()?.to_dense(), svd.right()?.to_dense());
    /// let difference = (u * &svd.grid().flatten()).dot(&v.t()) - k.to_dense();
    /// assert!(difference.iter().all(|x| x.abs() < 1e-14));
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn grid(&self) -> ArrayView2<'_, T> {
        let sides = (self.left.a().ncols(), self.left.b().ncols());
        let grid = self.grid.view().into_shape_with_order(sides);
        // There are as many values as the sides say.
        grid.unwrap_or_else(|_| self.grid.view().insert_axis(Axis(0)))
    }

    /// For each value, which singular values of `A` and of `B` it is the product of. Equal values keep the order of
    /// their pairs. Of any number of factors: [`KronSvd::indices`].
    #[must_use]
    pub fn pairs(&self) -> &[(usize, usize)] {
        let of_b = self.right.b().ncols();
        self.pairs.get_or_init(|| self.places.iter().map(|&place| (place / of_b, place % of_b)).collect())
    }
}

impl<T: Scalar> KronSvd<T, Vec<Factor<'static, T>>> {
    /// The singular values held, not sorted, with an axis for each factor: read row by row, in the order of the columns
    /// of the vectors.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::KronChain;
    /// # use ndarray::{Array2, array};
    /// let svd = KronChain::new([array![[2.0]], array![[1.0, 0.0], [0.0, 4.0]], array![[3.0]]])?.svd()?;
    /// assert!((svd.grid()[[0, 0, 0]] - 24.0_f64).abs() < 1e-13);
    /// assert!((svd.grid()[[0, 1, 0]] - 6.0_f64).abs() < 1e-13);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn grid(&self) -> ArrayViewD<'_, T> {
        let sides: Vec<usize> = self.left.factors().iter().map(Factor::ncols).collect();
        // There are as many values as the sides say.
        self.grid.view().into_shape_with_order(sides).unwrap_or_else(|_| self.grid.view().into_dyn())
    }
}

impl<T: Scalar, L: FactorList<Elem = T>> KronSvd<T, L> {
    /// Shape of the decomposed product, `(m·p, n·q)`.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        (self.left.nrows(), self.right.nrows())
    }

    /// The singular values held, descending. [`KronSvd::structural_zeros`] more are exactly zero.
    #[must_use]
    pub fn values(&self) -> ArrayView1<'_, T> {
        self.values.view()
    }

    /// Which singular value of each factor the `index`-th value is the product of. Equal values keep the order of their
    /// indices.
    ///
    /// # Errors
    /// [`KronError::OutOfBounds`] when fewer values are held.
    pub fn indices(&self, index: usize) -> Result<Vec<usize>> {
        let mut place = self.place("indices", index)?;
        let mut indices: Vec<usize> = Vec::with_capacity(self.of_factors.len());
        for values in self.of_factors.iter().rev() {
            let length = values.result.len();
            indices.push(place % length);
            place /= length;
        }
        indices.reverse();
        Ok(indices)
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
    /// [`KronError::OutOfBounds`] when fewer values are held; [`KronError::TooLarge`] when the memory is refused.
    pub fn left_vector(&self, index: usize) -> Result<Array1<T>> {
        self.left.column(self.place("left_vector", index)?)
    }

    /// The right singular vector of the `index`-th value, `n·q` long.
    ///
    /// # Errors
    /// [`KronError::OutOfBounds`] when fewer values are held; [`KronError::TooLarge`] when the memory is refused.
    pub fn right_vector(&self, index: usize) -> Result<Array1<T>> {
        self.right.column(self.place("right_vector", index)?)
    }

    /// `U_A ⊗ U_B`, orthonormal columns. They are not sorted but in the order of `grid()`: of two factors, the
    /// one of the `index`-th value is `i·rank_bound(B) + j` with `(i, j) = pairs()[index]`.
    ///
    /// # Errors
    /// [`KronError::EmptyFactor`] when a low-rank factor has inner size zero and so no singular vectors.
    pub fn left(&self) -> Result<KronBase<L::Like<'_, T>>> {
        self.left.view().checked()
    }

    /// `V_A ⊗ V_B`, orthonormal columns in the order of [`KronSvd::left`].
    ///
    /// # Errors
    /// [`KronError::EmptyFactor`] when a low-rank factor has inner size zero and so no singular vectors.
    pub fn right(&self) -> Result<KronBase<L::Like<'_, T>>> {
        self.right.view().checked()
    }

    /// The place of the `index`-th value in the grid.
    fn place(&self, operation: &'static str, index: usize) -> Result<usize> {
        self.places.get(index).copied().ok_or_else(|| self.out_of_bounds(operation, index))
    }

    pub(super) fn out_of_bounds(&self, operation: &'static str, index: usize) -> KronError {
        let held = self.values.len();
        KronError::OutOfBounds { operation, row: index, col: index, shape: (held, held) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decompose::reference;
    use crate::operator::{Kron, KronChain};
    use crate::test_support::{all_chains, all_close, cases, close, kron_of, stretched};
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

    fn chains_agree_with_the_dense_decomposition<T: Scalar>(large: f64) {
        for (chain, dense) in all_chains::<T>() {
            let expected = reference::singular_values(&dense);
            let scale = T::from_usize_lossy(8 * dense.len());
            for unit in [1.0, large, 1.0 / large].map(T::from_f64_lossy) {
                let svd = stretched(&chain, unit).svd().unwrap();
                let unit = if chain.factors().len() % 2 == 0 { T::one() } else { unit };
                assert_eq!((svd.dim(), svd.grid().len()), (dense.dim(), svd.values().len()));
                assert!(svd.grid().shape().iter().copied().eq(chain.factors().iter().map(Factor::rank_bound)));
                let mut values = svd.values().to_vec();
                values.resize(values.len() + svd.structural_zeros(), T::zero());
                assert_eq!(values.len(), expected.len());
                values.iter().zip(&expected).for_each(|(&found, &expected)| close(found / unit, expected, scale));

                let (left, right) = (svd.left().unwrap(), svd.right().unwrap());
                let product = (left.to_dense().unwrap() * &svd.grid / unit).dot(&right.to_dense().unwrap().t());
                all_close(&product, &dense, scale);
                let gram = left.transposed().matmul(&left).unwrap().to_dense().unwrap();
                all_close(&gram, &Array2::eye(svd.values().len()), scale);
                for (index, &value) in svd.values().indexed_iter() {
                    let indices = svd.indices(index).unwrap();
                    let place = indices.iter().zip(chain.factors());
                    let place = place.fold(0, |place, (index, factor)| place * factor.rank_bound() + index);
                    assert_eq!(svd.grid[place], value);
                    assert_eq!(svd.grid()[indices.as_slice()], value);
                    assert_eq!(svd.left_vector(index), left.column(place));
                    assert_eq!(svd.right_vector(index), right.column(place));
                }
                let all = svd.reconstruct(svd.values().len()).unwrap() / unit;
                all_close(&all, &dense, scale);
                let error = (&dense - &(svd.reconstruct(1).unwrap() / unit)).iter().map(|&x| x * x).sum::<T>().sqrt();
                close(error, svd.truncation_error(1) / unit, scale);
            }
        }
    }

    #[test]
    fn chains_agree_with_the_dense_decomposition_at_every_scale() {
        chains_agree_with_the_dense_decomposition::<f32>(1e30);
        chains_agree_with_the_dense_decomposition::<f64>(1e200);
    }

    #[test]
    fn parts_of_values_that_leave_the_range_come_back_into_it() {
        let diagonal = |first: f64, second: f64| Array2::from_diag(&array![first, second]);
        let (large, small) = (diagonal(1e200, 1.0), diagonal(1e-200, 1e-250));
        let svd = KronChain::new([&large, &large, &small, &small]).unwrap().svd().unwrap();
        close(svd.values()[0], 1.0, 4.0);
        close(svd.values()[1] * 1e50, 1.0, 4.0); // 1e200·1e200·1e-200·1e-250
        close(svd.values()[5] * 1e200, 1.0, 4.0); // 1·1e200·1e-200·1e-200
    }

    #[test]
    fn more_values_than_memory_holds_are_an_error() {
        let eye = Array2::<f64>::eye(2);
        let error = KronChain::power(&eye, 58).unwrap().svd().unwrap_err();
        assert!(matches!(error, KronError::OutOfMemory { operation: "svd", .. }), "{error}");
        let bad = KronChain::new([array![[1.0]], array![[1.0]], array![[f64::NAN]]]).unwrap();
        let error = KronError::NonFinite { operation: "svd", argument: "A₃", count: 1 };
        assert_eq!(bad.svd().err(), Some(error));
        let svd = KronChain::power(&eye, 3).unwrap().svd().unwrap();
        let error = KronError::OutOfBounds { operation: "indices", row: 8, col: 8, shape: (8, 8) };
        assert_eq!(svd.indices(8), Err(error));
        assert_eq!(svd.indices(5), Ok(vec![1, 0, 1]));
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
        assert_eq!((svd.values().len(), svd.structural_zeros(), svd.grid().dim()), (0, 4, (2, 0)));
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
        let infinite = Kron::new(array![[f64::INFINITY]], array![[1.0]]).unwrap();
        assert_eq!(infinite.svd().err(), Some(KronError::NonFinite { operation: "svd", argument: "A", count: 1 }));
    }
}
