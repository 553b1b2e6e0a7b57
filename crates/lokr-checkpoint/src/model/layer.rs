//! Layers of `lokr-layers` from a model's weights.

use lokr_core::Scalar;
use lokr_layers::{Activation, Conv, ConvGeometry, Dense, FullyConnected};
use ndarray::{Array1, Array2, Ix1, Ix2};

use super::base::BaseModel;
use crate::error::{InFile, ModuleError, Result};

impl BaseModel {
    /// The linear layer of a module of this model: `<module>.weight (out, in)`, and `<module>.bias` or zeros.
    ///
    /// # Errors
    /// [`FileError::TensorMissing`](crate::FileError::TensorMissing),
    /// [`FileError::QuantizedBase`](crate::FileError::QuantizedBase); [`ModuleError::Axes`] for another weight than a
    /// matrix or another bias than a vector; [`CheckpointError::Layer`](crate::CheckpointError::Layer) for values that
    /// are not finite or a bias of another length.
    pub fn fully_connected<T: Scalar>(&self, module: &str, activation: Activation) -> Result<FullyConnected<T>> {
        let (weight, bias) = self.linear(module).in_file(self.path())?;
        Ok(FullyConnected::from_arrays(weight, bias, activation)?)
    }

    /// As [`BaseModel::fully_connected`], with the weight stored input-major.
    ///
    /// # Errors
    /// Those of [`BaseModel::fully_connected`].
    pub fn dense<T: Scalar>(&self, module: &str, activation: Activation) -> Result<Dense<T>> {
        let (weight, bias) = self.linear(module).in_file(self.path())?;
        Ok(Dense::from_arrays(weight.reversed_axes(), bias, activation)?)
    }

    /// The convolution of a module of this model, with these sizes: `<module>.weight (out, channels/groups, kernel…)`,
    /// and `<module>.bias` or zeros.
    ///
    /// # Errors
    /// Those of [`BaseModel::fully_connected`], and of [`Conv::from_arrays`] for a weight of other sizes.
    pub fn convolution<T: Scalar, const N: usize>(
        &self,
        module: &str,
        geometry: &ConvGeometry<N>,
        activation: Activation,
    ) -> Result<Conv<T, N>> {
        let weight = self.weight::<T>(&format!("{module}.weight")).in_file(self.path())?;
        let out = weight.shape().first().copied().unwrap_or_default();
        let bias = self.bias(module, out).in_file(self.path())?;
        Ok(Conv::from_arrays(geometry, weight, bias, activation)?)
    }

    fn linear<T: Scalar>(&self, module: &str) -> Result<(Array2<T>, Array1<T>)> {
        let weight = self.weight::<T>(&format!("{module}.weight"))?;
        let shape = weight.shape().to_vec();
        let weight = weight.into_dimensionality::<Ix2>().map_err(|_| axes(module, "weight", "2 axes", &shape))?;
        let bias = self.bias(module, weight.nrows())?;
        Ok((weight, bias))
    }

    /// The bias of a module, or as many zeros as it has outputs.
    fn bias<T: Scalar>(&self, module: &str, out: usize) -> Result<Array1<T>> {
        let name = format!("{module}.bias");
        if self.info(&name).is_none() {
            return Ok(Array1::zeros(out));
        }
        let bias = self.weight::<T>(&name)?;
        let shape = bias.shape().to_vec();
        Ok(bias.into_dimensionality::<Ix1>().map_err(|_| axes(module, "bias", "1 axis", &shape))?)
    }
}

fn axes(module: &str, key: &'static str, expected: &'static str, found: &[usize]) -> ModuleError {
    ModuleError::Axes { module: module.to_owned(), key, expected, found: found.to_vec() }
}
