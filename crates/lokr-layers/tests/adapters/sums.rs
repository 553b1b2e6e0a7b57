//! Sums of several products as one adapter, and multipliers.

use lokr_core::Kron;
use lokr_layers::{Activation, Layer, LayerError, LoKrAdapter, LoKrInit, LoKrUpdate, named_parameters};
use ndarray::Array2;

use crate::support::*;

#[test]
fn a_sum_is_its_terms_adapted_merged_and_compiled() {
    let (w, bias, x) = (matrix::<f64>(30, 42, 1), vector(30, 2), matrix(5, 42, 3));
    for weights in [false, true] {
        let base = dense(&w, &bias, Activation::Silu);
        let builder = LoKrAdapter::builder(base).rank(2).alpha(1.5).terms(3).term_weights(weights);
        let mut adapter = builder.init(LoKrInit::Random).build().unwrap();
        let count = adapter.parameter_count();
        assert_eq!(count, 3 * (5 * 6 + 6 * 2 + 2 * 7) + if weights { 3 } else { 0 });
        adapter.set_parameters(&vector(count, 9)).unwrap();
        adapter.set_multiplier(0.4).unwrap();
        let sum = adapter.update().terms().fold(Array2::zeros((30, 42)), |sum, (strength, term)| {
            sum + dense_kron(&dense_factor(term.a()), &dense_factor(term.b())) * strength
        });
        let expected = dense(&(&w + &sum), &bias, Activation::Silu).predict(&x).unwrap();
        assert_close(&adapter.predict(&x).unwrap(), &expected, 42, "predict");
        assert_close(&adapter.forward(&x).unwrap(), &expected, 42, "forward");
        assert_close(&adapter.compile(3).unwrap().forward(&x).unwrap(), &expected, 42, "compiled");
        assert_close(&adapter.merge().unwrap().predict(&x).unwrap(), &expected, 42, "merged");
        assert_close(&adapter.delta_weight(), &sum, 3, "matrix");

        let found = adapter.diagnostics().unwrap();
        let norm = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
        assert!((found.frobenius_norm - norm).abs() < 1e-12 * norm);
        assert!(found.spectral_norm <= norm * 3.0_f64.sqrt() * 1.01 && found.terms == 3);
        assert!(found.to_string().contains("terms       3 of these"));
    }
}

#[test]
fn the_values_of_a_sum_have_the_names_that_files_of_terms_use() {
    let base = dense(&matrix::<f64>(6, 4, 1), &vector(6, 2), Activation::Identity);
    let builder = LoKrAdapter::builder(base).rank(1).terms(2).term_weights(true).learned_scalar(true);
    let names: Vec<_> = named_parameters(&builder.build().unwrap()).unwrap().into_keys().collect();
    let expected = [
        "lokr_scalar",
        "term0.lokr_w1",
        "term0.lokr_w2_a",
        "term0.lokr_w2_b",
        "term0.lokr_weight",
        "term1.lokr_w1",
        "term1.lokr_w2_a",
        "term1.lokr_w2_b",
        "term1.lokr_weight",
    ];
    assert_eq!(names, expected);
}

/// Terms may be split differently.
#[test]
fn terms_of_different_shapes_add_up() {
    let (w, x) = (matrix::<f64>(6, 4, 1), matrix::<f64>(3, 4, 3));
    let first = Kron::new(matrix(2, 2, 3), matrix(3, 2, 4)).unwrap();
    let second = Kron::new(matrix(6, 1, 5), matrix(1, 4, 6)).unwrap();
    let sum = first.to_dense() + second.to_dense();
    let update = LoKrUpdate::from_terms(vec![first, second], 0.5).unwrap();
    let base = fully_connected(&w, &vector(6, 2), Activation::Identity);
    let adapter = LoKrAdapter::from_update(base, update).unwrap();
    let expected = fully_connected(&(&w + &sum * 0.5), &vector(6, 2), Activation::Identity).predict(&x).unwrap();
    assert_close(&adapter.predict(&x).unwrap(), &expected, 4, "different shapes");
    let norm = (&sum * 0.5).iter().map(|x| x * x).sum::<f64>().sqrt();
    assert!((adapter.diagnostics().unwrap().frobenius_norm - norm).abs() < 1e-13);
}

#[test]
fn terms_that_make_no_sum_are_refused() {
    let term = |out: usize, input: usize| Kron::new(Array2::<f64>::ones((1, 1)), Array2::ones((out, input))).unwrap();
    let none = LoKrUpdate::<f64>::from_terms(vec![], 1.0).unwrap_err();
    assert!(matches!(none, LayerError::InvalidSetting { setting: "number of terms", .. }));
    let shapes = LoKrUpdate::from_terms(vec![term(2, 3), term(3, 2)], 1.0).unwrap_err();
    assert!(matches!(shapes, LayerError::Shape { argument: "a term", expected: (2, 3), found: (3, 2), .. }));
    let scaling = LoKrUpdate::from_terms(vec![term(2, 3)], f64::NAN).unwrap_err();
    assert!(matches!(scaling, LayerError::InvalidSetting { setting: "scaling", .. }));
    let base = dense(&matrix::<f64>(6, 4, 1), &vector(6, 2), Activation::Identity);
    let update = LoKrUpdate::from_terms(vec![term(4, 6)], 1.0).unwrap();
    let error = LoKrAdapter::from_update(base, update).unwrap_err();
    assert!(matches!(error, LayerError::Shape { argument: "an update", expected: (6, 4), found: (4, 6), .. }));
}

#[test]
fn a_multiplier_acts_and_is_not_part_of_the_scaling() {
    let mut adapter = adapter(dense(&matrix::<f64>(6, 4, 1), &vector(6, 2), Activation::Tanh), 2, 3);
    let (x, scaling) = (matrix::<f64>(3, 4, 5), adapter.scaling());
    adapter.set_scaling(scaling * 0.3).unwrap();
    let expected = adapter.predict(&x).unwrap();
    adapter.set_scaling(scaling).unwrap();
    adapter.set_multiplier(0.3).unwrap();
    assert_eq!((adapter.scaling(), adapter.multiplier()), (scaling, 0.3));
    assert_close(&adapter.predict(&x).unwrap(), &expected, 4, "multiplied");
    assert!(matches!(adapter.set_multiplier(f64::INFINITY), Err(LayerError::InvalidSetting { .. })));
    assert_eq!(adapter.multiplier(), 0.3);
}
