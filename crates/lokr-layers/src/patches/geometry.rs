//! The sizes of a convolution, and which value of a row lies where in which patch.

use std::ops::Range;

use crate::error::{LayerError, Result};
use crate::limits::PATCH_VALUES;

/// Axes of space that there can be.
const AXES: usize = 3;

/// What a patch has where it reaches beyond the input.
const OUTSIDE: u32 = u32::MAX;

/// How the rows of a convolution are cut into patches: its sizes, and where each value of a patch lies.
///
/// A row of the input has `channels` times the values of the input's axes, channel by channel; a row of the output has
/// as many values for each output channel as there are places. The patch of a place and a group of channels is
/// `width` values long, channel by channel, each with the elements of the kernel in their order: as the weight
/// `(out, channels/groups, kernel…)` lies in memory.
///
/// Made with a convolution ([`crate::Conv::new`]), read with [`crate::Layer::patches`].
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, Conv2d, ConvGeometry, Init, Layer, rand::{SeedableRng, rngs::SmallRng}};
///
/// let geometry = ConvGeometry::new(3, [8, 6], [3, 3]).stride([2, 2]).padding([1, 1]);
/// let layer = Conv2d::<f32>::new(&geometry, 5, Activation::Relu, Init::HeNormal, &mut SmallRng::seed_from_u64(1))?;
/// let patches = layer.patches().ok_or("a convolution has patches")?;
/// assert_eq!((patches.width(), patches.places()), (3 * 9, 4 * 3));
/// assert_eq!((patches.output(), layer.output_size()), (&[4, 3][..], 5 * 12));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patches {
    channels: usize,
    groups: usize,
    /// How many of the axes below are in use; the first ones are of one place.
    axes: usize,
    input: [usize; AXES],
    kernel: [usize; AXES],
    stride: [usize; AXES],
    padding: [usize; AXES],
    dilation: [usize; AXES],
    output: [usize; AXES],
    /// For each place and each element of the kernel, which value of a channel lies there.
    sources: Vec<u32>,
}

/// What a convolution is asked to be, for each axis of space.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes<const N: usize> {
    pub(crate) channels: usize,
    pub(crate) groups: usize,
    pub(crate) input: [usize; N],
    pub(crate) kernel: [usize; N],
    pub(crate) stride: [usize; N],
    pub(crate) padding: [usize; N],
    pub(crate) dilation: [usize; N],
}

/// Samples and places that are computed at a time: whole samples, or places of a single one.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) samples: Range<usize>,
    pub(super) places: Range<usize>,
}

impl Block {
    /// Patches in it, of one group.
    pub(super) fn rows(&self) -> usize {
        self.samples.len() * self.places.len()
    }
}

impl Patches {
    /// # Errors
    /// [`LayerError::ZeroSize`], [`LayerError::InvalidSetting`].
    pub(crate) fn new<const N: usize>(layer: &'static str, sizes: &Sizes<N>) -> Result<Self> {
        let Sizes { channels, groups, input, kernel, stride, padding, dilation } = *sizes;
        let invalid = |setting, value: &[usize], expected| Err(LayerError::invalid(setting, Shown(value), expected));
        if channels == 0 || input.contains(&0) {
            return Err(LayerError::ZeroSize { layer, input_size: 0, output_size: 0 });
        }
        if groups == 0 || !channels.is_multiple_of(groups) {
            return Err(LayerError::invalid("groups", groups, "a divisor of the numbers of channels"));
        }
        for (setting, values) in [("kernel", kernel), ("stride", stride), ("dilation", dilation)] {
            if values.contains(&0) {
                return invalid(setting, &values, "at least 1 along every axis");
            }
        }
        let mut output = [0; N];
        for axis in 0..N {
            let padded = padding[axis].checked_mul(2).and_then(|padding| padding.checked_add(input[axis]));
            let reach = (kernel[axis] - 1).checked_mul(dilation[axis]);
            match (padded, reach) {
                (Some(padded), Some(reach)) if reach < padded => {
                    output[axis] = (padded - reach - 1) / stride[axis] + 1;
                }
                _ => return invalid("kernel", &kernel, "one that fits into the padded input along every axis"),
            }
        }
        let product = |sizes: &[usize]| sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        let values = product(&input).and_then(|plane| plane.checked_mul(channels));
        let patches = product(&output).zip(product(&kernel)).and_then(|(places, kernel)| places.checked_mul(kernel));
        match (values, patches.and_then(|patches| patches.checked_mul(channels))) {
            // Places in a channel are numbered by 32 bits.
            (Some(values), Some(_)) if values / channels < OUTSIDE as usize => {}
            _ => return invalid("input", &input, "sizes that can be counted"),
        }
        let mut patches = Self {
            channels,
            groups,
            axes: N,
            input: filled(input, 1),
            kernel: filled(kernel, 1),
            stride: filled(stride, 1),
            padding: filled(padding, 0),
            dilation: filled(dilation, 1),
            output: filled(output, 1),
            sources: Vec::new(),
        };
        patches.locate()?;
        Ok(patches)
    }

    /// Fills `sources`.
    fn locate(&mut self) -> Result<()> {
        let count = self.places() * self.kernel_values();
        let refused = || LayerError::invalid("input", Shown(self.input()), "sizes whose patches memory holds");
        let mut sources = Vec::new();
        sources.try_reserve_exact(count).map_err(|_| refused())?;
        let within = |axis: usize, place: usize, element: usize| {
            let position = place * self.stride[axis] + element * self.dilation[axis];
            position.checked_sub(self.padding[axis]).filter(|&position| position < self.input[axis])
        };
        for place in indices(self.output) {
            for element in indices(self.kernel) {
                let source = (0..AXES).try_fold(0, |source, axis| {
                    Some(source * self.input[axis] + within(axis, place[axis], element[axis])?)
                });
                // Checked: places in a channel are fewer than `OUTSIDE`.
                sources.push(source.map_or(OUTSIDE, |source| source as u32));
            }
        }
        self.sources = sources;
        Ok(())
    }

    /// Channels of the input.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Groups of channels, each seen by outputs of its own.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The input's sizes along the axes of space.
    #[must_use]
    pub fn input(&self) -> &[usize] {
        &self.input[AXES - self.axes..]
    }

    /// The kernel's.
    #[must_use]
    pub fn kernel(&self) -> &[usize] {
        &self.kernel[AXES - self.axes..]
    }

    /// From one place to the next.
    #[must_use]
    pub fn stride(&self) -> &[usize] {
        &self.stride[AXES - self.axes..]
    }

    /// Zeros on either side of the input.
    #[must_use]
    pub fn padding(&self) -> &[usize] {
        &self.padding[AXES - self.axes..]
    }

    /// From one element of the kernel to the next.
    #[must_use]
    pub fn dilation(&self) -> &[usize] {
        &self.dilation[AXES - self.axes..]
    }

    /// The output's sizes along the axes of space.
    #[must_use]
    pub fn output(&self) -> &[usize] {
        &self.output[AXES - self.axes..]
    }

    /// Places that the kernel is laid on: the values of an output channel.
    #[must_use]
    pub fn places(&self) -> usize {
        self.output.iter().product()
    }

    /// Elements of the kernel.
    #[must_use]
    pub fn kernel_values(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Values of a patch, the columns of the weight as a matrix: `channels/groups` times the kernel's elements.
    #[must_use]
    pub fn width(&self) -> usize {
        self.channels / self.groups * self.kernel_values()
    }

    /// Values of a row of the input.
    #[must_use]
    pub fn input_size(&self) -> usize {
        self.channels * self.plane()
    }

    /// Values of a channel.
    pub(super) fn plane(&self) -> usize {
        self.input.iter().product()
    }

    /// Where the values of the patches of these places lie in a channel; beyond its end where they are in the padding.
    pub(super) fn sources(&self, places: &Range<usize>) -> &[u32] {
        let kernel = self.kernel_values();
        self.sources.get(places.start * kernel..places.end * kernel).unwrap_or_default()
    }

    /// The blocks in which so many samples are computed, at least one; a single one where the batch is wanted whole.
    pub(super) fn blocks(&self, samples: usize, whole: bool) -> Vec<Block> {
        let (places, width) = (self.places(), self.width());
        if whole || samples == 0 {
            return vec![Block { samples: 0..samples, places: 0..places }];
        }
        let rows = (PATCH_VALUES / width).max(1);
        let (of_samples, of_places) = ((rows / places).max(1), rows.min(places));
        let starts = (0..samples).step_by(of_samples);
        let blocks = starts.flat_map(|first| {
            (0..places).step_by(of_places).map(move |place| Block {
                samples: first..samples.min(first + of_samples),
                places: place..places.min(place + of_places),
            })
        });
        blocks.collect()
    }
}

/// The sizes of the last axes, and `other` for the axes before them.
fn filled<const N: usize>(sizes: [usize; N], other: usize) -> [usize; AXES] {
    const { assert!(N >= 1 && N <= AXES, "a convolution has one, two or three axes") };
    std::array::from_fn(|axis| if axis + N < AXES { other } else { sizes[axis + N - AXES] })
}

/// All index triples, the last one counting fastest.
fn indices(sizes: [usize; AXES]) -> impl Iterator<Item = [usize; AXES]> {
    let [first, second, third] = sizes;
    let pairs = move |i| (0..second).flat_map(move |j| (0..third).map(move |k| [i, j, k]));
    (0..first).flat_map(pairs)
}

/// Sizes as a message shows them.
struct Shown<'s>(&'s [usize]);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
