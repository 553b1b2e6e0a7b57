use lokr_core::Scalar;
use lokr_testing::matrix;
use ndarray::Array1;

use super::Optimizer;
use super::optimizer_tests::{all, layer, soap};
use crate::activation::Activation;
use crate::error::LayerError;
use crate::layer::Layer;
use crate::linear::{Dense, FullyConnected};
use crate::training::Sequential;

fn network<T: Scalar>() -> Sequential<T> {
    let first = Dense::from_arrays(matrix::<T>(4, 3, 1), Array1::zeros(3), Activation::Tanh).unwrap();
    let second = FullyConnected::from_arrays(matrix::<T>(5, 3, 2), Array1::zeros(5), Activation::Identity).unwrap();
    Sequential::new(vec![Box::new(first), Box::new(second)]).unwrap()
}

fn steps<T: Scalar>(network: &mut Sequential<T>, optimizer: &mut dyn Optimizer<T>, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        network.clear_gradients();
        network.forward(&matrix(6, 4, seed)).unwrap();
        network.backward(&matrix(6, 5, seed + 50)).unwrap();
        optimizer.step(network).unwrap();
    }
}

fn resumes<T: Scalar>() {
    for ((mut whole, mut first), mut second) in all::<T>().into_iter().zip(all()).zip(all()) {
        let (mut expected, mut found) = (network::<T>(), network::<T>());
        steps(&mut expected, &mut *whole, 1..9);
        steps(&mut found, &mut *first, 1..5);
        let state = first.save_state(&found).unwrap();
        second.load_state(&found, &state).unwrap();
        assert_eq!(second.save_state(&found).unwrap(), state);
        steps(&mut found, &mut *second, 5..9);
        assert_eq!(found.parameters(), expected.parameters());
    }
}

#[test]
fn a_state_put_back_goes_on_with_the_same_bits() {
    resumes::<f32>();
    resumes::<f64>();
}

#[test]
fn states_that_do_not_fit_are_named_and_change_nothing() {
    for (mut optimizer, mut twin) in all::<f64>().into_iter().zip(all()) {
        let (mut network, mut other) = (network::<f64>(), network::<f64>());
        // Of a fresh optimizer: nothing, which can be put back.
        let empty = optimizer.save_state(&network).unwrap();
        assert!(empty.arrays.is_empty());
        optimizer.load_state(&network, &empty).unwrap();
        steps(&mut network, &mut *optimizer, 1..4);
        steps(&mut other, &mut *twin, 1..4);
        let state = optimizer.save_state(&network).unwrap();
        let Some(name) = state.arrays.keys().next().cloned() else { continue };
        let mut missing = state.clone();
        missing.arrays.remove(&name);
        assert!(
            matches!(optimizer.load_state(&network, &missing), Err(LayerError::MissingName { name: n, .. }) if n == name)
        );
        let mut shape = state.clone();
        shape.arrays.insert(name.clone(), ndarray::ArrayD::zeros(vec![1, 2, 3]));
        assert!(matches!(optimizer.load_state(&network, &shape), Err(LayerError::NamedShape { .. })));
        let mut more = state.clone();
        more.arrays.insert("mean.9.weight".to_owned(), ndarray::ArrayD::zeros(vec![1]));
        assert!(matches!(optimizer.load_state(&network, &more), Err(LayerError::Length { argument: "arrays", .. })));
        assert!(optimizer.save_state(&layer()).is_err(), "another network");
        steps(&mut network, &mut *optimizer, 4..6);
        steps(&mut other, &mut *twin, 4..6);
        assert_eq!(network.parameters(), other.parameters());
    }
}

/// An optimizer of a user's own.
struct Own;

impl Optimizer<f64> for Own {
    fn step(&mut self, network: &mut dyn Layer<f64>) -> crate::Result<()> {
        network.update_parameters(0.1)
    }
    fn learning_rate(&self) -> f64 {
        0.1
    }
    fn set_learning_rate(&mut self, _: f64) -> crate::Result<()> {
        Ok(())
    }
    fn reset(&mut self) {}
}

#[test]
fn an_optimizer_that_hands_nothing_out_says_so() {
    let error = Own.save_state(&layer()).unwrap_err();
    assert!(matches!(error, LayerError::NotResumable { optimizer } if optimizer.ends_with("Own")), "{error}");
    assert!(Own.load_state(&layer(), &Default::default()).is_err());
}

#[test]
fn soap_refuses_gradients_that_are_not_finite_where_it_decomposes() {
    let mut network = network::<f64>();
    network.forward(&matrix(6, 4, 1)).unwrap();
    network.backward(&ndarray::Array2::from_elem((6, 5), f64::NAN)).unwrap();
    let before = network.parameters();
    let error = soap().step(&mut network).unwrap_err();
    assert!(matches!(error, LayerError::Kron(lokr_core::KronError::NonFinite { .. })), "{error}");
    assert_eq!(network.parameters(), before);
}
