//! Gradients of the factors, of the base and of the input against central differences.

use lokr_testing::{matrix, vector};
use ndarray::Array2;

use super::{DeltaPlacement, LoKrAdapter, LoKrInit};
use crate::activation::Activation;
use crate::layer::Layer;
use crate::linear::{Dense, FullyConnected};
use crate::test_support::{ACTIVATIONS, check_gradients};

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
