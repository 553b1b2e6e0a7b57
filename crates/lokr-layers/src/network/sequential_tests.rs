use approx::assert_abs_diff_eq;
use lokr_testing::{matrix, vector};
use ndarray::{Array1, Array2, array, s};

use super::Sequential;
use crate::activation::Activation;
use crate::adapter::{LoKrAdapter, LoKrInit};
use crate::error::LayerError;
use crate::layer::{GradientAt, Layer};
use crate::linear::{Dense, FullyConnected};
use crate::test_support::{ModeProbe, check_gradients, check_layouts};
use crate::training::{Loss, Targets};

fn dense(input: usize, output: usize, activation: Activation, seed: u64) -> Box<dyn Layer<f64>> {
    Box::new(Dense::from_arrays(matrix(input, output, seed), vector(output, seed + 1), activation).unwrap())
}

fn full(input: usize, output: usize, activation: Activation, seed: u64) -> Box<dyn Layer<f64>> {
    Box::new(FullyConnected::from_arrays(matrix(output, input, seed), vector(output, seed + 1), activation).unwrap())
}

/// 5 → 7 → 2 → 3.
fn network(last: Activation) -> Sequential<f64> {
    let layers = vec![dense(5, 7, Activation::Tanh, 1), full(7, 2, Activation::Silu, 3), dense(2, 3, last, 5)];
    Sequential::new(layers).unwrap()
}

#[test]
fn it_is_the_layers_one_after_the_other() {
    let mut network = network(Activation::Softmax);
    let x = matrix(4, 5, 9);
    let mut expected = x.clone();
    for layer in network.layers() {
        expected = layer.predict(&expected).unwrap();
    }
    assert_eq!((network.input_size(), network.output_size()), (5, 3));
    assert_eq!(network.predict(&x).unwrap(), expected);
    assert_eq!(network.forward(&x).unwrap(), expected);
    assert!(network.supports_training());
}

#[test]
fn gradients_agree_with_central_differences() {
    check_gradients(&mut network(Activation::Softmax), &matrix(4, 5, 9));
    check_gradients(&mut Sequential::new(vec![full(3, 2, Activation::Gelu, 1)]).unwrap(), &matrix(2, 3, 9));
    let nested: Vec<Box<dyn Layer<f64>>> =
        vec![dense(2, 5, Activation::Sigmoid, 7), Box::new(network(Activation::Identity))];
    check_gradients(&mut Sequential::new(nested).unwrap(), &matrix(3, 2, 9));
}

#[test]
fn the_softmax_short_cut_equals_the_full_jacobian() {
    let (labels, x) = ([2, 0, 1, 1], matrix(4, 5, 9));
    let (mut short, mut long) = (network(Activation::Softmax), network(Activation::Softmax));
    let (mut dx_short, mut dx_long) = (Array2::from_elem((4, 5), f64::NAN), Array2::from_elem((4, 5), f64::NAN));

    let loss = Loss::CrossEntropyFromSoftmax;
    let p = short.forward(&x).unwrap();
    let mut dz = Array2::zeros(p.dim());
    loss.gradient_into(&p, Targets::Labels(&labels), &mut dz).unwrap();
    short.backward_into(&dz, loss.gradient_at(), &mut dx_short).unwrap();

    // ∂(−ln p_label)/∂p, through the softmax.
    let p = long.forward(&x).unwrap();
    let mut dp = Array2::zeros(p.dim());
    labels.iter().enumerate().for_each(|(i, &label)| dp[[i, label]] = -1.0 / (4.0 * p[[i, label]]));
    long.backward_into(&dp, GradientAt::Output, &mut dx_long).unwrap();

    assert_abs_diff_eq!(dx_short, dx_long, epsilon = 1e-14);
    assert_abs_diff_eq!(short.gradients().unwrap(), long.gradients().unwrap(), epsilon = 1e-14);
}

#[test]
fn memory_between_the_layers_is_reused() {
    let mut network = network(Activation::Identity);
    let mut addresses = Vec::new();
    for batch in [4, 2, 4] {
        network.forward(&matrix(batch, 5, 9)).unwrap();
        network.backward(&matrix(batch, 3, 8)).unwrap();
        addresses.push(network.between.iter().map(|b| b.view().as_ptr()).collect::<Vec<_>>());
    }
    assert_eq!(addresses[0].len(), 2);
    assert!(addresses.iter().all(|a| *a == addresses[0]));
}

#[test]
fn layout_of_the_arguments_does_not_matter() {
    check_layouts(&mut network(Activation::Tanh), &matrix(4, 5, 9), &matrix(4, 3, 8));
}

#[test]
fn an_empty_batch_passes() {
    let mut network = network(Activation::Softmax);
    assert_eq!(network.predict(&Array2::zeros((0, 5))).unwrap().dim(), (0, 3));
    assert_eq!(network.forward(&Array2::zeros((0, 5))).unwrap().dim(), (0, 3));
    assert_eq!(network.backward(&Array2::zeros((0, 3))).unwrap().dim(), (0, 5));
    assert_eq!(network.gradients().unwrap(), Array1::<f64>::zeros(network.parameter_count()));
}

#[test]
fn parameters_are_named_and_flattened_in_order() {
    let mut network = network(Activation::Identity);
    let mut names = Vec::new();
    network.visit(&mut |name, values, _| names.push(format!("{name} {:?}", values.shape())));
    let expected = ["0.weight [5, 7]", "0.bias [7]", "1.weight [2, 7]", "1.bias [2]", "2.weight [2, 3]", "2.bias [3]"];
    assert_eq!(names, expected);
    let parameters = network.parameters();
    assert_eq!(parameters.len(), 35 + 7 + 14 + 2 + 6 + 3);
    assert_eq!(parameters.slice(s![42..58]), network.layers()[1].parameters());
    network.set_parameters(&(&parameters * 2.0)).unwrap();
    assert_eq!(network.layers()[1].parameters(), &parameters.slice(s![42..58]) * 2.0);
    assert_eq!(format!("{network:?}"), r#"["Dense 5 → 7", "FullyConnected 7 → 2", "Dense 2 → 3"]"#);
}

#[test]
fn constructors_refuse_what_makes_no_network() {
    let error = Sequential::<f64>::new(vec![]).unwrap_err();
    assert!(matches!(error, LayerError::InvalidSetting { setting: "number of layers", .. }));
    let broken =
        || vec![dense(5, 7, Activation::Relu, 1), full(7, 2, Activation::Relu, 1), dense(3, 3, Activation::Relu, 1)];
    let expected = LayerError::Chain { layer: "Dense", index: 2, inputs: 3, outputs: 2 };
    assert_eq!(Sequential::new(broken()).unwrap_err(), expected);
    let mapped = network(Activation::Relu)
        .map_layers(|i, layer| Ok(if i == 1 { full(7, 4, Activation::Relu, 1) } else { layer }));
    assert_eq!(mapped.unwrap_err(), LayerError::Chain { layer: "Dense", index: 2, inputs: 2, outputs: 4 });
}

#[test]
fn layers_can_be_replaced_one_by_one() {
    let original = network(Activation::Identity);
    let doubled = original
        .clone()
        .map_layers(|_, mut layer| {
            let twice = layer.parameters() * 2.0;
            layer.set_parameters(&twice)?;
            Ok(layer)
        })
        .unwrap();
    assert_eq!(doubled.parameters(), original.parameters() * 2.0);
    let refused = original.clone().map_layers(|i, layer| {
        if i == 1 { Err(LayerError::NotMergeable { layer: layer.type_name() }) } else { Ok(layer) }
    });
    assert_eq!(refused.unwrap_err(), LayerError::NotMergeable { layer: "FullyConnected" });
    assert_eq!(original.into_layers().len(), 3);
}

#[test]
fn wrong_shapes_are_named_before_any_layer_changes() {
    let mut network = network(Activation::Tanh);
    let shape = |layer, argument, expected, found| Err(LayerError::Shape { layer, argument, expected, found });
    network.forward(&matrix(4, 5, 9)).unwrap();
    let (mut y, mut dx) = (Array2::from_elem((4, 3), 1.5), Array2::from_elem((4, 5), 2.5));
    let at = GradientAt::Output;
    assert_eq!(network.predict_into(&matrix(4, 6, 1), &mut y), shape("Sequential", "x", (4, 5), (4, 6)));
    assert_eq!(network.forward_into(&matrix(3, 5, 1), &mut y), shape("Sequential", "y", (3, 3), (4, 3)));
    assert_eq!(network.backward_into(&matrix(4, 2, 1), at, &mut dx), shape("Sequential", "dy", (4, 3), (4, 2)));
    assert_eq!(network.backward_into(&matrix(4, 3, 1), at, &mut y), shape("Sequential", "dx", (4, 5), (4, 3)));
    assert_eq!(network.backward(&matrix(2, 3, 1)).map(drop), shape("Dense", "dy", (4, 3), (2, 3)));
    assert_eq!((y, dx), (Array2::from_elem((4, 3), 1.5), Array2::from_elem((4, 5), 2.5)));
    assert_eq!(network.gradients(), Err(LayerError::NoGradients { layer: "Sequential" }));
    network.backward(&matrix(4, 3, 1)).unwrap();
}

#[test]
fn backward_needs_a_forward_and_gradients_add_up_until_cleared() {
    let mut network = network(Activation::Softmax);
    let (x, dy) = (matrix(4, 5, 9), matrix(4, 3, 8));
    assert_eq!(network.backward(&dy), Err(LayerError::BackwardBeforeForward { layer: "Dense" }));
    network.forward(&x).unwrap();
    network.backward(&dy).unwrap();
    let once = network.gradients().unwrap();
    network.forward(&x).unwrap();
    network.backward(&dy).unwrap();
    assert_abs_diff_eq!(network.gradients().unwrap(), &once * 2.0, epsilon = 1e-14);
    network.clear_gradients();
    assert_eq!(network.gradients(), Err(LayerError::NoGradients { layer: "Sequential" }));
    network.backward(&dy).unwrap();
    assert_eq!(network.gradients().unwrap(), once);
    network.reset_state();
    assert_eq!(network.backward(&dy), Err(LayerError::BackwardBeforeForward { layer: "Dense" }));
}

#[test]
fn a_clone_is_independent() {
    let network = network(Activation::Identity);
    let mut copy = network.clone_box();
    copy.set_parameters(&Array1::zeros(network.parameter_count())).unwrap();
    assert_eq!(copy.predict(&matrix(2, 5, 1)).unwrap(), array![[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]);
    assert!(network.predict(&matrix(2, 5, 1)).unwrap()[[0, 0]] != 0.0);
}

#[test]
fn the_mode_reaches_every_layer_and_every_layer_must_support_training() {
    let events = || std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let inner = Dense::from_arrays(matrix(2, 2, 1), vector(2, 1), Activation::Relu).unwrap();
    let first = ModeProbe { inner: inner.clone(), events: events(), trainable: true };
    let second = ModeProbe { inner, events: events(), trainable: false };
    let mut network = Sequential::new(vec![Box::new(first.clone()), Box::new(second.clone())]).unwrap();
    network.set_training_mode(true);
    network.set_training_mode(false);
    for probe in [&first, &second] {
        assert_eq!(*probe.events.lock().unwrap(), ["training mode", "inference mode"]);
    }
    assert!(!network.supports_training());
    assert!(Sequential::new(vec![Box::new(first) as Box<dyn Layer<f64>>]).unwrap().supports_training());
}

#[test]
fn merging_a_network_merges_every_adapter_and_copies_the_rest() {
    let adapter = |base: Box<dyn Layer<f64>>, seed| {
        LoKrAdapter::builder(base).rank(1).init(LoKrInit::Random).seed(seed).build().unwrap()
    };
    let network = Sequential::new(vec![
        Box::new(adapter(dense(4, 6, Activation::Gelu, 1), 1)),
        dense(6, 5, Activation::Tanh, 2),
        Box::new(adapter(full(5, 3, Activation::Softmax, 3), 2)),
    ])
    .unwrap();
    let merged = network.merged().unwrap();
    let x = ndarray::Array2::from_shape_fn((7, 4), |(i, j)| (i as f64 - 3.0) * 0.3 + j as f64 * 0.1);
    let difference = network.predict(&x).unwrap() - merged.predict(&x).unwrap();
    assert!(difference.iter().all(|d| d.abs() < 1e-12), "{difference}");
    assert_eq!(merged.parameter_count(), 4 * 6 + 6 + 6 * 5 + 5 + 5 * 3 + 3); // no adapter is left
}
