//! The sizes of a convolution.

use crate::error::{LayerError, Result};
use crate::patches::ConvSizes;

/// What a convolution of `N` axes slides over what: sizes, one for each axis.
///
/// The numbers mean what they mean in PyTorch: an axis of `input` values has
/// `⌊(input + 2·padding − dilation·(kernel − 1) − 1)/stride⌋ + 1` places, the padding is zeros, and the kernel is not
/// turned around (a cross-correlation).
///
/// | setting | default | meaning |
/// |---|---|---|
/// | [`stride`](Self::stride) | 1 | from one place of the kernel to the next |
/// | [`padding`](Self::padding) | 0 | zeros on either side of the input |
/// | [`dilation`](Self::dilation) | 1 | from one element of the kernel to the next |
/// | [`groups`](Self::groups) | 1 | groups of input channels, each seen by as many output channels of its own |
///
/// # Examples
/// ```
/// use lokr_layers::ConvGeometry;
///
/// let image = ConvGeometry::new(3, [32, 32], [3, 3]).padding([1, 1]); // three channels of 32 × 32 values
/// let sound = ConvGeometry::new(1, [16000], [400]).stride([160]);
/// # let _ = (image, sound);
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use = "a geometry does nothing until a layer is made of it"]
pub struct ConvGeometry<const N: usize> {
    channels: usize,
    groups: usize,
    input: [usize; N],
    kernel: [usize; N],
    stride: [usize; N],
    padding: [usize; N],
    dilation: [usize; N],
}

impl<const N: usize> ConvGeometry<N> {
    /// A kernel over an input of so many channels, with a size for each axis: `[height, width]`, or `[length]`.
    ///
    /// Whether the sizes make sense is checked where a layer is made of them.
    pub fn new(channels: usize, input: [usize; N], kernel: [usize; N]) -> Self {
        const { assert!(N >= 1 && N <= 3, "a convolution has one, two or three axes") };
        Self { channels, groups: 1, input, kernel, stride: [1; N], padding: [0; N], dilation: [1; N] }
    }

    /// From one place of the kernel to the next; at least 1.
    pub fn stride(mut self, stride: [usize; N]) -> Self {
        self.stride = stride;
        self
    }

    /// Zeros on either side of the input.
    pub fn padding(mut self, padding: [usize; N]) -> Self {
        self.padding = padding;
        self
    }

    /// From one element of the kernel to the next; at least 1.
    pub fn dilation(mut self, dilation: [usize; N]) -> Self {
        self.dilation = dilation;
        self
    }

    /// Groups of channels; they divide the channels of the input and of the output.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }
}

impl<const N: usize> From<&ConvGeometry<N>> for ConvSizes {
    fn from(geometry: &ConvGeometry<N>) -> Self {
        let ConvGeometry { channels, groups, input, kernel, stride, padding, dilation } = *geometry;
        let [input, kernel, stride, padding, dilation] =
            [input, kernel, stride, padding, dilation].map(|sizes| sizes.to_vec());
        Self { channels, groups, input, kernel, stride, padding, dilation }
    }
}

impl<const N: usize> TryFrom<&ConvSizes> for ConvGeometry<N> {
    type Error = LayerError;

    /// # Errors
    /// [`LayerError::InvalidSetting`] for another number of axes.
    fn try_from(sizes: &ConvSizes) -> Result<Self> {
        let of_axes = |sizes: &[usize]| {
            let misfit = |_| LayerError::invalid("axes of a convolution", sizes.len(), "those of the layer's type");
            <[usize; N]>::try_from(sizes).map_err(misfit)
        };
        Ok(Self::new(sizes.channels, of_axes(&sizes.input)?, of_axes(&sizes.kernel)?)
            .stride(of_axes(&sizes.stride)?)
            .padding(of_axes(&sizes.padding)?)
            .dilation(of_axes(&sizes.dilation)?)
            .groups(sizes.groups))
    }
}
