//! One rule for parameters that change: a backward needs a forward of its own parameters, and gradients of others go.

use lokr_layers::{
    Activation, Layer, LayerError, LoKrAdapter, Loading, Sequential, load_parameters, named_parameters, set_parameter,
};
use ndarray::Array1;

use crate::support::*;

type Network = Sequential<f64>;

fn network() -> Network {
    let mut adapter = adapter(dense(&matrix::<f64>(12, 8, 1), &vector(12, 2), Activation::Tanh), 1, 5);
    adapter.set_base_frozen(false);
    let plain = fully_connected(&matrix::<f64>(6, 12, 3), &vector(6, 4), Activation::Gelu);
    let mut network = Sequential::empty();
    network.push(adapter).unwrap().push(plain).unwrap();
    network
}

fn stepped() -> Network {
    let mut network = network();
    network.forward(&matrix(3, 8, 7)).unwrap();
    network.backward(&matrix(3, 6, 8)).unwrap();
    network
}

/// Whether a backward is refused, and the gradients are gone.
fn state(network: &mut dyn Layer<f64>) -> (bool, bool) {
    let gone = matches!(network.gradients(), Err(LayerError::NoGradients { .. }));
    let dy = matrix(3, network.output_size(), 8);
    (matches!(network.backward(&dy), Err(LayerError::BackwardBeforeForward { .. })), gone)
}

#[test]
fn setting_parameters_ends_the_forward_and_drops_gradients() {
    let sets: [fn(&mut Network); 6] = [
        |network| network.set_parameters(&Array1::zeros(network.parameter_count())).unwrap(),
        |network| {
            let values = named_parameters(network).unwrap();
            load_parameters(network, &values, Loading::Complete).unwrap();
        },
        |network| set_parameter(network, "1.bias", &vector::<f64>(6, 9).into_dyn()).unwrap(),
        |network| {
            let one = network.layer_mut("1").unwrap();
            one.set_parameters(&Array1::ones(one.parameter_count())).unwrap();
        },
        |network| network.adapter_mut("0").unwrap().set_scaling(0.5).unwrap(),
        |network| network.adapter_mut("0").unwrap().set_update_multiplier("default", 0.5).unwrap(),
    ];
    for (index, set) in sets.into_iter().enumerate() {
        let mut network = stepped();
        set(&mut network);
        assert_eq!(state(&mut network), (true, true), "{index}");
    }
}

#[test]
fn every_setter_of_a_layer_follows_the_rule() {
    let mut layer = dense(&matrix::<f64>(6, 8, 1), &vector(6, 2), Activation::Tanh);
    let mut adapted = adapter(layer.clone(), 2, 3);
    let steps = |layer: &mut dyn Layer<f64>| {
        layer.forward(&matrix(3, 8, 7)).unwrap();
        layer.backward(&matrix(3, 6, 8)).unwrap();
    };
    steps(&mut layer);
    layer.set_weights(&matrix(8, 6, 4)).unwrap();
    assert_eq!(state(&mut layer), (true, true));
    steps(&mut layer);
    layer.set_bias(&vector(6, 4)).unwrap();
    assert_eq!(state(&mut layer), (true, true));
    steps(&mut adapted);
    adapted.set_matrix_a(matrix(2, 2, 4)).unwrap();
    assert_eq!(state(&mut adapted), (true, true));
    steps(&mut adapted);
    adapted.set_matrix_b(matrix(3, 4, 4)).unwrap();
    assert_eq!(state(&mut adapted), (true, true));
    steps(&mut adapted);
    adapted.as_linear_mut().unwrap().weight_mut().fill(1.0);
    assert_eq!(state(&mut adapted), (true, true));
}

#[test]
fn a_step_keeps_the_gradients_and_ends_the_forward() {
    let mut network = stepped();
    let gradients = network.gradients().unwrap();
    network.update_parameters(0.1).unwrap();
    assert_eq!(network.gradients().unwrap(), gradients);
    assert_eq!(state(&mut network), (true, false));
}

#[test]
fn a_set_that_is_refused_changes_nothing_of_that() {
    let mut network = stepped();
    assert!(network.set_parameters(&Array1::zeros(3)).is_err());
    assert!(set_parameter(&mut network, "1.bias", &vector::<f64>(5, 9).into_dyn()).is_err());
    assert!(network.adapter_mut("0").unwrap().set_scaling(f64::NAN).is_err());
    assert_eq!(state(&mut network), (false, false));
}

/// What trains changes; what is computed does not.
#[test]
fn freezing_drops_gradients_and_leaves_the_forward() {
    let mut adapter = LoKrAdapter::new(dense(&matrix::<f64>(6, 8, 1), &vector(6, 2), Activation::Tanh), 2, None, true);
    let adapter = adapter.as_mut().unwrap();
    adapter.forward(&matrix(3, 8, 7)).unwrap();
    adapter.backward(&matrix(3, 6, 8)).unwrap();
    adapter.set_base_frozen(false);
    assert_eq!(state(adapter), (false, true));
}
