//! The sizes of a convolution, and which value of a row lies where in which patch.

use std::ops::Range;

use super::sizes::ConvSizes;
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
    sizes: ConvSizes,
    output: Vec<usize>,
    /// For each place and each element of the kernel, which value of a channel lies there.
    sources: Vec<u32>,
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
    pub(crate) fn new(layer: &'static str, sizes: ConvSizes) -> Result<Self> {
        let ConvSizes { channels, groups, input, kernel, stride, padding, dilation } = &sizes;
        let invalid = |setting, value: &[usize], expected| Err(LayerError::invalid(setting, Shown(value), expected));
        let axes = input.len();
        if !(1..=AXES).contains(&axes) {
            return Err(LayerError::invalid("axes of a convolution", axes, "1, 2 or 3"));
        }
        for (setting, values) in [("kernel", kernel), ("stride", stride), ("padding", padding), ("dilation", dilation)]
        {
            if values.len() != axes {
                return invalid(setting, values, "as many sizes as the input has axes");
            }
        }
        if *channels == 0 || input.contains(&0) {
            return Err(LayerError::ZeroSize { layer, input_size: 0, output_size: 0 });
        }
        if *groups == 0 || !channels.is_multiple_of(*groups) {
            return Err(LayerError::invalid("groups", groups, "a divisor of the numbers of channels"));
        }
        for (setting, values) in [("kernel", kernel), ("stride", stride), ("dilation", dilation)] {
            if values.contains(&0) {
                return invalid(setting, values, "at least 1 along every axis");
            }
        }
        let mut output = vec![0; axes];
        for axis in 0..axes {
            let padded = padding[axis].checked_mul(2).and_then(|padding| padding.checked_add(input[axis]));
            let reach = (kernel[axis] - 1).checked_mul(dilation[axis]);
            match (padded, reach) {
                (Some(padded), Some(reach)) if reach < padded => {
                    output[axis] = (padded - reach - 1) / stride[axis] + 1;
                }
                _ => return invalid("kernel", kernel, "one that fits into the padded input along every axis"),
            }
        }
        let product = |sizes: &[usize]| sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        let values = product(input).and_then(|plane| plane.checked_mul(*channels));
        let patches = product(&output).zip(product(kernel)).and_then(|(places, kernel)| places.checked_mul(kernel));
        match (values, patches.and_then(|patches| patches.checked_mul(*channels))) {
            // Places in a channel are numbered by 32 bits.
            (Some(values), Some(_)) if values / channels < OUTSIDE as usize => {}
            _ => return invalid("input", input, "sizes that can be counted"),
        }
        let mut patches = Self { sizes, output, sources: Vec::new() };
        patches.locate()?;
        Ok(patches)
    }

    /// Fills `sources`.
    fn locate(&mut self) -> Result<()> {
        let ConvSizes { input, kernel, stride, padding, dilation, .. } = &self.sizes;
        let count = self.places() * self.kernel_values();
        let refused = || LayerError::invalid("input", Shown(input), "sizes whose patches memory holds");
        let mut sources = Vec::new();
        sources.try_reserve_exact(count).map_err(|_| refused())?;
        let (input, stride, dilation) = (filled(input, 1), filled(stride, 1), filled(dilation, 1));
        let padding = filled(padding, 0);
        let within = |axis: usize, place: usize, element: usize| {
            let position = place * stride[axis] + element * dilation[axis];
            position.checked_sub(padding[axis]).filter(|&position| position < input[axis])
        };
        for place in indices(filled(&self.output, 1)) {
            for element in indices(filled(kernel, 1)) {
                let source = (0..AXES)
                    .try_fold(0, |source, axis| Some(source * input[axis] + within(axis, place[axis], element[axis])?));
                // Checked: places in a channel are fewer than `OUTSIDE`.
                sources.push(source.map_or(OUTSIDE, |source| source as u32));
            }
        }
        self.sources = sources;
        Ok(())
    }

    /// All sizes.
    #[must_use]
    pub fn sizes(&self) -> &ConvSizes {
        &self.sizes
    }

    /// The shape of a weight of so many output channels, `(out, channels/groups, kernel…)`.
    #[must_use]
    pub fn weight_shape(&self, out: usize) -> Vec<usize> {
        [&[out, self.channels() / self.groups()], self.kernel()].concat()
    }

    /// Channels of the input.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.sizes.channels
    }

    /// Groups of channels, each seen by outputs of its own.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.sizes.groups
    }

    /// The input's sizes along the axes of space.
    #[must_use]
    pub fn input(&self) -> &[usize] {
        &self.sizes.input
    }

    /// The kernel's.
    #[must_use]
    pub fn kernel(&self) -> &[usize] {
        &self.sizes.kernel
    }

    /// From one place to the next.
    #[must_use]
    pub fn stride(&self) -> &[usize] {
        &self.sizes.stride
    }

    /// Zeros on either side of the input.
    #[must_use]
    pub fn padding(&self) -> &[usize] {
        &self.sizes.padding
    }

    /// From one element of the kernel to the next.
    #[must_use]
    pub fn dilation(&self) -> &[usize] {
        &self.sizes.dilation
    }

    /// The output's sizes along the axes of space.
    #[must_use]
    pub fn output(&self) -> &[usize] {
        &self.output
    }

    /// Places that the kernel is laid on: the values of an output channel.
    #[must_use]
    pub fn places(&self) -> usize {
        self.output.iter().product()
    }

    /// Elements of the kernel.
    #[must_use]
    pub fn kernel_values(&self) -> usize {
        self.sizes.kernel.iter().product()
    }

    /// Values of a patch, the columns of the weight as a matrix: `channels/groups` times the kernel's elements.
    #[must_use]
    pub fn width(&self) -> usize {
        self.channels() / self.groups() * self.kernel_values()
    }

    /// Values of a row of the input.
    #[must_use]
    pub fn input_size(&self) -> usize {
        self.channels() * self.plane()
    }

    /// Values of a channel.
    pub(super) fn plane(&self) -> usize {
        self.sizes.input.iter().product()
    }

    /// Where the values of the patches of these places lie in a channel; beyond its end where they are in the padding.
    pub(super) fn sources(&self, places: &Range<usize>) -> &[u32] {
        let kernel = self.kernel_values();
        self.sources.get(places.start * kernel..places.end * kernel).unwrap_or_default()
    }

    /// Patches of the largest block of so many samples.
    pub(crate) fn largest_block(&self, samples: usize) -> usize {
        self.blocks(samples, false).next().map_or(0, |block| block.rows())
    }

    /// The blocks in which so many samples are computed, the largest first and at least one; a single one where the
    /// batch is wanted whole.
    pub(super) fn blocks(&self, samples: usize, whole: bool) -> impl Iterator<Item = Block> + use<> {
        let places = self.places();
        let (of_samples, of_places) = match whole || samples == 0 {
            true => (samples.max(1), places),
            false => {
                let rows = (PATCH_VALUES / self.width()).max(1);
                ((rows / places).max(1), rows.min(places))
            }
        };
        (0..samples.max(1)).step_by(of_samples).flat_map(move |first| {
            (0..places).step_by(of_places).map(move |place| Block {
                samples: first..samples.min(first + of_samples),
                places: place..places.min(place + of_places),
            })
        })
    }
}

/// The sizes of the last axes, and `other` for the axes before them.
fn filled(sizes: &[usize], other: usize) -> [usize; AXES] {
    let before = AXES - sizes.len(); // Checked: there are at most so many.
    std::array::from_fn(|axis| if axis < before { other } else { sizes[axis - before] })
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
