//! The sizes of a convolution.

use crate::patches::Sizes;

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
    pub(super) sizes: Sizes<N>,
}

impl<const N: usize> ConvGeometry<N> {
    /// A kernel over an input of so many channels, with a size for each axis: `[height, width]`, or `[length]`.
    ///
    /// Whether the sizes make sense is checked where a layer is made of them.
    pub fn new(channels: usize, input: [usize; N], kernel: [usize; N]) -> Self {
        let (stride, padding, dilation) = ([1; N], [0; N], [1; N]);
        Self { sizes: Sizes { channels, groups: 1, input, kernel, stride, padding, dilation } }
    }

    /// From one place of the kernel to the next; at least 1.
    pub fn stride(mut self, stride: [usize; N]) -> Self {
        self.sizes.stride = stride;
        self
    }

    /// Zeros on either side of the input.
    pub fn padding(mut self, padding: [usize; N]) -> Self {
        self.sizes.padding = padding;
        self
    }

    /// From one element of the kernel to the next; at least 1.
    pub fn dilation(mut self, dilation: [usize; N]) -> Self {
        self.sizes.dilation = dilation;
        self
    }

    /// Groups of channels; they divide the channels of the input and of the output.
    pub fn groups(mut self, groups: usize) -> Self {
        self.sizes.groups = groups;
        self
    }
}
