//! A computation on patches, made for whole rows.

use lokr_core::Scalar;
use ndarray::ArrayRef2;

use super::geometry::Patches;
use super::groups::GroupWalk;
use crate::buffer::Buffer;
use crate::error::Result;

/// Memory for walks, kept from step to step, and what a forward leaves for the way back.
///
/// Each walk is given the patches of a layer, or `None` for one whose weight acts on whole rows: then the rows
/// themselves are computed on.
#[derive(Debug, Clone)]
pub(crate) struct Walk<T> {
    /// Patches, and what is computed of them.
    x: Buffer<T>,
    z: Buffer<T>,
    /// The gradient of patches.
    dx: Buffer<T>,
    /// Whether the last forward was made in one piece because that was wanted.
    whole: bool,
    /// Whether `x` has all patches of the last forward.
    kept: bool,
    groups: GroupWalk<T>,
}

/// `z ← f(x)` for rows of a weight's inputs and outputs.
pub(crate) type Forward<'f, T> = &'f mut dyn FnMut(&ArrayRef2<T>, &mut ArrayRef2<T>) -> Result<()>;

/// The way back of the same rows: `dx` from `x` and `dz`, adding to gradients.
pub(crate) type Backward<'f, T> = &'f mut dyn FnMut(&ArrayRef2<T>, &ArrayRef2<T>, &mut ArrayRef2<T>) -> Result<()>;

impl<T: Scalar> Walk<T> {
    pub(crate) fn new() -> Self {
        let [x, z, dx] = std::array::from_fn(|_| Buffer::new());
        Self { x, z, dx, whole: false, kept: false, groups: GroupWalk::new() }
    }

    /// The memory, with none left in its place.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new())
    }

    /// Makes the output rows `y` of `x` by `f`, which acts on the rows of the weight: one call for each block of
    /// patches, or a single one for all of them if `whole`. With groups `f` must be affine, and is called once.
    pub(crate) fn forward(
        &mut self,
        patches: Option<&Patches>,
        whole: bool,
        (x, y): (&ArrayRef2<T>, &mut ArrayRef2<T>),
        f: Forward<'_, T>,
    ) -> Result<()> {
        (self.whole, self.kept) = (whole, false);
        let Some(patches) = patches else { return f(x, y) };
        if patches.groups() > 1 {
            return self.groups.forward(patches, (x, y), f);
        }
        let (out, mut blocks) = (y.ncols() / patches.places(), 0);
        for block in patches.blocks(x.nrows(), whole) {
            let mut rows = self.x.try_resize((block.rows(), patches.width()))?;
            patches.unfold(x, &block, 0, &mut rows);
            let mut z = self.z.try_resize((block.rows(), out))?;
            f(&rows, &mut z)?;
            patches.scatter(&z, &block, 0, y);
            blocks += 1;
        }
        self.kept = blocks == 1;
        Ok(())
    }

    /// The way back of the last [`Walk::forward`], with the same `x` and the same blocks: writes over `dx`, from
    /// the gradient `dz` of the output rows and by `f`, the way back of the other's.
    pub(crate) fn backward(
        &mut self,
        patches: Option<&Patches>,
        (x, dz): (&ArrayRef2<T>, &ArrayRef2<T>),
        dx: &mut ArrayRef2<T>,
        f: Backward<'_, T>,
    ) -> Result<()> {
        let Some(patches) = patches else { return f(x, dz, dx) };
        if patches.groups() > 1 {
            return self.groups.backward(patches, (x, dz), dx, f);
        }
        let out = dz.ncols() / patches.places();
        dx.fill(T::zero());
        for block in patches.blocks(x.nrows(), self.whole) {
            if !self.kept {
                patches.unfold(x, &block, 0, &mut self.x.try_resize((block.rows(), patches.width()))?);
            }
            let mut of_z = self.z.try_resize((block.rows(), out))?;
            patches.gather(dz, &block, 0, &mut of_z);
            let mut of_rows = self.dx.try_resize((block.rows(), patches.width()))?;
            f(&self.x.view(), &of_z, &mut of_rows)?;
            patches.fold(&of_rows, &block, 0, dx);
        }
        Ok(())
    }

    /// Writes the gradient of the input over `dx`, by `f` from the gradient of rows of the weight's outputs to that of
    /// its inputs.
    pub(crate) fn input_gradient(
        &mut self,
        patches: Option<&Patches>,
        (dz, dx): (&ArrayRef2<T>, &mut ArrayRef2<T>),
        f: Forward<'_, T>,
    ) -> Result<()> {
        let Some(patches) = patches else { return f(dz, dx) };
        if patches.groups() > 1 {
            return self.groups.input_gradient(patches, (dz, dx), f);
        }
        let out = dz.ncols() / patches.places();
        dx.fill(T::zero());
        for block in patches.blocks(dz.nrows(), false) {
            let mut of_z = self.z.try_resize((block.rows(), out))?;
            patches.gather(dz, &block, 0, &mut of_z);
            let mut of_rows = self.dx.try_resize((block.rows(), patches.width()))?;
            f(&of_z, &mut of_rows)?;
            patches.fold(&of_rows, &block, 0, dx);
        }
        Ok(())
    }
}
