//! The plain definition of a convolution, and what tests of convolutions share.

use lokr_layers::{Activation, Conv, ConvGeometry, Layer, Patches};
use ndarray::{Array1, Array2, ArrayRef2, ArrayView2};

use super::{matrix, vector};

/// `y[o, t…] = bias[o] + Σ x[c, t·stride + k·dilation − padding]·w[o, c, k…]`, with the weight as `(out, channels·K)`.
pub(crate) fn definition(
    patches: &Patches,
    weight: &ArrayView2<'_, f64>,
    bias: &Array1<f64>,
    x: &ArrayRef2<f64>,
) -> Array2<f64> {
    let strides =
        |sizes: &[usize]| -> Vec<usize> { (0..sizes.len()).map(|axis| sizes[axis + 1..].iter().product()).collect() };
    let (input, kernel, output) = (patches.input(), patches.kernel(), patches.output());
    let (of_input, of_kernel, of_output) = (strides(input), strides(kernel), strides(output));
    let (plane, places): (usize, usize) = (input.iter().product(), output.iter().product());
    let kernel_values: usize = kernel.iter().product();
    let (channels, out) = (patches.channels() / patches.groups(), weight.nrows());
    Array2::from_shape_fn((x.nrows(), out * places), |(sample, index)| {
        let (o, place) = (index / places, index % places);
        let first = o / (out / patches.groups()) * channels;
        let mut sum = bias[o];
        for c in 0..channels {
            'element: for k in 0..kernel_values {
                let mut at = 0;
                for axis in 0..input.len() {
                    let (t, k) = (place / of_output[axis] % output[axis], k / of_kernel[axis] % kernel[axis]);
                    let position = t * patches.stride()[axis] + k * patches.dilation()[axis];
                    match position.checked_sub(patches.padding()[axis]).filter(|&p| p < input[axis]) {
                        Some(position) => at += position * of_input[axis],
                        None => continue 'element,
                    }
                }
                sum += weight[[o, c * kernel_values + k]] * x[[sample, (first + c) * plane + at]];
            }
        }
        sum
    })
}

/// A convolution with random weight and bias.
pub(crate) fn convolution<const N: usize>(
    geometry: &ConvGeometry<N>,
    (out, channels): (usize, usize),
    kernel: [usize; N],
    activation: Activation,
) -> Conv<f64, N> {
    let shape = [&[out, channels], &kernel[..]].concat();
    let columns = channels * kernel.iter().product::<usize>();
    let weight = matrix::<f64>(out, columns, 1).into_shape_with_order(ndarray::IxDyn(&shape)).unwrap();
    Conv::from_arrays(geometry, weight, vector(out, 2), activation).unwrap()
}

/// Checks the gradients of `Σ c·y` with respect to all parameters and the input against central differences.
pub(crate) fn check_gradients(layer: &mut dyn Layer<f64>, batch: usize, what: &str) {
    let (input, output) = (layer.input_size(), layer.output_size());
    let (mut x, c) = (matrix::<f64>(batch, input, 11), matrix::<f64>(batch, output, 12));
    let y = layer.forward(&x).unwrap();
    super::assert_close(&y, &layer.predict(&x).unwrap(), input, what);
    layer.clear_gradients();
    let dx = layer.backward(&c).unwrap();
    let gradients = layer.gradients().unwrap();
    let parameters = layer.parameters();
    let loss = |layer: &dyn Layer<f64>, x: &Array2<f64>| (layer.predict(x).unwrap() * &c).sum();
    let step = 1e-5;
    let close = |found: f64, high: f64, low: f64, index: usize| {
        let expected = (high - low) / (2.0 * step);
        assert!((found - expected).abs() < 1e-6 * (1.0 + expected.abs()), "{what}, {index}: {found}, {expected}");
    };
    for index in 0..parameters.len() {
        let mut at = |offset: f64| {
            let mut moved = parameters.clone();
            moved[index] += offset;
            layer.set_parameters(&moved).unwrap();
            loss(layer, &x)
        };
        let (high, low) = (at(step), at(-step));
        close(gradients[index], high, low, index);
    }
    layer.set_parameters(&parameters).unwrap();
    for index in 0..x.len() {
        let place = (index / input, index % input);
        let value = x[place];
        x[place] = value + step;
        let high = loss(layer, &x);
        x[place] = value - step;
        let low = loss(layer, &x);
        x[place] = value;
        close(dx[place], high, low, index);
    }
}
