//! One factor of a Kronecker product: a full matrix, or a low-rank product of two.

use ndarray::{Array2, ArrayBase, ArrayView2, CowArray, CowRepr, Ix2};

use crate::error::{KronError, Result};
use crate::gemm::{Threads, matmul};
use crate::scalar::Scalar;

/// `CowArray<'a, T, Ix2>`, written out: behind the name the compiler does not see that a longer borrow can stand for a
/// shorter one.
type Matrix<'a, T> = ArrayBase<CowRepr<'a, T>, Ix2, T>;

/// A factor of shape `(rows, cols)`, borrowed or owned: a full matrix, or `left · right` of rank at most `r`.
///
/// A full factor is made by `From` from an array that is owned, shared (`ArcArray2`) or copy-on-write, from a view or a
/// reference; a low-rank one by [`Factor::low_rank`].
///
/// # Examples
/// ```
/// use lokr_core::Factor;
/// use ndarray::array;
///
/// let b = Factor::low_rank(array![[1.0], [2.0]], array![[3.0, 4.0]])?; // (2, 1)·(1, 2)
/// assert_eq!(b.dim(), (2, 2));
/// assert_eq!(b.parameter_count(), 4);
/// assert_eq!(b.to_dense(), array![[3.0, 4.0], [6.0, 8.0]]);
/// # Ok::<(), lokr_core::KronError>(())
/// ```
#[derive(Clone)]
pub enum Factor<'a, T> {
    /// A full matrix.
    Full(Matrix<'a, T>),
    /// The product `left · right`.
    LowRank(LowRank<'a, T>),
}

/// The two halves of a low-rank factor: `left (rows, r)`, `right (r, cols)`. Their shapes agree by construction.
#[derive(Clone)]
pub struct LowRank<'a, T> {
    pub(super) left: Matrix<'a, T>,
    pub(super) right: Matrix<'a, T>,
}

impl<'a, T: Scalar> LowRank<'a, T> {
    /// The left half, `(rows, r)`.
    #[must_use]
    pub fn left(&self) -> ArrayView2<'_, T> {
        self.left.view()
    }

    /// The right half, `(r, cols)`.
    #[must_use]
    pub fn right(&self) -> ArrayView2<'_, T> {
        self.right.view()
    }

    /// The inner size `r`.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.left.ncols()
    }

    /// The factor of the same halves with every element passed through a function.
    pub(crate) fn mapped<'b>(&self, left: impl Fn(T) -> T, right: impl Fn(T) -> T) -> Factor<'b, T> {
        let (left, right) = (self.left.mapv(left), self.right.mapv(right));
        Factor::LowRank(LowRank { left: CowArray::from(left), right: CowArray::from(right) })
    }

    /// The halves back, `(left, right)`, as they came in: an owned one stays owned, a borrowed one borrowed. Nothing is
    /// copied.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::Factor;
    /// # use ndarray::array;
    /// let right = array![[3.0, 4.0]];
    /// if let Factor::LowRank(low) = Factor::low_rank(array![[1.0], [2.0]], &right)? {
    ///     let (left, right) = low.into_parts();
    ///     assert!(left.is_owned() && right.is_view());
    /// }
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn into_parts(self) -> (CowArray<'a, T, Ix2>, CowArray<'a, T, Ix2>) {
        (self.left, self.right)
    }
}

impl<'a, T: Scalar> Factor<'a, T> {
    /// A factor held as `left · right`, each from whatever a [`Factor`] is made of. (A half that is itself low-rank is
    /// multiplied out.)
    ///
    /// # Errors
    /// [`KronError::InnerRank`] when the columns of `left` are not as many as the rows of `right`.
    pub fn low_rank(left: impl Into<Factor<'a, T>>, right: impl Into<Factor<'a, T>>) -> Result<Self> {
        let (left, right) = (left.into().into_matrix(), right.into().into_matrix());
        if left.ncols() != right.nrows() {
            return Err(KronError::InnerRank { left: left.dim(), right: right.dim() });
        }
        Ok(Self::LowRank(LowRank { left, right }))
    }

    /// Shape `(rows, cols)` of the matrix this factor stands for.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        match self {
            Self::Full(matrix) => matrix.dim(),
            Self::LowRank(low) => (low.left.nrows(), low.right.ncols()),
        }
    }

    /// Values held.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        match self {
            Self::Full(matrix) => matrix.len(),
            Self::LowRank(low) => low.left.len() + low.right.len(),
        }
    }

    /// The largest rank the factor's shape allows: the smaller side, or the inner size of a low-rank factor where that
    /// is less still.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::Factor;
    /// # use ndarray::Array2;
    /// let b = Factor::low_rank(Array2::<f32>::zeros((5, 2)), Array2::zeros((2, 7)))?;
    /// assert_eq!(b.rank_bound(), 2);
    /// assert_eq!(Factor::from(b.to_dense()).rank_bound(), 5);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn rank_bound(&self) -> usize {
        let (rows, cols) = self.dim();
        match self {
            Self::Full(_) => rows.min(cols),
            Self::LowRank(low) => rows.min(cols).min(low.rank()),
        }
    }

    /// The matrix itself: borrowed when full, formed (`2·rows·r·cols` flops) when low-rank.
    #[must_use]
    pub fn dense(&self) -> CowArray<'_, T, Ix2> {
        match self {
            Self::Full(matrix) => CowArray::from(matrix.view()),
            Self::LowRank(low) => CowArray::from(matmul(low.left(), low.right(), Threads::All)),
        }
    }

    /// The matrix itself, in an array of its own.
    #[must_use]
    pub fn to_dense(&self) -> Array2<T> {
        self.dense().into_owned()
    }

    /// The matrix itself in an array of its own, without a copy when it is held as one.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::Factor;
    /// # use ndarray::array;
    /// let matrix = array![[1.0, 2.0]];
    /// let address = matrix.as_ptr();
    /// assert_eq!(Factor::from(matrix).into_dense().as_ptr(), address);
    /// ```
    #[must_use]
    pub fn into_dense(self) -> Array2<T> {
        self.into_matrix().into_owned()
    }

    /// The matrix itself: what is held when full, formed when low-rank.
    pub(super) fn into_matrix(self) -> CowArray<'a, T, Ix2> {
        match self {
            Self::Full(matrix) => matrix,
            Self::LowRank(low) => CowArray::from(matmul(low.left(), low.right(), Threads::All)),
        }
    }

    /// One element, `2·r` flops when low-rank; `None` outside the shape.
    #[must_use]
    pub fn get(&self, row: usize, col: usize) -> Option<T> {
        match self {
            Self::Full(matrix) => matrix.get((row, col)).copied(),
            Self::LowRank(low) => {
                let (rows, cols) = self.dim();
                (row < rows && col < cols).then(|| low.left.row(row).dot(&low.right.column(col)))
            }
        }
    }

    /// The transpose, borrowed from this factor: `(left·right)ᵀ = rightᵀ·leftᵀ`.
    #[must_use]
    pub fn transposed(&self) -> Factor<'_, T> {
        match self {
            Self::Full(matrix) => Factor::Full(CowArray::from(matrix.t())),
            Self::LowRank(low) => {
                Factor::LowRank(LowRank { left: CowArray::from(low.right.t()), right: CowArray::from(low.left.t()) })
            }
        }
    }

    /// The same factor, borrowed.
    #[must_use]
    pub fn view(&self) -> Factor<'_, T> {
        match self {
            Self::Full(matrix) => Factor::Full(CowArray::from(matrix.view())),
            Self::LowRank(low) => Factor::LowRank(LowRank {
                left: CowArray::from(low.left.view()),
                right: CowArray::from(low.right.view()),
            }),
        }
    }

    /// The same factor in arrays of its own, free of the borrow.
    #[must_use]
    pub fn into_owned(self) -> Factor<'static, T> {
        match self {
            Self::Full(matrix) => Factor::Full(CowArray::from(matrix.into_owned())),
            Self::LowRank(low) => Factor::LowRank(LowRank {
                left: CowArray::from(low.left.into_owned()),
                right: CowArray::from(low.right.into_owned()),
            }),
        }
    }

    /// The stored matrices, in the order of their product: one when full, `[left, right]` when low-rank.
    pub fn parts(&self) -> impl Iterator<Item = ArrayView2<'_, T>> {
        let (first, second) = match self {
            Self::Full(matrix) => (matrix.view(), None),
            Self::LowRank(low) => (low.left.view(), Some(low.right.view())),
        };
        std::iter::once(first).chain(second)
    }

    /// The stored matrices, writable, in the order of [`Factor::parts`]. A borrowed matrix is copied first.
    pub fn parts_mut(&mut self) -> impl Iterator<Item = ndarray::ArrayViewMut2<'_, T>> {
        let (first, second) = match self {
            Self::Full(matrix) => (matrix.view_mut(), None),
            Self::LowRank(low) => (low.left.view_mut(), Some(low.right.view_mut())),
        };
        std::iter::once(first).chain(second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn mismatched_halves_name_both_shapes() {
        let error = Factor::low_rank(array![[1.0, 2.0]], array![[1.0, 2.0]]).unwrap_err();
        assert_eq!(error, KronError::InnerRank { left: (1, 2), right: (1, 2) });
    }

    #[test]
    fn low_rank_element_and_transpose_agree_with_the_dense_matrix() {
        let f = Factor::low_rank(array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], array![[1.0, -1.0], [0.5, 2.0]]).unwrap();
        let dense = f.to_dense();
        assert_eq!(f.transposed().to_dense(), dense.t());
        for ((i, j), &v) in dense.indexed_iter() {
            assert_eq!(f.get(i, j), Some(v));
        }
        assert_eq!(f.get(3, 0), None);
        assert_eq!(f.get(0, 2), None);
    }
}
