//! The lazy product `A ⊗ B`: two factors that behave like the matrix they stand for.

use std::ops::Range;

use ndarray::parallel::prelude::*;
use ndarray::{Array1, Array2, ArrayRef2, ArrayView2, ArrayViewMut2, Axis, CowArray, Ix2};

use super::Factor;
use crate::error::{KronError, Result};
use crate::gemm::kernel::add_row;
use crate::scalar::Scalar;
use crate::shape::KronShape;

/// The operator `A ⊗ B`, `(m·p, n·q)`, held as its factors `A (m, n)` and `B (p, q)`, each borrowed or owned, full or
/// low-rank. The product is formed only where a method says so.
///
/// `(A ⊗ B)[i·p + k, j·q + l] = A[i, j]·B[k, l]`: the outer index belongs to `A`.
///
/// # Examples
/// ```
/// use lokr_core::Kron;
/// use ndarray::array;
///
/// let a = array![[1.0, 2.0]]; // (1, 2)
/// let b = array![[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]; // (3, 2)
/// let k = Kron::new(&a, &b)?; // (3, 4)
/// let x = array![[1.0, 2.0, 3.0, 4.0]];
/// assert_eq!(k.apply(&x)?, array![[7.0, 10.0, 17.0]]); // worked by hand
/// assert_eq!(k.apply(&x)?, x.dot(&k.to_dense().t())); // the slow way
/// # Ok::<(), lokr_core::KronError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Kron<'a, T> {
    a: Factor<'a, T>,
    b: Factor<'a, T>,
    shape: KronShape,
}

impl<'a, T: Scalar> Kron<'a, T> {
    /// The product of two factors. Nothing is computed or copied.
    ///
    /// # Errors
    /// [`KronError::EmptyFactor`] for a factor without rows or columns, [`KronError::TooLarge`] when the product's
    /// element count overflows.
    pub fn new(a: impl Into<Factor<'a, T>>, b: impl Into<Factor<'a, T>>) -> Result<Self> {
        let (a, b) = (a.into(), b.into());
        let ((m, n), (p, q)) = (a.dim(), b.dim());
        Ok(Self { shape: KronShape::new(m, n, p, q)?, a, b })
    }

    /// The first factor, `(m, n)`.
    #[must_use]
    pub fn a(&self) -> &Factor<'a, T> {
        &self.a
    }

    /// The second factor, `(p, q)`.
    #[must_use]
    pub fn b(&self) -> &Factor<'a, T> {
        &self.b
    }

    /// The stored matrices of `A`, then of `B`, writable; their shapes stay. Borrowed ones are copied first.
    pub fn parts_mut(&mut self) -> impl Iterator<Item = ArrayViewMut2<'_, T>> {
        self.a.parts_mut().chain(self.b.parts_mut())
    }

    /// The stored matrices of `A`, then of `B`: `[A]` or `[A_a, A_b]`, then `[B]` or `[B_a, B_b]`.
    pub fn parts(&self) -> impl Iterator<Item = ArrayView2<'_, T>> {
        self.a.parts().chain(self.b.parts())
    }

    /// The four sizes.
    #[must_use]
    pub fn shape(&self) -> KronShape {
        self.shape
    }

    /// Shape of the product, `(m·p, n·q)`.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        self.shape.dim()
    }

    /// Values held by the factors.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.a.parameter_count() + self.b.parameter_count()
    }

    /// The same operator, borrowed from this one.
    #[must_use]
    pub fn view(&self) -> Kron<'_, T> {
        Kron { a: self.a.view(), b: self.b.view(), shape: self.shape }
    }

    /// The same operator with factors of its own, free of the borrow.
    #[must_use]
    pub fn into_owned(self) -> Kron<'static, T> {
        Kron { a: self.a.into_owned(), b: self.b.into_owned(), shape: self.shape }
    }

    /// The transpose, `(A ⊗ B)ᵀ = Aᵀ ⊗ Bᵀ`, borrowed from this one.
    #[must_use]
    pub fn transposed(&self) -> Kron<'_, T> {
        let KronShape { m, n, p, q } = self.shape;
        Kron { a: self.a.transposed(), b: self.b.transposed(), shape: KronShape { m: n, n: m, p: q, q: p } }
    }

    /// One element, `A[i, j]·B[k, l]`.
    ///
    /// # Errors
    /// [`KronError::OutOfBounds`].
    pub fn element(&self, row: usize, col: usize) -> Result<T> {
        let KronShape { p, q, .. } = self.shape;
        match (self.a.get(row / p, col / q), self.b.get(row % p, col % q)) {
            (Some(a), Some(b)) => Ok(a * b),
            _ => Err(KronError::OutOfBounds { operation: "element", row, col, shape: self.dim() }),
        }
    }

    /// One row of the product, `n·q` values: `A[i, ·] ⊗ B[k, ·]`.
    ///
    /// # Errors
    /// [`KronError::OutOfBounds`].
    pub fn row(&self, row: usize) -> Result<Array1<T>> {
        let rows = self.slice(row..row.saturating_add(1), 0..self.dim().1)?;
        Ok(rows.index_axis_move(Axis(0), 0))
    }

    /// The block `A[i, j]·B`, `(p, q)`, at block row `i` and block column `j`.
    ///
    /// # Errors
    /// [`KronError::OutOfBounds`], in units of blocks.
    pub fn block(&self, i: usize, j: usize) -> Result<Array2<T>> {
        let scale = self.a.get(i, j).ok_or(KronError::OutOfBounds {
            operation: "block",
            row: i,
            col: j,
            shape: (self.shape.m, self.shape.n),
        })?;
        Ok(self.b.to_dense() * scale)
    }

    /// Any rectangle of the product, `(rows.len(), cols.len())`; only that rectangle is formed.
    ///
    /// # Errors
    /// [`KronError::OutOfBounds`] when a range ends outside the product or before it starts.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 10.0]], array![[1.0, 2.0], [3.0, 4.0]])?;
    /// assert_eq!(k.slice(1..2, 1..4)?, array![[4.0, 30.0, 40.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn slice(&self, rows: Range<usize>, cols: Range<usize>) -> Result<Array2<T>> {
        let (height, width) = self.dim();
        if rows.end > height || cols.end > width || rows.start > rows.end || cols.start > cols.end {
            return Err(KronError::OutOfBounds { operation: "slice", row: rows.end, col: cols.end, shape: self.dim() });
        }
        let KronShape { p, q, .. } = self.shape;
        let (a, b) = (self.a.dense(), self.b.dense());
        Ok(Array2::from_shape_fn((rows.len(), cols.len()), |(r, c)| {
            let (row, col) = (rows.start + r, cols.start + c);
            a[[row / p, col / q]] * b[[row % p, col % q]]
        }))
    }

    /// The whole product as a matrix of its own, `(m·p, n·q)`: `m·n·p·q` values of memory.
    #[must_use]
    pub fn to_dense(&self) -> Array2<T> {
        let mut dense = Array2::zeros(self.dim());
        self.add_checked(T::one(), dense.view_mut());
        dense
    }

    /// The whole product, written over `out`, which may hold anything.
    ///
    /// # Errors
    /// [`KronError::Shape`] unless `out` is `(m·p, n·q)`.
    pub fn dense_into(&self, out: &mut ArrayRef2<T>) -> Result<()> {
        KronError::check_shape("dense_into", "out", self.dim(), out.dim())?;
        out.fill(T::zero());
        self.add_checked(T::one(), out.view_mut());
        Ok(())
    }

    /// The merge: `W ← W + s·(A ⊗ B)`, in place, without a temporary of `W`'s size.
    ///
    /// # Shapes
    /// `w`: `(m·p, n·q)`, any strides. Row-major and column-major matrices are walked along memory, on all threads.
    /// # Cost
    /// `2·m·n·p·q` flops: one read and one write of `w`. Every element is computed by itself, so the bits depend on
    /// nothing but the values.
    /// # Errors
    /// [`KronError::Shape`]; `w` is then untouched.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let mut w = array![[1.0, 1.0], [1.0, 1.0]];
    /// Kron::new(array![[1.0, 2.0]], array![[1.0], [3.0]])?.add_to(0.5, &mut w)?;
    /// assert_eq!(w, array![[1.5, 2.0], [2.5, 4.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn add_to(&self, s: T, w: &mut ArrayRef2<T>) -> Result<()> {
        KronError::check_shape("add_to", "w", self.dim(), w.dim())?;
        self.add_checked(s, w.view_mut());
        Ok(())
    }

    fn add_checked(&self, s: T, mut w: ArrayViewMut2<'_, T>) {
        if w.strides()[0].unsigned_abs() < w.strides()[1].unsigned_abs() {
            return self.transposed().add_checked(s, w.reversed_axes());
        }
        let KronShape { p, q, .. } = self.shape;
        let (a, b) = (row_major(self.a.dense()), row_major(self.b.dense()));
        // Rows are grouped so that one task is worth its start, whatever the width of a row.
        let rows_per_task = (MERGE_TASK / w.ncols()).clamp(1, w.nrows());
        w.axis_chunks_iter_mut(Axis(0), rows_per_task).into_par_iter().enumerate().for_each(|(task, mut rows)| {
            for (offset, mut row) in rows.rows_mut().into_iter().enumerate() {
                let index = task * rows_per_task + offset;
                let (a_row, b_row) = (a.row(index / p), b.row(index % p));
                match (row.as_slice_mut(), a_row.as_slice(), b_row.as_slice()) {
                    (Some(row), Some(a_row), Some(b_row)) => add_row(s, a_row, b_row, row),
                    _ => {
                        for (col, w) in row.iter_mut().enumerate() {
                            *w += s * a_row[col / q] * b_row[col % q];
                        }
                    }
                }
            }
        });
    }
}

/// Values one parallel task of a merge handles at least.
const MERGE_TASK: usize = 1 << 16;

/// The matrix with contiguous rows: as it is when it already has them, else a copy (of a small factor).
fn row_major<T: Scalar>(matrix: CowArray<'_, T, Ix2>) -> CowArray<'_, T, Ix2> {
    if matrix.is_standard_layout() { matrix } else { CowArray::from(matrix.as_standard_layout().into_owned()) }
}
