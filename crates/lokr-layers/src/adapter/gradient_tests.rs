//! Gradients of the factors, of the base and of the input against central differences.

use lokr_testing::{central_difference, matrix, vector};
use ndarray::Array2;

use super::{DeltaPlacement, LoKrAdapter, LoKrInit};
use crate::activation::Activation;
use crate::layer::{Adapter, Layer};
use crate::linear::{Dense, FullyConnected};
use crate::test_support::{ACTIVATIONS, check_gradients};
use crate::update::{DoraAxis, DoraStrength, LoKrSettings};

/// Which factors are held as two halves.
#[derive(Debug, Clone, Copy)]
enum Halves {
    Neither,
    OfB,
    OfBoth,
}

/// `A (3, 2) ⊗ B (4, 5)` on a base from 10 to 12.
fn check<L: Layer<f64> + Clone + 'static>(base: &L, halves: Halves, placement: DeltaPlacement) {
    for frozen in [true, false] {
        let mut adapter = LoKrAdapter::builder(base.clone())
            .factor_shapes((3, 2), (4, 5))
            .rank(1)
            .alpha(0.7)
            .decompose_both(matches!(halves, Halves::OfBoth))
            .full_matrix(matches!(halves, Halves::Neither))
            .init(LoKrInit::Random)
            .placement(placement)
            .freeze_base(frozen)
            .build()
            .unwrap();
        let own = match halves {
            Halves::Neither => 6 + 20,
            Halves::OfB => 6 + 9,
            Halves::OfBoth => 5 + 9,
        };
        assert_eq!(adapter.parameter_count(), own + if frozen { 0 } else { base.parameter_count() });
        check_gradients(&mut adapter, &matrix(3, 10, 3));
    }
}

#[test]
fn gradients_match_central_differences() {
    for activation in ACTIVATIONS {
        let w: Array2<f64> = matrix(12, 10, 1);
        let input_major = Dense::from_arrays(w.t().to_owned(), vector(12, 2), activation).unwrap();
        let output_major = FullyConnected::from_arrays(w, vector(12, 2), activation).unwrap();
        let boxed: Box<dyn Layer<f64>> = Box::new(input_major.clone());
        for placement in [DeltaPlacement::BeforeActivation, DeltaPlacement::AfterActivation] {
            for halves in [Halves::Neither, Halves::OfB, Halves::OfBoth] {
                check(&input_major, halves, placement);
                check(&output_major, halves, placement);
            }
            check(&boxed, Halves::OfB, placement);
        }
    }
}

#[test]
fn gradients_of_an_adapter_around_an_adapter_match_central_differences() {
    let base = Dense::from_arrays(matrix(10, 12, 1), vector(12, 2), Activation::Tanh).unwrap();
    let inner = LoKrAdapter::builder(base).rank(1).init(LoKrInit::Random).freeze_base(false).build().unwrap();
    check(&inner, Halves::OfBoth, DeltaPlacement::AfterActivation);
}

/// Sets every trainable value to a number of its own, scalars and weights of terms included.
fn shake(adapter: &mut dyn Layer<f64>) {
    let count = adapter.parameter_count();
    adapter.set_parameters(&(vector::<f64>(count, 77) + 0.2)).unwrap();
}

#[test]
fn gradients_of_scalars_weights_and_sums_match_central_differences() {
    let base = Dense::from_arrays(matrix(10, 12, 1), vector(12, 2), Activation::Silu).unwrap();
    for (terms, weights, scalar) in
        [(1, false, true), (3, false, false), (3, true, false), (2, true, true), (1, true, false)]
    {
        for frozen in [true, false] {
            let builder = LoKrAdapter::builder(base.clone()).rank(1).alpha(0.7).terms(terms).term_weights(weights);
            let mut adapter = builder.learned_scalar(scalar).freeze_base(frozen).build().unwrap();
            check_gradients(&mut adapter, &matrix(3, 10, 3)); // where the scalar is zero, or the products are
            shake(&mut adapter);
            adapter.set_multiplier(-0.6).unwrap();
            check_gradients(&mut adapter, &matrix(3, 10, 3));
        }
    }
}

fn check_decomposed<L: Layer<f64> + Clone + 'static>(base: &L, both: bool, terms: usize) {
    for axis in [DoraAxis::Output, DoraAxis::Input] {
        for (strength, multiplier) in
            [(DoraStrength::FromBase, 1.0), (DoraStrength::FromBase, 0.6), (DoraStrength::Lycoris, 0.6)]
        {
            let builder = LoKrAdapter::builder(base.clone()).factor_shapes((3, 2), (4, 5)).rank(1).alpha(0.7);
            let builder = builder.decompose_both(both).terms(terms).init(LoKrInit::Random);
            let mut adapter = builder.dora(axis).dora_strength(strength).build().unwrap();
            adapter.set_multiplier(multiplier).unwrap();
            shake(&mut adapter);
            check_gradients(&mut adapter, &matrix(3, 10, 3));
        }
    }
}

#[test]
fn gradients_through_the_norms_match_central_differences() {
    let w: Array2<f64> = matrix(12, 10, 1);
    for activation in [Activation::Identity, Activation::Gelu] {
        let input_major = Dense::from_arrays(w.t().to_owned(), vector(12, 2), activation).unwrap();
        let output_major = FullyConnected::from_arrays(w.clone(), vector(12, 2), activation).unwrap();
        check_decomposed(&output_major, true, 1);
        check_decomposed(&input_major, false, 2);
    }
    // Around an adapter, whose weight is decomposed with its update in it.
    let inner = FullyConnected::from_arrays(w, vector(12, 2), Activation::Tanh).unwrap();
    check_decomposed(&LoKrAdapter::builder(inner).rank(2).init(LoKrInit::Random).build().unwrap(), false, 1);
}

/// The gradients are those of what the same random numbers leave.
#[test]
fn gradients_with_dropout_match_central_differences_of_the_same_draw() {
    let base = Dense::from_arrays(matrix(10, 12, 1), vector(12, 2), Activation::Tanh).unwrap();
    let builder = LoKrAdapter::builder(base).rank(1).alpha(0.7).init(LoKrInit::Random).seed(3).freeze_base(false);
    for builder in [
        builder.clone().input_dropout(0.4),
        builder.clone().rank_dropout(0.4),
        builder.clone().rank_dropout(0.4).rescale_rank_dropout(true).input_dropout(0.2),
        builder.clone().rank_dropout(0.3).learned_scalar(true).terms(2).term_weights(true),
        builder.module_dropout(0.5),
    ] {
        let mut adapter = builder.build().unwrap();
        shake(&mut adapter);
        for draw in 0..4 {
            check_drawn(&mut adapter, draw);
        }
    }
}

fn check_drawn(adapter: &mut LoKrAdapter<f64, Dense<f64>>, draw: u64) {
    let (x, c) = (matrix::<f64>(3, 10, 3), matrix::<f64>(3, 12, 91));
    let forward = |adapter: &mut LoKrAdapter<f64, Dense<f64>>, x: &Array2<f64>| {
        adapter.visit_random_states(&mut |_, state| *state = draw);
        (adapter.forward(x).unwrap() * &c).sum()
    };
    adapter.clear_gradients();
    forward(adapter, &x);
    let dx = adapter.backward(&c).unwrap();
    let (gradients, parameters) = (adapter.gradients().unwrap(), adapter.parameters());
    for k in 0..parameters.len() {
        let difference = central_difference(|delta| {
            let mut moved = parameters.clone();
            moved[k] += delta;
            adapter.set_parameters(&moved).unwrap();
            forward(adapter, &x)
        });
        assert!((gradients[k] - difference).abs() < 1e-7 * (1.0 + difference.abs()), "draw {draw}, parameter {k}");
    }
    adapter.set_parameters(&parameters).unwrap();
    for (index, &found) in dx.indexed_iter() {
        let difference = central_difference(|delta| {
            let mut moved = x.clone();
            moved[index] += delta;
            forward(adapter, &moved)
        });
        assert!((found - difference).abs() < 1e-7 * (1.0 + difference.abs()), "draw {draw}, input {index:?}");
    }
}

#[test]
fn gradients_of_several_updates_match_central_differences() {
    let base = Dense::from_arrays(matrix(10, 12, 1), vector(12, 2), Activation::Tanh).unwrap();
    let settings = || LoKrSettings::new().rank(1).init(LoKrInit::Random);
    let mut adapter = settings().freeze_base(false).adapt(base).unwrap();
    adapter.add_update("second", settings().seed(1).update((12, 10)).unwrap()).unwrap();
    adapter.add_update("third", settings().seed(2).update((12, 10)).unwrap()).unwrap();
    adapter.set_update_multiplier("second", -0.5).unwrap();
    adapter.set_enabled("third", false).unwrap();
    check_gradients(&mut adapter, &matrix(3, 10, 3));
    adapter.set_enabled("third", true).unwrap();
    adapter.set_enabled("default", false).unwrap();
    check_gradients(&mut adapter, &matrix(3, 10, 3));
}

#[test]
fn training_steps_reuse_their_memory() {
    let base = Dense::from_arrays(matrix::<f64>(10, 12, 1), vector(12, 2), Activation::Tanh).unwrap();
    let mut adapter = LoKrAdapter::builder(base).rank(1).init(LoKrInit::Random).build().unwrap();
    let mut step = |batch: usize| {
        adapter.forward(&matrix(batch, 10, 3)).unwrap();
        adapter.backward(&matrix(batch, 12, 4)).unwrap();
        adapter.update_parameters(0.1).unwrap();
        let mut addresses = vec![adapter.training.input.view().as_ptr(), adapter.training.dz.view().as_ptr()];
        adapter.visit(&mut |_, _, gradient| addresses.push(gradient.unwrap().as_ptr()));
        adapter.clear_gradients();
        addresses
    };
    let first = step(5);
    assert_eq!(step(5), first);
    assert_eq!(step(3), first);
    assert_eq!(step(5), first);
}
