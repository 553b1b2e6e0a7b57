//! The sizes of a convolution, as data.

/// What a convolution slides over what, with a size for each of its one, two or three axes: in the terms of
/// [`crate::ConvGeometry`], which makes it and is made of it, but with the number of axes known at run time only.
///
/// Whether the sizes make sense is checked where a layer is made of them.
///
/// # Examples
/// ```
/// use lokr_layers::{ConvGeometry, ConvSizes};
///
/// let sizes = ConvSizes::from(&ConvGeometry::new(3, [32, 24], [5, 3]).padding([2, 1]));
/// assert_eq!((sizes.channels, &*sizes.kernel, &*sizes.stride), (3, &[5, 3][..], &[1, 1][..]));
/// let geometry: ConvGeometry<2> = (&sizes).try_into()?;
/// assert_eq!(ConvSizes::from(&geometry), sizes);
/// assert!(ConvGeometry::<1>::try_from(&sizes).is_err());
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct ConvSizes {
    /// Channels of the input.
    pub channels: usize,
    /// Groups of channels, each seen by outputs of its own.
    pub groups: usize,
    /// The input along each axis.
    pub input: Vec<usize>,
    /// The kernel.
    pub kernel: Vec<usize>,
    /// From one place of the kernel to the next.
    pub stride: Vec<usize>,
    /// Zeros on either side of the input.
    pub padding: Vec<usize>,
    /// From one element of the kernel to the next.
    pub dilation: Vec<usize>,
}
