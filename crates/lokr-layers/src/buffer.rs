//! Matrices whose memory is reused from step to step.

use lokr_core::{Scalar, memory};
use ndarray::{Array2, ArrayRef2, ArrayView2, ArrayViewMut2, Axis, Slice};

use crate::error::Result;

/// A matrix that may change its number of rows without allocating, up to the most rows it has had: the last batch of
/// an epoch is often shorter than the others.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Buffer<T> {
    /// Its first `rows` rows are the matrix.
    memory: Array2<T>,
    rows: usize,
}

impl<T: Scalar> Buffer<T> {
    pub(crate) fn new() -> Self {
        Self { memory: Array2::zeros((0, 0)), rows: 0 }
    }

    /// The matrix with this shape from now on; its values are whatever they were. Allocates only for more rows than
    /// ever before, or another number of columns.
    pub(crate) fn resize(&mut self, (rows, cols): (usize, usize)) -> ArrayViewMut2<'_, T> {
        if rows > self.memory.nrows() || cols != self.memory.ncols() {
            self.memory = Array2::zeros((rows, cols));
        }
        self.rows = rows;
        self.view_mut()
    }

    /// [`Buffer::resize`], with an error where memory is refused; the matrix is then as it was.
    pub(crate) fn try_resize(&mut self, (rows, cols): (usize, usize)) -> Result<ArrayViewMut2<'_, T>> {
        if rows > self.memory.nrows() || cols != self.memory.ncols() {
            self.memory = memory::zeros("a step's buffer", (rows, cols))?;
        }
        Ok(self.resize((rows, cols)))
    }

    /// Makes the matrix a copy of `x`, in row-major order.
    ///
    /// # Errors
    /// As [`Buffer::try_resize`].
    pub(crate) fn try_store(&mut self, x: &ArrayRef2<T>) -> Result<()> {
        self.try_resize(x.dim())?.assign(x);
        Ok(())
    }

    pub(crate) fn view(&self) -> ArrayView2<'_, T> {
        self.memory.slice_axis(Axis(0), Slice::from(..self.rows))
    }

    pub(crate) fn view_mut(&mut self) -> ArrayViewMut2<'_, T> {
        self.memory.slice_axis_mut(Axis(0), Slice::from(..self.rows))
    }

    /// The buffer, with another of no memory left in its place.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new())
    }

    /// Gives the memory back.
    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn fewer_rows_and_back_reuse_the_memory() {
        let mut buffer = Buffer::new();
        buffer.try_store(&array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]).unwrap();
        let address = buffer.view().as_ptr();
        buffer.try_store(&array![[7.0, 8.0]]).unwrap();
        assert_eq!(buffer.view(), array![[7.0, 8.0]]);
        buffer.try_store(&array![[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]).unwrap();
        assert_eq!(buffer.view(), array![[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]);
        assert_eq!(buffer.view().as_ptr(), address);
    }

    #[test]
    fn another_width_is_a_new_matrix() {
        let mut buffer = Buffer::new();
        buffer.try_store(&array![[1.0, 2.0], [3.0, 4.0]]).unwrap();
        buffer.try_store(&array![[1.0, 2.0, 3.0]]).unwrap();
        assert_eq!(buffer.view(), array![[1.0, 2.0, 3.0]]);
        buffer.clear();
        assert_eq!(buffer.view().dim(), (0, 0));
    }

    #[test]
    fn columns_in_fortran_order_are_stored_row_by_row() {
        let mut buffer = Buffer::new();
        let x = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
        buffer.try_store(&x.t()).unwrap();
        assert_eq!(buffer.view(), x.t());
        assert!(buffer.view().is_standard_layout());
    }
}
