//! The convolution: what it holds, how it is made, read and set.

use std::sync::Arc;

use lokr_core::{Scalar, memory};
use ndarray::{Array, Array1, Array2, ArrayRef1, ArrayViewD, ArrayViewMutD, Dimension, IxDyn};
use ndarray_rand::rand::Rng;

use super::geometry::ConvGeometry;
use crate::activation::{Activation, ActivationState};
use crate::buffer::Buffer;
use crate::error::{LayerError, Result};
use crate::linear::{FullyConnected, Init};
use crate::patches::{Patches, Walk};

/// A convolution over one axis, of rows `(channels, length)`.
pub type Conv1d<T> = Conv<T, 1>;

/// A convolution over two axes, of rows `(channels, height, width)`.
pub type Conv2d<T> = Conv<T, 2>;

/// A convolution over three axes, of rows `(channels, depth, height, width)`.
pub type Conv3d<T> = Conv<T, 3>;

/// A convolution `y = activation(kernel ⋆ x + bias)` over `N` axes: [`Conv1d`], [`Conv2d`] or [`Conv3d`].
///
/// A row of the input is a sample, channel by channel, each with its values along the axes in row-major order, and so
/// is a row of the output: `(batch, channels·height·width)` for two axes. The weight is
/// `(out, channels/groups, kernel…)` and the bias `(out)`, as in PyTorch; they are the parameters `weight` and `bias`,
/// in this order. The activation sees the rows of the output; a softmax is over all values of a sample.
///
/// To an adapter it is a linear layer over patches with the weight `(out, channels/groups·K)`, so
/// [`crate::LoKrAdapter`] goes around it with all that it can do: the factors `A (m, n)` and `B (p, q·K)` with
/// `out = m·p` and `channels/groups = n·q` are those of LyCORIS and PEFT, whose `lokr_w2 (p, q, kernel…)` is `B`
/// row by row.
///
/// # Cost
/// A forward takes `2·places·out·channels/groups·K` flops for each sample, a backward twice that. The patches of a
/// block of the batch exist at a time, a few megabytes; where a batch has several blocks the backward cuts them out
/// again, which costs their copying and no product. Inference allocates a block and the results for it; in training
/// both stay.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, Conv2d, ConvGeometry, Layer};
/// use ndarray::{Array1, Array4, array};
///
/// let geometry = ConvGeometry::new(1, [2, 3], [1, 2]); // a kernel of one row and two columns
/// let kernel = Array4::from_shape_vec((1, 1, 1, 2), vec![-1.0, 1.0])?;
/// let layer = Conv2d::from_arrays(&geometry, kernel, Array1::zeros(1), Activation::Identity)?;
/// assert_eq!(layer.predict(&array![[1.0, 2.0, 4.0, 0.0, 0.0, 5.0]])?, array![[1.0, 2.0, 0.0, 5.0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Conv<T, const N: usize> {
    /// The weight over patches, the bias, and the activation, which it does not apply.
    pub(super) kernel: FullyConnected<T>,
    pub(super) patches: Arc<Patches>,
    /// The last forward's input; meaningful while `ran_forward`.
    pub(super) input: Buffer<T>,
    pub(super) ran_forward: bool,
    pub(super) activation_state: ActivationState<T>,
    pub(super) dz: Buffer<T>,
    /// The gradient of the input, where nobody asks for it.
    pub(super) dx: Buffer<T>,
    pub(super) walk: Walk<T>,
}

impl<T: Scalar, const N: usize> Conv<T, N> {
    /// A convolution with `out` channels of output, its weight drawn from `rng` as `init` says, its bias zeros.
    ///
    /// The fans of [`Init`] are those of the weight as a matrix: `channels/groups·K` in, `out` out.
    ///
    /// # Errors
    /// [`LayerError::ZeroSize`]; [`LayerError::InvalidSetting`] for groups that do not divide the channels of input and
    /// output, for a kernel, stride or dilation of zero, for a kernel that is larger than the padded input, and as
    /// [`crate::Linear::new`].
    pub fn new(
        geometry: &ConvGeometry<N>,
        out: usize,
        activation: Activation,
        init: Init,
        rng: &mut (impl Rng + ?Sized),
    ) -> Result<Self> {
        let patches = Self::patches_for(geometry, out)?;
        Ok(Self::assemble(FullyConnected::new(patches.width(), out, activation, init, rng)?, patches))
    }

    /// A convolution from its weight `(out, channels/groups, kernel…)` and its bias.
    ///
    /// # Errors
    /// As [`Conv::new`]; [`LayerError::NamedShape`] of the weight, [`LayerError::Length`] of the bias,
    /// [`LayerError::NonFinite`].
    pub fn from_arrays<D: Dimension>(
        geometry: &ConvGeometry<N>,
        weight: Array<T, D>,
        bias: Array1<T>,
        activation: Activation,
    ) -> Result<Self> {
        let out = weight.shape().first().copied().unwrap_or_default();
        let patches = Self::patches_for(geometry, out)?;
        let (expected, found) = (patches.weight_shape(out), weight.shape().to_vec());
        let name = || "weight".to_owned();
        if found != expected {
            return Err(LayerError::NamedShape { layer: Self::name(), name: name(), expected, found });
        }
        LayerError::check_length(Self::name(), "bias", out, bias.len())?;
        let mut matrix = Array2::zeros((out, patches.width()));
        matrix.iter_mut().zip(&weight).for_each(|(to, &from)| *to = from);
        Ok(Self::assemble(FullyConnected::from_arrays(matrix, bias, activation)?, patches))
    }

    /// Zeros, with `out` channels of output.
    pub(crate) fn zeros(geometry: &ConvGeometry<N>, out: usize, activation: Activation) -> Result<Self> {
        let patches = Self::patches_for(geometry, out)?;
        let weights = memory::zeros("a weight", (out, patches.width()))?;
        Ok(Self::assemble(FullyConnected::from_arrays(weights, Array1::zeros(out), activation)?, patches))
    }

    /// The weight `(out, channels/groups, kernel…)`.
    #[must_use]
    pub fn weights(&self) -> ArrayViewD<'_, T> {
        Self::shaped(&self.patches, self.kernel.weights().into_dyn())
    }

    /// The convolution without a bias, whose only parameters are the weight.
    #[must_use]
    pub fn without_bias(mut self) -> Self {
        self.kernel = self.kernel.without_bias();
        self.ran_forward = false;
        self
    }

    /// Overwrites the bias, one number for each channel of output. Gradients are dropped, and a backward needs a new
    /// forward.
    ///
    /// # Errors
    /// As [`crate::Linear::set_bias`].
    pub fn set_bias(&mut self, bias: &ArrayRef1<T>) -> Result<()> {
        self.kernel.set_bias(bias)?;
        self.ran_forward = false;
        Ok(())
    }

    pub(super) const fn name() -> &'static str {
        match N {
            1 => "Conv1d",
            2 => "Conv2d",
            _ => "Conv3d",
        }
    }

    fn patches_for(geometry: &ConvGeometry<N>, out: usize) -> Result<Patches> {
        let patches = Patches::new(Self::name(), geometry.into())?;
        if out == 0 || out.checked_mul(patches.places()).is_none() {
            let (layer, input_size) = (Self::name(), patches.input_size());
            return Err(LayerError::ZeroSize { layer, input_size, output_size: 0 });
        }
        if !out.is_multiple_of(patches.groups()) {
            return Err(LayerError::invalid("groups", patches.groups(), "a divisor of the numbers of channels"));
        }
        Ok(patches)
    }

    /// A weight, or the gradient of one, with the kernel's axes.
    pub(super) fn shaped<'a>(patches: &Patches, matrix: ArrayViewD<'a, T>) -> ArrayViewD<'a, T> {
        let out = matrix.shape().first().copied().unwrap_or_default();
        // As many values, in rows.
        matrix.clone().into_shape_with_order(IxDyn(&patches.weight_shape(out))).unwrap_or(matrix)
    }

    /// Shows a writable weight, or the gradient of one, with the kernel's axes.
    pub(super) fn with_shape(patches: &Patches, matrix: ArrayViewMutD<'_, T>, show: impl FnOnce(ArrayViewMutD<'_, T>)) {
        let out = matrix.shape().first().copied().unwrap_or_default();
        // As many values, in rows: there is no error.
        if let Ok(shaped) = matrix.into_shape_with_order(IxDyn(&patches.weight_shape(out))) {
            show(shaped);
        }
    }

    fn assemble(kernel: FullyConnected<T>, patches: Patches) -> Self {
        Self {
            kernel,
            patches: Arc::new(patches),
            input: Buffer::new(),
            ran_forward: false,
            activation_state: ActivationState::new(),
            dz: Buffer::new(),
            dx: Buffer::new(),
            walk: Walk::new(),
        }
    }
}
