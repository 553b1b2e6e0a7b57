//! Walks where each group of outputs sees channels of its own.
//!
//! The rows of a weight of several groups act on different patches, while whatever computes on the weight's rows, an
//! adapter say, computes all of its outputs: for each group it would compute the others' too, and throw them away. But
//! what it computes is affine. So it is asked once what it makes of the unit rows and of zero; that is the transposed
//! weight with the bias below it, which is multiplied with the patches group by group. On the way back the gradient of
//! that matrix is the gradient of those rows.
//!
//! The matrix has the size of the layer's weight, `groups` times smaller than that of a layer of one group. The
//! calls cost what `width + 1` patches cost, `2·width·width·out` flops with a dense base; the products cost what a
//! convolution of groups costs, `2·places·width·out` for each sample.

use lokr_core::{Scalar, matmul_into};
use ndarray::{ArrayRef2, ArrayViewMut2, Axis, Slice};

use super::geometry::Patches;
use super::walk::{Backward, Forward};
use crate::buffer::Buffer;
use crate::error::Result;

/// Memory, and the matrix of the last forward.
#[derive(Debug, Clone)]
pub(super) struct GroupWalk<T> {
    /// Unit rows, and a row of zeros below them.
    units: Buffer<T>,
    /// The transposed weight, and the bias below it.
    affine: Buffer<T>,
    /// The gradient of `affine`, and that of the units, which nobody wants.
    of_affine: Buffer<T>,
    of_units: Buffer<T>,
    x: Buffer<T>,
    z: Buffer<T>,
    dx: Buffer<T>,
}

/// The outputs of a group among `out`.
fn outputs(patches: &Patches, out: usize, group: usize) -> Slice {
    let size = out / patches.groups();
    Slice::from(group * size..(group + 1) * size)
}

/// Given a group and patches of it, writes what its outputs are.
pub(crate) type OfGroup<'f, T> = &'f mut dyn FnMut(usize, &ArrayRef2<T>, &mut ArrayRef2<T>) -> Result<()>;

impl Patches {
    /// Makes the output rows `y` of `x` block by block and group by group, in memory for the patches of the largest
    /// block, `(patches, width)`, and for their outputs, `(patches, out/groups)`.
    pub(crate) fn by_groups<T: Scalar>(
        &self,
        (x, y): (&ArrayRef2<T>, &mut ArrayRef2<T>),
        (rows, z): (&mut ArrayRef2<T>, &mut ArrayRef2<T>),
        f: OfGroup<'_, T>,
    ) -> Result<()> {
        let outputs = z.ncols();
        for block in self.blocks(x.nrows(), false) {
            for group in 0..self.groups() {
                let mut rows = rows.slice_axis_mut(Axis(0), Slice::from(..block.rows()));
                let mut z = z.slice_axis_mut(Axis(0), Slice::from(..block.rows()));
                self.unfold(x, &block, group, &mut rows);
                f(group, &rows, &mut z)?;
                self.scatter(&z, &block, group * outputs, y);
            }
        }
        Ok(())
    }
}

impl<T: Scalar> GroupWalk<T> {
    pub(super) fn new() -> Self {
        let [units, affine, of_affine, of_units, x, z, dx] = std::array::from_fn(|_| Buffer::new());
        Self { units, affine, of_affine, of_units, x, z, dx }
    }

    pub(super) fn forward(
        &mut self,
        patches: &Patches,
        (x, y): (&ArrayRef2<T>, &mut ArrayRef2<T>),
        f: Forward<'_, T>,
    ) -> Result<()> {
        let (width, out) = (patches.width(), y.ncols() / patches.places());
        let mut units = self.units.try_resize((width + 1, width))?;
        set_units(&mut units);
        f(&units, &mut self.affine.try_resize((width + 1, out))?)?;
        let mut affine = self.affine.view_mut();
        let (mut weight, bias) = affine.view_mut().split_at(Axis(0), width);
        weight -= &bias; // Each unit row has the bias in it too.
        let largest = patches.largest_block(x.nrows());
        let mut rows = self.x.try_resize((largest, width))?;
        let mut z = self.z.try_resize((largest, out / patches.groups()))?;
        patches.by_groups((x, y), (&mut rows, &mut z), &mut |group, rows, z| {
            let columns = outputs(patches, out, group);
            z.assign(&bias.slice_axis(Axis(1), columns));
            Ok(matmul_into(T::one(), rows, &weight.slice_axis(Axis(1), columns), T::one(), z)?)
        })
    }

    pub(super) fn backward(
        &mut self,
        patches: &Patches,
        (x, dz): (&ArrayRef2<T>, &ArrayRef2<T>),
        dx: &mut ArrayRef2<T>,
        f: Backward<'_, T>,
    ) -> Result<()> {
        let (width, out) = (patches.width(), dz.ncols() / patches.places());
        let mut of_affine = self.of_affine.try_resize((width + 1, out))?;
        of_affine.fill(T::zero());
        let (mut of_weight, mut of_bias) = of_affine.view_mut().split_at(Axis(0), width);
        dx.fill(T::zero());
        for block in patches.blocks(x.nrows(), false) {
            for group in 0..patches.groups() {
                let columns = outputs(patches, out, group);
                let mut rows = self.x.try_resize((block.rows(), width))?;
                patches.unfold(x, &block, group, &mut rows);
                let mut of_z = self.z.try_resize((block.rows(), out / patches.groups()))?;
                patches.gather(dz, &block, group * (out / patches.groups()), &mut of_z);
                let mut gradient = of_weight.slice_axis_mut(Axis(1), columns);
                matmul_into(T::one(), &rows.t(), &of_z, T::one(), &mut gradient)?;
                let mut gradient = of_bias.slice_axis_mut(Axis(1), columns);
                of_z.rows().into_iter().for_each(|of_z| gradient += &of_z);
                let mut of_rows = self.dx.try_resize((block.rows(), width))?;
                let affine = self.affine.view();
                let (weight, _) = affine.split_at(Axis(0), width);
                let weight = weight.slice_axis(Axis(1), columns);
                matmul_into(T::one(), &of_z, &weight.t(), T::zero(), &mut of_rows)?;
                patches.fold(&of_rows, &block, group, dx);
            }
        }
        // The bias is in each unit row and in the last one; its gradient is the sum of theirs.
        for of_weight in of_weight.rows() {
            of_bias -= &of_weight;
        }
        let mut of_units = self.of_units.try_resize((width + 1, width))?;
        f(&self.units.view(), &of_affine, &mut of_units)
    }

    pub(super) fn input_gradient(
        &mut self,
        patches: &Patches,
        (dz, dx): (&ArrayRef2<T>, &mut ArrayRef2<T>),
        f: Forward<'_, T>,
    ) -> Result<()> {
        let (width, out) = (patches.width(), dz.ncols() / patches.places());
        let mut units = self.units.try_resize((out, out))?;
        set_units(&mut units);
        f(&units, &mut self.affine.try_resize((out, width))?)?;
        dx.fill(T::zero());
        for block in patches.blocks(dz.nrows(), false) {
            for group in 0..patches.groups() {
                let mut of_z = self.z.try_resize((block.rows(), out / patches.groups()))?;
                patches.gather(dz, &block, group * (out / patches.groups()), &mut of_z);
                let mut of_rows = self.dx.try_resize((block.rows(), width))?;
                let weight = self.affine.view();
                let weight = weight.slice_axis(Axis(0), outputs(patches, out, group));
                matmul_into(T::one(), &of_z, &weight, T::zero(), &mut of_rows)?;
                patches.fold(&of_rows, &block, group, dx);
            }
        }
        Ok(())
    }
}

fn set_units<T: Scalar>(units: &mut ArrayViewMut2<'_, T>) {
    units.fill(T::zero());
    units.diag_mut().fill(T::one());
}
