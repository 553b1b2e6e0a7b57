//! The lazy product `A ⊗ B`: two factors that behave like the matrix they stand for.

use std::ops::Range;

use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis};

use super::factor::Factor;
use crate::error::{KronError, Result};
use crate::memory;
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
#[derive(Clone)]
pub struct Kron<'a, T> {
    pub(super) a: Factor<'a, T>,
    pub(super) b: Factor<'a, T>,
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

    /// The two factors back, `(A, B)`, as they came in: what was owned stays owned, what was borrowed stays borrowed.
    /// Nothing is copied.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::{Factor, Kron};
    /// # use ndarray::array;
    /// let borrowed = array![[3.0], [4.0]];
    /// let (a, b) = Kron::new(array![[1.0, 2.0]], &borrowed)?.into_parts();
    /// assert_eq!((a.into_dense(), b), (array![[1.0, 2.0]], Factor::from(&borrowed)));
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn into_parts(self) -> (Factor<'a, T>, Factor<'a, T>) {
        (self.a, self.b)
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

    /// The product of other factors of the same shapes.
    pub(super) fn map<U: Scalar>(&self, factor: impl Fn(&Factor<'a, T>) -> Factor<'static, U>) -> Kron<'static, U> {
        Kron { a: factor(&self.a), b: factor(&self.b), shape: self.shape }
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
    /// [`KronError::OutOfBounds`] when a range ends outside the product or before it starts; [`KronError::TooLarge`]
    /// and [`KronError::OutOfMemory`] for a rectangle that memory does not hold.
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
        memory::from_elements("slice", (rows.len(), cols.len()), |r, c| {
            let (row, col) = (rows.start + r, cols.start + c);
            a[[row / p, col / q]] * b[[row % p, col % q]]
        })
    }
}
