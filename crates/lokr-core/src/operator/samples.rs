//! One vector, a batch of rows or a batch of fields: every array of samples as a matrix with one sample per row.

use ndarray::{Array, Array2, ArrayRef, ArrayRef2, CowArray, Dimension, Ix1, Ix2, IxDyn};
use smallvec::{SmallVec, smallvec};

use crate::error::{KronError, Result};
use crate::scalar::Scalar;

/// The samples that an operator with these sides reads or writes: `sides` of its factors, `width` all of them
/// multiplied.
///
/// An array of one axis is one sample, of two a batch of rows; one of more is a batch of fields, its first axis the
/// batch and one axis for each factor.
#[derive(Debug, Clone)]
pub(crate) struct Samples<I> {
    pub(crate) operation: &'static str,
    pub(crate) argument: &'static str,
    pub(crate) width: usize,
    pub(crate) sides: I,
}

impl<I: Iterator<Item = usize> + Clone> Samples<I> {
    /// How many samples an array of that shape holds; `batch` where it must be so many.
    ///
    /// # Errors
    /// [`KronError::Length`] of a vector, [`KronError::Shape`] of rows, [`KronError::FieldShape`] of fields that do not
    /// fit.
    pub(crate) fn count(&self, shape: &[usize], batch: Option<usize>) -> Result<usize> {
        let &Self { operation, argument, width, .. } = self;
        match *shape {
            [found] if found == width => Ok(1),
            [found] => Err(KronError::Length { operation, argument, expected: width, found }),
            [rows, cols] => {
                KronError::check_shape(operation, argument, (batch.unwrap_or(rows), width), (rows, cols))?;
                Ok(rows)
            }
            [rows, ref field @ ..]
                if self.sides.clone().eq(field.iter().copied()) && batch.is_none_or(|batch| batch == rows) =>
            {
                Ok(rows)
            }
            _ => Err(self.misfit(batch.or(shape.first().copied()), shape)),
        }
    }

    /// The samples as rows; copied if they are fields that do not lie one after the other.
    ///
    /// # Errors
    /// As [`Samples::count`].
    pub(crate) fn rows<'x, T: Scalar, D: Dimension>(
        &self,
        x: &'x ArrayRef<T, D>,
        batch: Option<usize>,
    ) -> Result<CowArray<'x, T, Ix2>> {
        let rows = self.count(x.shape(), batch)?;
        if let Ok(x) = x.view().into_dimensionality::<Ix2>() {
            return Ok(CowArray::from(x));
        }
        if let Ok(x) = x.view().into_dimensionality::<Ix1>() {
            return Ok(CowArray::from(x.insert_axis(ndarray::Axis(0))));
        }
        let shape = (rows, self.width);
        match x.view().into_shape_with_order(shape) {
            Ok(x) => Ok(CowArray::from(x)),
            Err(_) => {
                let standard = x.as_standard_layout().into_owned();
                let copied = standard.into_shape_with_order(shape);
                // Counted above: as many values in standard layout have every shape of their number.
                copied.map(CowArray::from).map_err(|_| self.misfit(batch, x.shape()))
            }
        }
    }

    /// Rows of samples in an array of `axes` axes, as many as `D` has.
    ///
    /// # Errors
    /// None where the rows are as wide as the sides say.
    pub(crate) fn array<T: Scalar, D: Dimension>(&self, rows: Array2<T>, axes: usize) -> Result<Array<T, D>> {
        let batch = rows.nrows();
        if axes == 2 {
            return rows.into_dimensionality().map_err(|_| self.misfit(Some(batch), &[]));
        }
        let shape: SmallVec<[usize; 4]> = match axes {
            1 => smallvec![self.width],
            _ => std::iter::once(batch).chain(self.sides.clone()).collect(),
        };
        let misfit = |_| self.misfit(Some(batch), &shape);
        let array = rows.into_shape_with_order(IxDyn(&shape)).map_err(misfit)?;
        array.into_dimensionality().map_err(misfit)
    }

    /// Lets `work` write the rows of `y`: in place, or by way of a copy where fields do not lie one after the other.
    ///
    /// # Errors
    /// As [`Samples::count`], before anything is written.
    pub(crate) fn with_rows_mut<T: Scalar, D: Dimension>(
        &self,
        y: &mut ArrayRef<T, D>,
        batch: usize,
        work: impl FnOnce(&mut ArrayRef2<T>),
    ) -> Result<()> {
        let rows = self.count(y.shape(), Some(batch))?;
        if let Ok(mut y) = y.view_mut().into_dimensionality::<Ix2>() {
            work(&mut y);
            return Ok(());
        }
        if let Ok(y) = y.view_mut().into_dimensionality::<Ix1>() {
            work(&mut y.insert_axis(ndarray::Axis(0)));
            return Ok(());
        }
        let shape = (rows, self.width);
        if let Ok(mut y) = y.view_mut().into_shape_with_order(shape) {
            work(&mut y);
            return Ok(());
        }
        let mut copy = self.rows(y, Some(batch))?.into_owned();
        work(&mut copy);
        let written = copy.into_shape_with_order(y.raw_dim()).map_err(|_| self.misfit(Some(batch), &[]))?;
        y.assign(&written);
        Ok(())
    }

    fn misfit(&self, batch: Option<usize>, found: &[usize]) -> KronError {
        let expected = batch.into_iter().chain(self.sides.clone()).collect();
        KronError::FieldShape { operation: self.operation, argument: self.argument, expected, found: found.to_vec() }
    }
}
