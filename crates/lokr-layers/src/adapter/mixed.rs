//! A batch whose rows use different updates: one product with the base's weight, then each update on its own rows.

use lokr_core::Scalar;
use ndarray::{ArrayRef2, Axis, Slice};

use super::dora;
use super::linear::linear;
use super::lokr_adapter::LoKrAdapter;
use crate::buffer::Buffer;
use crate::error::{LayerError, Result};
use crate::layer::{Layer, RowUpdates};
use crate::update::TYPE_NAME;

impl<T: Scalar, L: Layer<T> + Clone> LoKrAdapter<T, L> {
    /// Checks what [`crate::Layer::predict_mixed_into`] needs beside shapes.
    pub(super) fn check_mixed(&self, x: &ArrayRef2<T>, rows: &RowUpdates<'_>) -> Result<()> {
        LayerError::check_length(TYPE_NAME, "names of updates", x.nrows(), rows.len())?;
        self.refuse_merged()?;
        for (name, update) in self.updates.all() {
            let chosen = update.dora().is_some() && rows.groups().any(|(wanted, _)| wanted == name);
            if chosen && !self.updates.is_enabled(name)? {
                return Err(LayerError::invalid("update", name, "one that is enabled, where the weight is decomposed"));
            }
        }
        Ok(())
    }

    /// Adds to the rows of `z`, which hold what the base makes of `x`, what their updates make of them. A decomposed
    /// weight is none of a sum, and makes its rows anew.
    pub(super) fn add_mixed(&self, x: &ArrayRef2<T>, rows: &RowUpdates<'_>, z: &mut ArrayRef2<T>) -> Result<()> {
        let (mut x_rows, mut z_rows) = (Buffer::new(), Buffer::new());
        for (name, indices) in rows.groups() {
            let Ok(update) = self.updates.get(name) else { continue };
            let decomposition = if update.dora().is_some() { self.decomposition()? } else { None };
            let compute = |x: &ArrayRef2<T>, z: &mut ArrayRef2<T>| match decomposition {
                Some(decomposition) => dora::pre_activation(linear(&self.base)?, update, decomposition, x, z),
                None => update.apply_into(x, z),
            };
            let (first, last) = (indices[0], indices[indices.len() - 1]);
            if last - first + 1 == indices.len() {
                let range = Slice::from(first..=last);
                compute(&x.slice_axis(Axis(0), range), &mut z.slice_axis_mut(Axis(0), range))?;
                continue;
            }
            let mut gathered = x_rows.try_resize((indices.len(), x.ncols()))?;
            gathered.rows_mut().into_iter().zip(indices).for_each(|(mut to, &row)| to.assign(&x.row(row)));
            let mut results = z_rows.try_resize((indices.len(), z.ncols()))?;
            results.rows_mut().into_iter().zip(indices).for_each(|(mut to, &row)| to.assign(&z.row(row)));
            compute(&gathered, &mut results)?;
            results.rows().into_iter().zip(indices).for_each(|(from, &row)| z.row_mut(row).assign(&from));
        }
        Ok(())
    }
}
