//! Patches cut out of rows and added back into them; results put into rows and taken out again.
//!
//! Samples are copied by as many threads as there are, each by one alone: the bits do not depend on their number.

use lokr_core::Scalar;
use ndarray::parallel::prelude::*;
use ndarray::{ArrayRef2, ArrayView1, ArrayView2, ArrayViewMut1, ArrayViewMut2, Axis, Slice};

use super::geometry::{Block, Patches};

impl Patches {
    /// Writes the patches of a block and a group over `to (rows, width)`.
    pub(super) fn unfold<T: Scalar>(&self, x: &ArrayRef2<T>, block: &Block, group: usize, to: &mut ArrayRef2<T>) {
        let samples = x.slice_axis(Axis(0), Slice::from(block.samples.clone()));
        let (sources, kernel, plane) = (self.sources(&block.places), self.kernel_values(), self.plane());
        let channels = self.group_values(group);
        let one = |(row, mut to): (ArrayView1<'_, T>, ArrayViewMut2<'_, T>)| {
            let row = row.slice_axis(Axis(0), channels);
            let row = row.as_standard_layout();
            let Some(row) = row.as_slice() else { return }; // It has one.
            for (mut patch, sources) in to.rows_mut().into_iter().zip(sources.chunks_exact(kernel)) {
                let Some(patch) = patch.as_slice_mut() else { return }; // Buffers are row-major.
                for (to, channel) in patch.chunks_exact_mut(kernel).zip(row.chunks_exact(plane)) {
                    for (to, &source) in to.iter_mut().zip(sources) {
                        *to = channel.get(source as usize).copied().unwrap_or_else(T::zero);
                    }
                }
            }
        };
        let rows = samples.axis_iter(Axis(0)).into_par_iter();
        rows.zip(to.axis_chunks_iter_mut(Axis(0), block.places.len())).for_each(one);
    }

    /// Adds the patches of a block and a group to what they were cut out of: the way back of [`Patches::unfold`].
    pub(super) fn fold<T: Scalar>(&self, from: &ArrayRef2<T>, block: &Block, group: usize, dx: &mut ArrayRef2<T>) {
        let mut samples = dx.slice_axis_mut(Axis(0), Slice::from(block.samples.clone()));
        let (sources, kernel, plane) = (self.sources(&block.places), self.kernel_values(), self.plane());
        let channels = self.group_values(group);
        let add = |row: &mut [T], from: &ArrayView2<'_, T>| {
            for (patch, sources) in from.rows().into_iter().zip(sources.chunks_exact(kernel)) {
                let Some(patch) = patch.to_slice() else { return }; // Buffers are row-major.
                for (from, channel) in patch.chunks_exact(kernel).zip(row.chunks_exact_mut(plane)) {
                    for (&from, &source) in from.iter().zip(sources) {
                        if let Some(to) = channel.get_mut(source as usize) {
                            *to += from;
                        }
                    }
                }
            }
        };
        let one = |(mut row, from): (ArrayViewMut1<'_, T>, ArrayView2<'_, T>)| {
            let mut row = row.slice_axis_mut(Axis(0), channels);
            match row.as_slice_mut() {
                Some(row) => add(row, &from),
                None => {
                    let mut copy = row.to_vec();
                    add(&mut copy, &from);
                    row.iter_mut().zip(copy).for_each(|(to, from)| *to = from);
                }
            }
        };
        let rows = samples.axis_iter_mut(Axis(0)).into_par_iter();
        rows.zip(from.axis_chunks_iter(Axis(0), block.places.len())).for_each(one);
    }

    /// Where the channels of a group lie in a row.
    fn group_values(&self, group: usize) -> Slice {
        let values = self.input_size() / self.groups();
        Slice::from(group * values..(group + 1) * values)
    }

    /// Writes what was computed for a block, `z (rows, channels)`, into the rows `y`, from that output channel on.
    pub(super) fn scatter<T: Scalar>(&self, z: &ArrayRef2<T>, block: &Block, first: usize, y: &mut ArrayRef2<T>) {
        let mut samples = y.slice_axis_mut(Axis(0), Slice::from(block.samples.clone()));
        let one = |(mut row, z): (ArrayViewMut1<'_, T>, ArrayView2<'_, T>)| {
            for (channel, z) in z.columns().into_iter().enumerate() {
                row.slice_axis_mut(Axis(0), self.channel_places(first + channel, block)).assign(&z);
            }
        };
        let rows = samples.axis_iter_mut(Axis(0)).into_par_iter();
        rows.zip(z.axis_chunks_iter(Axis(0), block.places.len())).for_each(one);
    }

    /// The way back of [`Patches::scatter`]: writes over `z` what the rows `y` have there.
    pub(super) fn gather<T: Scalar>(&self, y: &ArrayRef2<T>, block: &Block, first: usize, z: &mut ArrayRef2<T>) {
        let samples = y.slice_axis(Axis(0), Slice::from(block.samples.clone()));
        let one = |(row, mut z): (ArrayView1<'_, T>, ArrayViewMut2<'_, T>)| {
            for (channel, mut z) in z.columns_mut().into_iter().enumerate() {
                z.assign(&row.slice_axis(Axis(0), self.channel_places(first + channel, block)));
            }
        };
        let rows = samples.axis_iter(Axis(0)).into_par_iter();
        rows.zip(z.axis_chunks_iter_mut(Axis(0), block.places.len())).for_each(one);
    }

    /// Where the places of a block and an output channel lie in a row of the output.
    fn channel_places(&self, channel: usize, block: &Block) -> Slice {
        let start = channel * self.places();
        Slice::from(start + block.places.start..start + block.places.end)
    }
}
