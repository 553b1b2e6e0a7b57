use approx::assert_abs_diff_eq;
use lokr_core::{KronError, Scalar};
use lokr_testing::{matrix, vector};
use ndarray::{Array1, Array2, array};
use ndarray_rand::rand::{SeedableRng, rngs::SmallRng};

use super::{Dense, FullyConnected, Init};
use crate::activation::{Activation, ActivationState};
use crate::error::LayerError;
use crate::layer::{GradientAt, Layer, LinearLayer};
use crate::test_support::{ACTIVATIONS, check_gradients, check_layouts};

/// `W (out, in)` and the bias, and both orientations made of them.
fn pair<T: Scalar>(input: usize, output: usize, activation: Activation) -> (Dense<T>, FullyConnected<T>) {
    let (w, bias) = (matrix::<T>(output, input, 1), vector::<T>(output, 2));
    let dense = Dense::from_arrays(w.t().to_owned(), bias.clone(), activation).unwrap();
    (dense, FullyConnected::from_arrays(w, bias, activation).unwrap())
}

#[test]
fn layers_are_send_and_sync() {
    fn is<L: Send + Sync>() {}
    is::<Dense<f32>>();
    is::<FullyConnected<f64>>();
    is::<Box<dyn Layer<f32>>>();
}

fn forward_is_the_plain_sum<T: Scalar>(tolerance: f64) {
    for (batch, input, output) in [(3, 5, 7), (1, 1, 1), (4, 1, 3), (2, 13, 2), (0, 3, 5)] {
        let (mut dense, mut full) = pair::<T>(input, output, Activation::Identity);
        let x = matrix::<T>(batch, input, 3);
        let mut y = Array2::from_elem((batch, output), T::nan());
        for layer in [&mut dense as &mut dyn Layer<T>, &mut full] {
            layer.forward_into(&x, &mut y).unwrap();
            let linear = layer.as_linear().unwrap();
            for ((r, o), y) in y.indexed_iter() {
                let sum: f64 =
                    (0..input).map(|i| x[[r, i]].to_f64_exact() * linear.weight()[[o, i]].to_f64_exact()).sum::<f64>()
                        + linear.bias()[o].to_f64_exact();
                assert!((y.to_f64_exact() - sum).abs() < tolerance, "({batch}, {input}, {output}) at ({r}, {o})");
            }
        }
    }
}

#[test]
fn forward_is_the_sum_over_the_inputs() {
    forward_is_the_plain_sum::<f32>(1e-5);
    forward_is_the_plain_sum::<f64>(1e-14);
}

#[test]
fn every_gradient_agrees_with_central_differences() {
    for activation in ACTIVATIONS {
        for (batch, input, output) in [(3, 5, 7), (1, 2, 3), (4, 3, 1), (2, 1, 5)] {
            let (mut dense, mut full) = pair::<f64>(input, output, activation);
            let x = matrix(batch, input, 3);
            check_gradients(&mut dense, &x);
            check_gradients(&mut full, &x);
        }
    }
}

#[test]
fn the_two_orientations_agree() {
    for activation in ACTIVATIONS {
        let (mut dense, mut full) = pair::<f64>(5, 3, activation);
        let (x, dy) = (matrix(4, 5, 3), matrix(4, 3, 4));
        assert_abs_diff_eq!(dense.forward(&x).unwrap(), full.forward(&x).unwrap(), epsilon = 1e-14);
        assert_abs_diff_eq!(dense.backward(&dy).unwrap(), full.backward(&dy).unwrap(), epsilon = 1e-14);
        let (dense, full) = (dense.gradients.unwrap(), full.gradients.unwrap());
        assert_abs_diff_eq!(dense.weights.t(), full.weights, epsilon = 1e-14);
        assert_abs_diff_eq!(dense.bias, full.bias, epsilon = 1e-14);
    }
}

#[test]
fn predict_equals_forward() {
    for activation in ACTIVATIONS {
        let (mut dense, mut full) = pair::<f32>(5, 3, activation);
        let x = matrix(4, 5, 3);
        assert_eq!(dense.predict(&x).unwrap(), dense.forward(&x).unwrap());
        assert_eq!(full.predict(&x).unwrap(), full.forward(&x).unwrap());
    }
}

#[test]
fn layout_of_the_arguments_does_not_matter() {
    for activation in [Activation::Tanh, Activation::Softmax, Activation::Identity] {
        let (mut dense, mut full) = pair::<f64>(5, 3, activation);
        check_layouts(&mut dense, &matrix(4, 5, 3), &matrix(4, 3, 4));
        check_layouts(&mut full, &matrix(4, 5, 3), &matrix(4, 3, 4));
    }
}

#[test]
fn a_gradient_at_the_pre_activation_skips_the_activation() {
    let (mut curved, _) = pair::<f64>(5, 3, Activation::Softmax);
    let (mut flat, _) = pair::<f64>(5, 3, Activation::Identity);
    let (x, dz) = (matrix(4, 5, 3), matrix(4, 3, 4));
    let (mut dx, mut expected) = (Array2::zeros((4, 5)), Array2::zeros((4, 5)));
    curved.forward(&x).unwrap();
    flat.forward(&x).unwrap();
    curved.backward_into(&dz, GradientAt::PreActivation, &mut dx).unwrap();
    flat.backward_into(&dz, GradientAt::Output, &mut expected).unwrap();
    assert_eq!(dx, expected);
    assert_eq!(curved.gradients().unwrap(), flat.gradients().unwrap());
}

#[test]
fn an_empty_batch_gives_gradients_of_zero() {
    for activation in ACTIVATIONS {
        let (mut dense, _) = pair::<f32>(5, 3, activation);
        assert_eq!(dense.forward(&Array2::zeros((0, 5))).unwrap().dim(), (0, 3));
        assert_eq!(dense.backward(&Array2::zeros((0, 3))).unwrap().dim(), (0, 5));
        assert_eq!(dense.gradients().unwrap(), Array1::<f32>::zeros(5 * 3 + 3));
    }
}

#[test]
fn gradients_add_up_until_cleared() {
    let (_, mut layer) = pair::<f64>(5, 3, Activation::Gelu);
    let mut sum = Array1::<f64>::zeros(18);
    for (batch, seed) in [(4, 3), (2, 4), (4, 5)] {
        let mut once = pair::<f64>(5, 3, Activation::Gelu).1;
        for layer in [&mut layer, &mut once] {
            layer.forward(&matrix(batch, 5, seed)).unwrap();
            layer.backward(&matrix(batch, 3, seed + 10)).unwrap();
        }
        sum += &once.gradients().unwrap();
    }
    assert_abs_diff_eq!(layer.gradients().unwrap(), sum, epsilon = 1e-14);
    layer.clear_gradients();
    assert_eq!(layer.gradients(), Err(LayerError::NoGradients { layer: "FullyConnected" }));
    // The old sum is in memory still and must not come back.
    layer.forward(&matrix(2, 5, 4)).unwrap();
    layer.backward(&matrix(2, 3, 14)).unwrap();
    let mut once = pair::<f64>(5, 3, Activation::Gelu).1;
    once.forward(&matrix(2, 5, 4)).unwrap();
    once.backward(&matrix(2, 3, 14)).unwrap();
    assert_eq!(layer.gradients(), once.gradients());
}

#[test]
fn a_gradient_that_was_nan_does_not_survive_clearing() {
    let (mut layer, _) = pair::<f64>(2, 3, Activation::Identity);
    layer.forward(&array![[f64::NAN, 1.0]]).unwrap();
    layer.backward(&array![[1.0, f64::NAN, 1.0]]).unwrap();
    layer.clear_gradients();
    layer.forward(&array![[1.0, 2.0]]).unwrap();
    layer.backward(&array![[1.0, 1.0, 1.0]]).unwrap();
    assert!(layer.gradients().unwrap().iter().all(|g| g.is_finite()));
}

#[test]
fn memory_is_reused_from_step_to_step() {
    let (mut layer, _) = pair::<f32>(5, 3, Activation::Gelu);
    let mut addresses = Vec::new();
    for batch in [4, 2, 4] {
        layer.clear_gradients();
        layer.forward(&matrix(batch, 5, 3)).unwrap();
        layer.backward(&matrix(batch, 3, 4)).unwrap();
        let gradients = layer.gradients.as_ref().unwrap();
        addresses.push((layer.input.view().as_ptr(), layer.dz.view().as_ptr(), gradients.weights.as_ptr()));
    }
    assert!(addresses.iter().all(|a| *a == addresses[0]));
}

#[test]
fn the_parts_of_a_linear_layer_make_the_whole() {
    let (mut dense, mut whole) = (pair::<f64>(5, 3, Activation::Silu).0, pair::<f64>(5, 3, Activation::Silu).0);
    let (x, dy) = (matrix::<f64>(4, 5, 3), matrix::<f64>(4, 3, 4));
    let y = whole.forward(&x).unwrap();
    let dx = whole.backward(&dy).unwrap();

    let mut z = Array2::from_elem((4, 3), f64::NAN);
    dense.pre_activation_into(&x, &mut z).unwrap();
    let mut state = ActivationState::new();
    state.forward(dense.activation(), &mut z).unwrap();
    let (mut dz, mut dx2) = (Array2::zeros((4, 3)), Array2::from_elem((4, 5), f64::NAN));
    state.backward_into(dense.activation(), &dy, &mut dz);
    dense.accumulate_gradients(&x, &dz).unwrap();
    dense.input_gradient_into(&dz, &mut dx2).unwrap();
    assert_eq!((z, dx2), (y, dx));
    assert_eq!(dense.gradients().unwrap(), whole.gradients().unwrap());
}

#[test]
fn weight_shows_what_is_stored_as_out_by_in() {
    let (mut dense, mut full) = pair::<f64>(5, 3, Activation::Identity);
    assert_eq!((dense.weights().dim(), full.weights().dim()), ((5, 3), (3, 5)));
    assert_eq!(dense.weight(), full.weight());
    dense.weight_mut()[[2, 4]] = 9.0;
    full.weight_mut()[[2, 4]] = 9.0;
    assert_eq!((dense.weights()[[4, 2]], full.weights()[[2, 4]]), (9.0, 9.0));
    dense.set_weights(&full.weights().t()).unwrap();
    dense.set_bias(&array![1.0, 2.0, 3.0]).unwrap();
    assert_eq!(dense.weights(), full.weights().t());
    assert_eq!(dense.bias(), array![1.0, 2.0, 3.0]);
}

#[test]
fn parameters_are_the_stored_weights_by_rows_then_the_bias() {
    let mut layer =
        Dense::from_arrays(array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], array![7.0, 8.0, 9.0], Activation::Identity)
            .unwrap();
    assert_eq!(layer.parameters(), array![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    layer.set_parameters(&(layer.parameters() * 2.0)).unwrap();
    assert_eq!(layer.weights(), array![[2.0, 4.0, 6.0], [8.0, 10.0, 12.0]]);
    assert_eq!(layer.bias(), array![14.0, 16.0, 18.0]);
    let mut names = Vec::new();
    layer.visit(&mut |name, values, gradient| names.push((name.to_owned(), values.len(), gradient.is_some())));
    assert_eq!(names, [("weight".to_owned(), 6, false), ("bias".to_owned(), 3, false)]);
}

#[test]
fn update_parameters_takes_a_plain_step() {
    let (mut layer, _) = pair::<f64>(5, 3, Activation::Tanh);
    let before = layer.parameters();
    assert_eq!(layer.update_parameters(0.5), Err(LayerError::NoGradients { layer: "Dense" }));
    layer.forward(&matrix(4, 5, 3)).unwrap();
    layer.backward(&matrix(4, 3, 4)).unwrap();
    let gradients = layer.gradients().unwrap();
    layer.update_parameters(0.5).unwrap();
    assert_eq!(layer.parameters(), before - gradients * 0.5);
}

#[test]
fn wrong_shapes_are_named_and_change_nothing() {
    let (mut layer, _) = pair::<f64>(5, 3, Activation::Tanh);
    layer.forward(&matrix(4, 5, 3)).unwrap();
    let parameters = layer.parameters();
    let shape = |argument, expected, found| Err(LayerError::Shape { layer: "Dense", argument, expected, found });
    let (mut y, mut dx) = (Array2::from_elem((4, 3), 1.5), Array2::from_elem((4, 5), 2.5));

    assert_eq!(layer.predict_into(&matrix(4, 6, 3), &mut y), shape("x", (4, 5), (4, 6)));
    assert_eq!(layer.predict_into(&matrix(2, 5, 3), &mut y), shape("y", (2, 3), (4, 3)));
    assert_eq!(layer.forward_into(&matrix(2, 4, 3), &mut y), shape("x", (2, 5), (2, 4)));
    assert_eq!(layer.backward_into(&matrix(4, 2, 3), GradientAt::Output, &mut dx), shape("dy", (4, 3), (4, 2)));
    assert_eq!(layer.backward_into(&matrix(3, 3, 3), GradientAt::Output, &mut dx), shape("dy", (4, 3), (3, 3)));
    assert_eq!(layer.backward_into(&matrix(4, 3, 3), GradientAt::Output, &mut y), shape("dx", (4, 5), (4, 3)));
    assert_eq!(layer.accumulate_gradients(&matrix(4, 2, 1), &matrix(4, 3, 1)), shape("x", (4, 5), (4, 2)));
    assert_eq!(layer.accumulate_gradients(&matrix(4, 5, 1), &matrix(3, 3, 1)), shape("dz", (4, 3), (3, 3)));
    assert_eq!(layer.input_gradient_into(&matrix(4, 5, 1), &mut dx), shape("dz", (4, 3), (4, 5)));
    assert_eq!(layer.input_gradient_into(&matrix(2, 3, 1), &mut dx), shape("dx", (2, 5), (4, 5)));
    assert_eq!(layer.set_weights(&matrix(3, 5, 1)), shape("weights", (5, 3), (3, 5)));
    assert_eq!(
        layer.set_bias(&vector(5, 1)),
        Err(LayerError::Length { layer: "Dense", argument: "bias", expected: 3, found: 5 })
    );
    assert_eq!((y, dx), (Array2::from_elem((4, 3), 1.5), Array2::from_elem((4, 5), 2.5)));
    assert_eq!(layer.parameters(), parameters);
    assert_eq!(layer.gradients(), Err(LayerError::NoGradients { layer: "Dense" }));
    // The forward of the batch of 4 is still the last one.
    layer.backward(&matrix(4, 3, 4)).unwrap();
}

#[test]
fn values_that_are_not_finite_are_refused_and_change_nothing() {
    let (mut layer, _) = pair::<f32>(2, 3, Activation::Tanh);
    let before = layer.parameters();
    let mut weights = layer.weights().to_owned();
    weights[[1, 2]] = f32::NAN;
    weights[[0, 0]] = f32::INFINITY;
    let expected = LayerError::NonFinite { layer: "Dense", argument: "weights", count: 2, total: 6 };
    assert_eq!(layer.set_weights(&weights), Err(expected.clone()));
    assert_eq!(Dense::from_arrays(weights, vector(3, 1), Activation::Identity).unwrap_err(), expected);
    let bias = array![1.0, f32::NAN, 2.0];
    let expected = LayerError::NonFinite { layer: "Dense", argument: "bias", count: 1, total: 3 };
    assert_eq!(layer.set_bias(&bias), Err(expected.clone()));
    assert_eq!(Dense::from_arrays(matrix(2, 3, 1), bias, Activation::Identity).unwrap_err(), expected);
    let mut parameters = before.clone();
    parameters[7] = f32::NEG_INFINITY;
    assert_eq!(
        layer.set_parameters(&parameters),
        Err(LayerError::NonFinite { layer: "Dense", argument: "parameters", count: 1, total: 9 })
    );
    assert_eq!(layer.parameters(), before);
}

#[test]
fn constructors_refuse_what_makes_no_layer() {
    let rng = &mut SmallRng::seed_from_u64(1);
    for (input_size, output_size) in [(0, 3), (3, 0), (0, 0)] {
        let expected = LayerError::ZeroSize { layer: "FullyConnected", input_size, output_size };
        let new = FullyConnected::<f64>::new(input_size, output_size, Activation::Relu, Init::HeNormal, rng);
        assert_eq!(new.unwrap_err(), expected);
        let weights = Array2::<f64>::zeros((output_size, input_size));
        let from = FullyConnected::from_arrays(weights, Array1::zeros(output_size), Activation::Relu);
        assert_eq!(from.unwrap_err(), expected);
    }
    let error = Dense::<f64>::new(1 << 30, 1 << 18, Activation::Relu, Init::Zeros, rng).unwrap_err();
    let refused = KronError::OutOfMemory { operation: "Dense", shape: (1 << 30, 1 << 18) };
    assert_eq!(error, LayerError::Kron(refused)); // countable, but more than any machine has
    for sizes in [(usize::MAX, 2), (1 << 40, 1 << 22)] {
        let error = Dense::<f64>::new(sizes.0, sizes.1, Activation::Relu, Init::Zeros, rng).unwrap_err();
        let sizes = vec![sizes.0, sizes.1, 8]; // 8 bytes a value
        assert_eq!(error, LayerError::Kron(KronError::TooLarge { operation: "Dense", sizes }));
    }
    let error = Dense::<f64>::from_arrays(matrix(2, 3, 1), vector(2, 1), Activation::Relu).unwrap_err();
    assert_eq!(error, LayerError::Length { layer: "Dense", argument: "bias", expected: 3, found: 2 });
    let slope = Activation::LeakyRelu { slope: f64::NAN };
    assert!(matches!(
        Dense::<f64>::new(2, 3, slope, Init::Zeros, rng).unwrap_err(),
        LayerError::InvalidSetting { setting: "slope of leaky relu", .. }
    ));
    assert!(matches!(
        Dense::<f64>::new(2, 3, Activation::Relu, Init::Normal { deviation: -1.0 }, rng).unwrap_err(),
        LayerError::InvalidSetting { setting: "initial deviation", .. }
    ));
}

#[test]
fn backward_needs_a_forward() {
    let (mut layer, _) = pair::<f64>(2, 3, Activation::Relu);
    let before = LayerError::BackwardBeforeForward { layer: "Dense" };
    assert_eq!(layer.backward(&matrix(1, 3, 1)), Err(before.clone()));
    layer.forward(&matrix(1, 2, 1)).unwrap();
    layer.backward(&matrix(1, 3, 1)).unwrap();
    layer.reset_state();
    assert_eq!(layer.backward(&matrix(1, 3, 1)), Err(before));
    assert_eq!(layer.gradients(), Err(LayerError::NoGradients { layer: "Dense" }));
}

#[test]
fn one_seed_gives_one_layer_for_both_orientations_and_float_types() {
    for init in [Init::HeUniform, Init::LecunNormal] {
        let rng = || SmallRng::seed_from_u64(5);
        let dense = Dense::<f32>::new(4, 7, Activation::Relu, init, &mut rng()).unwrap();
        let full = FullyConnected::<f64>::new(4, 7, Activation::Relu, init, &mut rng()).unwrap();
        assert_eq!(dense.weight(), full.weight().mapv(|w| w as f32));
        assert_eq!(dense.bias(), Array1::<f32>::zeros(7));
    }
}

#[test]
fn a_clone_behind_a_box_is_independent() {
    let (layer, _) = pair::<f64>(2, 3, Activation::Relu);
    let boxed: Box<dyn Layer<f64>> = Box::new(layer);
    let mut copy = boxed.clone();
    copy.set_parameters(&Array1::zeros(9)).unwrap();
    assert_eq!(copy.predict(&matrix(2, 2, 1)).unwrap(), Array2::<f64>::zeros((2, 3)));
    assert_eq!(boxed.parameters(), pair::<f64>(2, 3, Activation::Relu).0.parameters());
}
