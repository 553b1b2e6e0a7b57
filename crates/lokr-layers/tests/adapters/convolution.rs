//! Convolutions against their definition, and their gradients against central differences.

use lokr_layers::{
    Activation, Conv1d, Conv2d, Conv3d, ConvGeometry, Dense, GradientAt, Init, Layer, LayerError, LinearLayer, Loading,
    Sequential, Shared, load_parameters, named_parameters, named_values,
    rand::{SeedableRng, rngs::SmallRng},
};
use ndarray::{Array1, Array2, Array4, Array5, s};

use crate::support::convolution::{check_gradients, convolution, definition};
use crate::support::*;

fn check<const N: usize>(geometry: &ConvGeometry<N>, sizes: (usize, usize), kernel: [usize; N], output: [usize; N]) {
    let what = format!("{geometry:?}");
    let layer = convolution(geometry, sizes, kernel, Activation::Identity);
    let patches = layer.patches().unwrap();
    assert_eq!(patches.output(), output, "{what}");
    for batch in [0, 1, 3] {
        let x = matrix::<f64>(batch, layer.input_size(), 3);
        let expected = definition(patches, &layer.weight(), &layer.bias().to_owned(), &x);
        assert_close(&layer.predict(&x).unwrap(), &expected, 99, &what);
    }
    for activation in [Activation::Identity, Activation::Tanh, Activation::Softmax] {
        check_gradients(&mut convolution(geometry, sizes, kernel, activation), 2, &what);
    }
}

#[test]
fn outputs_and_gradients_are_the_definitions() {
    let line = |channels, length, kernel| ConvGeometry::new(channels, [length], [kernel]);
    check(&line(1, 1, 1), (1, 1), [1], [1]);
    check(&line(2, 7, 3), (3, 2), [3], [5]);
    check(&line(3, 5, 2).stride([2]).padding([1]), (2, 3), [2], [3]);
    check(&line(2, 11, 3).dilation([4]).stride([2]), (1, 2), [3], [2]);
    check(&line(4, 5, 3).padding([1]).groups(4), (8, 1), [3], [5]); // depthwise, two outputs for each channel
    let plane = |channels, size, kernel| ConvGeometry::new(channels, size, kernel);
    check(&plane(2, [4, 3], [1, 1]), (3, 2), [1, 1], [4, 3]);
    check(&plane(1, [3, 5], [3, 5]), (2, 1), [3, 5], [1, 1]);
    check(&plane(2, [5, 4], [3, 2]).stride([2, 1]).padding([1, 0]), (3, 2), [3, 2], [3, 3]);
    check(&plane(1, [7, 5], [2, 3]).dilation([3, 2]).padding([1, 2]), (2, 1), [2, 3], [6, 5]);
    check(&plane(6, [3, 3], [2, 2]).groups(3), (3, 2), [2, 2], [2, 2]);
    check(&plane(4, [3, 4], [3, 3]).padding([1, 1]).groups(2), (6, 2), [3, 3], [3, 4]);
    let space = ConvGeometry::new(2, [3, 2, 4], [2, 1, 3]).padding([0, 1, 1]).stride([1, 2, 1]);
    check(&space, (2, 2), [2, 1, 3], [2, 2, 4]);
}

#[test]
fn rows_of_any_layout_are_read_and_written() {
    for groups in [1, 2] {
        let geometry = ConvGeometry::new(2, [4, 3], [2, 2]).groups(groups);
        let mut layer = convolution(&geometry, (2, 2 / groups), [2, 2], Activation::Gelu);
        let (x, dy, nan) = (matrix::<f64>(3, 24, 1), matrix::<f64>(3, 12, 2), f64::NAN);
        let (y, dx) = (layer.forward(&x).unwrap(), layer.backward(&dy).unwrap());
        let gradients = layer.gradients().unwrap();
        for layout in LAYOUTS {
            let what = format!("{layout:?}, {groups} groups");
            layer.clear_gradients();
            with_layout(&x, layout, |x| {
                with_layout(&Array2::from_elem(y.dim(), nan), layout, |found| {
                    layer.forward_into(x, found).unwrap();
                    assert_close(found, &y, 24, &what);
                });
            });
            with_layout(&dy, layout, |dy| {
                with_layout(&Array2::from_elem(dx.dim(), nan), layout, |found| {
                    layer.backward_into(dy, GradientAt::Output, found).unwrap();
                    assert_close(found, &dx, 24, &what);
                });
            });
            assert_close(&layer.gradients().unwrap(), &gradients, 24, &what);
        }
    }
}

/// Patches of more than one block, of several samples and of parts of one: as the definition has it, and gradients as
/// the sum over samples.
#[test]
fn large_batches_are_computed_in_blocks() {
    // 16·16·(2·9) patches' values a sample, 227 samples a block; and 40·40 places of 9·81, two blocks a sample.
    let small = (ConvGeometry::new(2, [18, 18], [3, 3]), (1, 2), [3, 3], 231);
    let large = (ConvGeometry::new(9, [48, 48], [9, 9]), (1, 9), [9, 9], 2);
    let grouped = (ConvGeometry::new(18, [48, 48], [9, 9]).groups(2), (2, 9), [9, 9], 2);
    for (geometry, sizes, kernel, batch) in [small, large, grouped] {
        let mut layer = convolution(&geometry, sizes, kernel, Activation::Tanh);
        let x = matrix::<f64>(batch, layer.input_size(), 1);
        let dy = matrix::<f64>(batch, layer.output_size(), 2);
        let (y, dx) = (layer.forward(&x).unwrap(), layer.backward(&dy).unwrap());
        assert_close(&layer.predict(&x).unwrap(), &y, 99, "inference");
        let gradients = layer.gradients().unwrap();
        let last = batch - 1;
        let bias = layer.bias().to_owned();
        let expected = definition(layer.patches().unwrap(), &layer.weight(), &bias, &x.slice(s![last.., ..]));
        assert_close(&y.slice(s![last.., ..]).to_owned(), &expected.mapv(f64::tanh), 999, "the last sample");
        layer.clear_gradients();
        for sample in 0..batch {
            let rows = s![sample..=sample, ..];
            layer.forward(&x.slice(rows)).unwrap();
            let one = layer.backward(&dy.slice(rows)).unwrap();
            assert_close(&one, &dx.slice(rows).to_owned(), 999, "dx");
        }
        assert_close(&layer.gradients().unwrap(), &gradients, 99_999, "gradients");
    }
}

#[test]
fn parameters_have_the_shapes_and_names_of_files() {
    let geometry = ConvGeometry::new(4, [5, 5], [3, 2]).groups(2);
    let mut layer = convolution(&geometry, (6, 2), [3, 2], Activation::Relu);
    let shapes: Vec<_> = named_parameters(&layer).unwrap().into_iter().map(|(k, v)| (k, v.shape().to_vec())).collect();
    assert_eq!(shapes, [("bias".to_owned(), vec![6]), ("weight".to_owned(), vec![6, 2, 3, 2])]);
    assert_eq!(layer.weights().shape(), [6, 2, 3, 2]);
    let values = named_values(&layer).unwrap();
    let mut other = convolution(&geometry, (6, 2), [3, 2], Activation::Relu);
    other.visit_mut(&mut |_, mut values, _| values.fill(0.0));
    load_parameters(&mut other, &values, Loading::Complete).unwrap();
    assert_eq!(other.weights(), layer.weights());

    layer.set_frozen(true).unwrap();
    assert_eq!((layer.parameter_count(), named_values(&layer).unwrap()), (0, values));
    let (x, dy) = (matrix::<f64>(2, 100, 1), matrix::<f64>(2, 6 * 3 * 4, 2));
    layer.forward(&x).unwrap();
    other.forward(&x).unwrap();
    assert_close(&layer.backward(&dy).unwrap(), &other.backward(&dy).unwrap(), 24, "frozen");
    let bare = other.without_bias();
    assert_eq!(bare.parameter_count(), 6 * 2 * 6);
}

#[test]
fn a_change_of_parameters_ends_the_forward() {
    let mut layer = convolution(&ConvGeometry::new(1, [4], [2]), (2, 1), [2], Activation::Relu);
    let (x, dy) = (matrix::<f64>(2, 4, 1), matrix::<f64>(2, 6, 2));
    let before = |layer: &mut Conv1d<f64>| {
        let error = layer.backward(&dy).unwrap_err();
        assert_eq!(error, LayerError::BackwardBeforeForward { layer: "Conv1d" });
    };
    before(&mut layer);
    layer.forward(&x).unwrap();
    layer.weight_mut()[[0, 0]] = 3.0;
    before(&mut layer);
    layer.forward(&x).unwrap();
    layer.set_bias(&vector(2, 7)).unwrap();
    before(&mut layer);
    layer.forward(&x).unwrap();
    layer.backward(&dy).unwrap();
    layer.backward(&dy).unwrap(); // gradients add up
    layer.update_parameters(0.1).unwrap();
    before(&mut layer);
}

#[test]
fn sizes_that_make_no_convolution_are_typed_errors() {
    let rng = &mut SmallRng::seed_from_u64(1);
    let mut made = |geometry: ConvGeometry<2>, out: usize| {
        Conv2d::<f32>::new(&geometry, out, Activation::Relu, Init::HeNormal, rng).map(|_| ()).unwrap_err()
    };
    let plane = || ConvGeometry::new(4, [5, 6], [3, 3]);
    let setting = |error: LayerError, name: &str| {
        assert!(matches!(&error, LayerError::InvalidSetting { setting, .. } if *setting == name), "{error}");
    };
    setting(made(ConvGeometry::new(4, [5, 2], [3, 3]), 2), "kernel");
    setting(made(ConvGeometry::new(4, [5, 5], [0, 3]), 2), "kernel");
    setting(made(plane().dilation([3, 1]), 2), "kernel"); // reaches over 7 of 5
    setting(made(plane().stride([0, 1]), 2), "stride");
    setting(made(plane().dilation([1, 0]), 2), "dilation");
    setting(made(plane().groups(3), 3), "groups");
    setting(made(plane().groups(0), 2), "groups");
    setting(made(plane().groups(2), 3), "groups");
    setting(made(plane().padding([usize::MAX, 0]), 2), "kernel");
    setting(made(ConvGeometry::new(4, [1 << 20, 1 << 20], [1, 1]), 2), "input");
    assert!(matches!(made(plane(), 0), LayerError::ZeroSize { layer: "Conv2d", .. }));
    assert!(matches!(made(ConvGeometry::new(0, [5, 6], [3, 3]), 2), LayerError::ZeroSize { .. }));
    assert!(matches!(made(ConvGeometry::new(4, [0, 6], [3, 3]), 2), LayerError::ZeroSize { .. }));

    let arrays = |weight: Array4<f64>, bias: usize| {
        Conv2d::from_arrays(&plane(), weight, Array1::zeros(bias), Activation::Relu).map(|_| ()).unwrap_err()
    };
    let (expected, found) = (vec![2, 4, 3, 3], vec![2, 4, 3, 1]);
    let (layer, name) = ("Conv2d", "weight".to_owned());
    assert_eq!(arrays(Array4::zeros((2, 4, 3, 1)), 2), LayerError::NamedShape { layer, name, expected, found });
    assert!(matches!(arrays(Array4::zeros((2, 4, 3, 3)), 3), LayerError::Length { argument: "bias", .. }));
    assert!(matches!(arrays(Array4::from_elem((2, 4, 3, 3), f64::NAN), 2), LayerError::NonFinite { .. }));
    let flat = Conv1d::from_arrays(
        &ConvGeometry::new(1, [3], [2]),
        Array4::<f64>::zeros((1, 1, 2, 1)),
        Array1::zeros(1),
        Activation::Relu,
    );
    assert!(matches!(flat.map(|_| ()), Err(LayerError::NamedShape { layer: "Conv1d", .. })));

    let mut layer = convolution(&ConvGeometry::new(1, [4], [2]), (2, 1), [2], Activation::Relu);
    let before = layer.parameters();
    assert!(matches!(layer.predict(&matrix(2, 5, 1)), Err(LayerError::Shape { layer: "Conv1d", argument: "x", .. })));
    let mut y = Array2::zeros((2, 5));
    assert!(matches!(layer.forward_into(&matrix(2, 4, 1), &mut y), Err(LayerError::Shape { argument: "y", .. })));
    layer.forward(&matrix(2, 4, 1)).unwrap();
    assert!(matches!(layer.backward(&matrix(3, 6, 1)), Err(LayerError::Shape { argument: "dy", .. })));
    assert_eq!(layer.parameters(), before);
}

#[test]
fn convolutions_stand_in_networks_and_are_shared() {
    let rng = &mut SmallRng::seed_from_u64(3);
    let geometry = ConvGeometry::new(1, [4, 4], [3, 3]).padding([1, 1]).stride([2, 2]);
    let first = Conv2d::<f64>::new(&geometry, 3, Activation::Relu, Init::HeNormal, rng).unwrap();
    let depthwise = ConvGeometry::new(3, [2, 2], [2, 2]).groups(3);
    let second = Conv2d::new(&depthwise, 6, Activation::Tanh, Init::HeNormal, rng).unwrap();
    let mut network = Sequential::empty();
    network.push_named("first", first).unwrap().push_named("second", second).unwrap();
    network.push_named("head", Dense::new(6, 2, Activation::Softmax, Init::XavierNormal, rng).unwrap()).unwrap();
    check_gradients(&mut network, 2, "network");

    let x = matrix(3, 16, 4);
    let y = network.predict(&x).unwrap();
    let mut shared = network.clone();
    shared.share(["first", "second"]).unwrap();
    assert_eq!(shared.predict(&x).unwrap(), y);
    assert_eq!(shared.forward(&x).unwrap(), y);
    network.forward(&x).unwrap();
    let dy = matrix(3, 2, 5);
    assert_close(&shared.backward(&dy).unwrap(), &network.backward(&dy).unwrap(), 99, "dx through shared layers");
    let lone = Shared::new(
        Conv3d::from_arrays(
            &ConvGeometry::new(1, [2, 2, 2], [1, 1, 1]),
            Array5::from_elem((1, 1, 1, 1, 1), 2.0),
            Array1::zeros(1),
            Activation::Identity,
        )
        .unwrap(),
    )
    .unwrap();
    assert_eq!(lone.predict(&matrix(1, 8, 1)).unwrap(), matrix::<f64>(1, 8, 1) * 2.0);
}
