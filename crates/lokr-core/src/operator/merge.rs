//! The product added to a weight, and written out.

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayRef2, ArrayViewMut2, Axis};

use super::kron::Kron;
use crate::error::{KronError, Result};
use crate::gemm::kernel::add_row;
use crate::gemm::limits::MERGE_TASK;
use crate::gemm::views::row_major;
use crate::scalar::Scalar;
use crate::shape::KronShape;

impl<T: Scalar> Kron<'_, T> {
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
        let KronShape { p, q, .. } = self.shape();
        let (a, b) = (row_major(self.a().dense()), row_major(self.b().dense()));
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
