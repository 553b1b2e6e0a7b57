//! The adapter of a layer whose weight acts on patches, such as a convolution: what it computes on the rows of a linear
//! layer it computes on patches, and the results make the rows of the output.

use std::sync::Arc;

use lokr_core::Scalar;
use ndarray::ArrayRef2;

use super::lokr_adapter::LoKrAdapter;
use crate::buffer::Buffer;
use crate::error::Result;
use crate::layer::{Layer, LinearLayer, RowUpdates};
use crate::patches::Walk;

impl<T: Scalar, L: Layer<T> + Clone + 'static> LoKrAdapter<T, L> {
    pub(super) fn predict_patches(&self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        let patches = self.base.patches().map(Arc::as_ref);
        Walk::new().forward(patches, false, (x, y), &mut |x, z| self.pre_activation_into(x, z))?;
        self.activation().apply(y);
        Ok(())
    }

    /// Each group of samples with one update by itself: patches of different groups have no product in common.
    pub(super) fn predict_patches_mixed(
        &self,
        x: &ArrayRef2<T>,
        rows: &RowUpdates<'_>,
        y: &mut ArrayRef2<T>,
    ) -> Result<()> {
        self.check_mixed(x, rows)?;
        let (mut walk, mut x_rows, mut y_rows) = (Walk::new(), Buffer::new(), Buffer::new());
        for (name, samples) in rows.all_groups() {
            let mut of_x = x_rows.try_resize((samples.len(), x.ncols()))?;
            of_x.rows_mut().into_iter().zip(&*samples).for_each(|(mut to, &row)| to.assign(&x.row(row)));
            let mut of_y = y_rows.try_resize((samples.len(), y.ncols()))?;
            walk.forward(self.base.patches().map(Arc::as_ref), false, (&of_x, &mut of_y), &mut |x, z| {
                self.pre_activation_mixed_into(x, &RowUpdates::new(&vec![name; x.nrows()]), z)
            })?;
            of_y.rows().into_iter().zip(&*samples).for_each(|(from, &row)| y.row_mut(row).assign(&from));
        }
        self.activation().apply(y);
        Ok(())
    }

    /// The pre-activation in training.
    pub(super) fn forward_patches(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        let (patches, whole) = (self.base.patches().cloned(), self.keeps_forward());
        let mut walk = self.training.walk.take();
        let result = walk.forward(patches.as_deref(), whole, (x, y), &mut |x, z| self.train_before(x, z));
        self.training.walk = walk;
        result
    }

    /// The way back of [`LoKrAdapter::forward_patches`].
    pub(super) fn back_patches(
        &mut self,
        (x, dz): (&ArrayRef2<T>, &ArrayRef2<T>),
        (dx, asked): (&mut ArrayRef2<T>, bool),
    ) -> Result<()> {
        let patches = self.base.patches().cloned();
        let mut walk = self.training.walk.take();
        let result =
            walk.backward(patches.as_deref(), (x, dz), dx, &mut |x, dz, dx| self.back_before(x, (dz, dz), (dx, asked)));
        self.training.walk = walk;
        result
    }
}
