//! A convolution made ready for inference.

use std::sync::Arc;

use lokr_core::{PackedMatrix, Scalar};
use ndarray::{Array1, ArrayRef2, Axis, Slice};

use crate::activation::Activation;
use crate::error::Result;
use crate::layer::LinearLayer;
use crate::patches::Patches;

/// The weight that a convolution computes with, adapters included, packed.
pub(super) struct CompiledConv<T> {
    /// Of each group of outputs.
    weights: Vec<PackedMatrix<T>>,
    bias: Array1<T>,
    activation: Activation,
    patches: Arc<Patches>,
}

impl<T: Scalar> CompiledConv<T> {
    pub(super) fn new(linear: &dyn LinearLayer<T>, patches: &Arc<Patches>) -> Result<Self> {
        let weight = linear.effective_weight()?;
        let groups = weight.axis_chunks_iter(Axis(0), weight.nrows() / patches.groups());
        Ok(Self {
            weights: groups.map(|weight| Ok(PackedMatrix::new(&weight)?)).collect::<Result<_>>()?,
            bias: linear.bias().to_owned(),
            activation: linear.activation(),
            patches: patches.clone(),
        })
    }

    pub(super) fn input_size(&self) -> usize {
        self.patches.input_size()
    }

    pub(super) fn output_size(&self) -> usize {
        self.bias.len() * self.patches.places()
    }

    /// The shapes of the memory it takes for so many samples: of patches, and of what is made of them.
    pub(super) fn memory(&self, samples: usize) -> [(usize, usize); 2] {
        let rows = self.patches.largest_block(samples);
        [(rows, self.patches.width()), (rows, self.bias.len() / self.patches.groups())]
    }

    /// Writes over `y` the output for `x`, which fits, in memory of the shapes that [`CompiledConv::memory`] gives.
    pub(super) fn forward_into(
        &self,
        x: &ArrayRef2<T>,
        (rows, z): (&mut ArrayRef2<T>, &mut ArrayRef2<T>),
        y: &mut ArrayRef2<T>,
    ) -> Result<()> {
        let outputs = z.ncols();
        self.patches.by_groups((x, y), (rows, z), &mut |group, rows, z| {
            z.assign(&self.bias.slice_axis(Axis(0), Slice::from(group * outputs..(group + 1) * outputs)));
            self.weights.get(group).map_or(Ok(()), |weight| Ok(weight.apply_into(T::one(), rows, T::one(), z)?))
        })?;
        self.activation.apply(y);
        Ok(())
    }
}
