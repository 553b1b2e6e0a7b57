//! Adapters around adapters: they add up before the activation, and are merged, compiled, named and trained as one.

use lokr_layers::{Activation, DeltaPlacement, GradientAt, Layer, LayerError, LoKrAdapter, LoKrInit, named_parameters};
use ndarray::Array2;

use crate::support::*;

/// `act(x·(W + Δ₁ + Δ₂ + Δ₃)ᵀ + bias)` as a plain layer.
fn sum(w: &Array2<f64>, deltas: &[&Array2<f64>], activation: Activation) -> lokr_layers::Dense<f64> {
    let weight = deltas.iter().fold(w.clone(), |sum, delta| sum + *delta);
    dense(&weight, &vector(w.nrows(), 2), activation)
}

#[test]
fn stacked_updates_add_up_before_the_activation() {
    let (w, x) = (matrix::<f64>(30, 42, 1), matrix::<f64>(5, 42, 3));
    for activation in ACTIVATIONS {
        let first = adapter(fully_connected(&w, &vector(30, 2), activation), 2, 4);
        let d1 = delta_of(&first);
        let second = adapter(first, 100, 5);
        let d2 = delta_of(&second);
        let boxed: Box<dyn Layer<f64>> = Box::new(second);
        let mut third =
            LoKrAdapter::builder(boxed).factor_shapes((2, 42), (15, 1)).init(LoKrInit::Random).build().unwrap();
        let d3 = delta_of(&third);
        let expected = sum(&w, &[&d1, &d2, &d3], activation).predict(&x).unwrap();
        let what = activation.name();
        assert_close(&third.predict(&x).unwrap(), &expected, 42, what);
        assert_close(&third.forward(&x).unwrap(), &expected, 42, what);
        assert_close(&third.compile(3).unwrap().forward(&x).unwrap(), &expected, 42, what);

        let merged = third.merged().unwrap();
        assert!(merged.as_adapter().is_none());
        assert_eq!(merged.parameter_count(), 30 * 42 + 30);
        assert_close(&merged.predict(&x).unwrap(), &expected, 42, what);
        // One at a time: the outer update goes into the innermost weight.
        let inner = third.merge().unwrap();
        assert_close(&inner.predict(&x).unwrap(), &expected, 42, what);
        let effective = third.as_linear().unwrap().effective_weight().unwrap().into_owned();
        assert_close(&effective, &(&w + &d1 + &d2 + &d3), 4, what);
        assert_eq!(third.as_linear().unwrap().weight(), w);
    }
}

#[test]
fn what_is_frozen_in_a_stack_is_kept_and_the_rest_trains() {
    let (w, x, dy) = (matrix::<f64>(12, 18, 1), matrix::<f64>(4, 18, 3), matrix::<f64>(4, 12, 5));
    for inner_frozen in [true, false] {
        let mut inner = adapter(dense(&w, &vector(12, 2), Activation::Tanh), 2, 4);
        inner.set_base_frozen(inner_frozen);
        for outer_frozen in [true, false] {
            let mut outer = adapter(inner.clone(), 2, 6);
            outer.set_base_frozen(outer_frozen);
            let own = outer.adapter_parameter_count();
            let expected = own + if outer_frozen { 0 } else { inner.parameter_count() };
            assert_eq!(outer.parameter_count(), expected);
            outer.forward(&x).unwrap();
            outer.backward(&dy).unwrap();
            assert_eq!(outer.gradients().unwrap().len(), expected);
            assert_eq!(outer.base_layer().gradients().is_ok(), !outer_frozen);
        }
    }
}

#[test]
fn every_parameter_of_a_stack_has_a_name_of_its_own() {
    let inner = LoKrAdapter::new(dense(&matrix::<f64>(6, 4, 1), &vector(6, 2), Activation::Identity), 1, None, false);
    let middle = LoKrAdapter::new(inner.unwrap(), 50, None, false).unwrap();
    let outer = LoKrAdapter::new(middle, 50, None, false).unwrap();
    let names: Vec<_> = named_parameters(&outer).unwrap().into_keys().collect();
    let expected = [
        "base.base.lokr_w1",
        "base.base.lokr_w2_a",
        "base.base.lokr_w2_b",
        "base.lokr_w1",
        "base.lokr_w2",
        "bias",
        "lokr_w1",
        "lokr_w2",
        "weight",
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_stack_around_an_update_behind_an_activation_stays_behind_it() {
    let base = dense(&matrix::<f64>(6, 6, 1), &vector(6, 2), Activation::Tanh);
    let x = matrix::<f64>(3, 6, 5);
    let inner =
        LoKrAdapter::builder(base).placement(DeltaPlacement::AfterActivation).init(LoKrInit::Random).build().unwrap();
    let expected = inner.predict(&x).unwrap();
    let mut outer = adapter(inner, 2, 6);
    assert_eq!(outer.placement(), DeltaPlacement::AfterActivation);
    let expected = expected + dense_product(&x, &delta_of(&outer).reversed_axes());
    assert_close(&outer.forward(&x).unwrap(), &expected, 6, "behind");
    assert!(outer.as_linear().is_none());
    assert_eq!(outer.merged().err(), Some(LayerError::MergeThroughActivation { activation: "tanh" }));
    assert_eq!(outer.merge().unwrap_err(), LayerError::NotMergeable { layer: "LoKrAdapter" });
}

/// An adapter that is no linear layer says so, and answers with nothing rather than with a panic.
#[test]
fn around_a_layer_without_weights_there_is_no_linear_layer() {
    use lokr_layers::LinearLayer;
    let mut adapter = adapter(Square::new(6), 2, 3);
    assert!(adapter.as_linear().is_none() && adapter.as_linear_mut().is_none());
    assert_eq!((adapter.weight().dim(), adapter.weight_mut().dim(), adapter.bias().len()), ((0, 0), (0, 0), 0));
    let (x, mut y) = (matrix::<f64>(2, 6, 1), Array2::zeros((2, 6)));
    let expected = LayerError::NoPreActivation { layer: "Square" };
    assert_eq!(adapter.pre_activation_into(&x, &mut y).unwrap_err(), expected);
    assert_eq!(adapter.train_backward_into(&x, &x, &mut y).unwrap_err(), expected);
    assert_eq!(adapter.effective_weight().unwrap_err(), expected);
    assert!(adapter.merges().is_none());
    let error = adapter.backward_into(&x, GradientAt::PreActivation, &mut y).unwrap_err();
    assert_eq!(error, LayerError::BackwardBeforeForward { layer: "LoKrAdapter" });
}
