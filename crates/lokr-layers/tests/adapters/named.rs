//! Parameters by name, on layers, adapters and networks.

use std::collections::BTreeMap;

use lokr_layers::{
    Activation, Layer, LayerError, Loading, Sequential, load_parameters, named_parameters, set_parameter,
};
use ndarray::{ArrayD, array};

use crate::support::*;

fn network(seed: u64) -> Sequential<f64> {
    let first = adapter(dense(&matrix::<f64>(12, 8, 1), &vector(12, 2), Activation::Tanh), 1, seed);
    let mut second = adapter(fully_connected(&matrix::<f64>(6, 12, 3), &vector(6, 4), Activation::Identity), 50, seed);
    second.set_base_frozen(false);
    Sequential::new(vec![Box::new(first), Box::new(second)]).unwrap()
}

const NAMES: [&str; 7] = ["0.lokr_w1", "0.lokr_w2_a", "0.lokr_w2_b", "1.lokr_w1", "1.lokr_w2", "1.weight", "1.bias"];

#[test]
fn what_one_network_gives_another_takes() {
    let (trained, mut fresh) = (network(5), network(6));
    let values = named_parameters(&trained).unwrap();
    let x = matrix(3, 8, 7);
    assert_ne!(fresh.predict(&x).unwrap(), trained.predict(&x).unwrap());
    let report = load_parameters(&mut fresh, &values, Loading::Complete).unwrap();
    assert_eq!(report.loaded, NAMES);
    assert!(report.is_complete());
    assert_eq!(bits(&fresh), bits(&trained));
    assert_eq!(fresh.predict(&x).unwrap(), trained.predict(&x).unwrap());
}

#[test]
fn each_name_has_the_values_of_its_factor() {
    let adapter = adapter(dense(&matrix::<f64>(30, 42, 1), &vector(30, 2), Activation::Tanh), 2, 3);
    let named = named_parameters(&adapter).unwrap();
    let (left, right) = adapter.matrix_b_halves().unwrap();
    assert_eq!(named["lokr_w1"], adapter.matrix_a().into_dyn());
    assert_eq!((&named["lokr_w2_a"], &named["lokr_w2_b"]), (&left.to_owned().into_dyn(), &right.to_owned().into_dyn()));
    assert_eq!(named.len(), 3);
}

#[test]
fn a_part_is_loaded_where_that_is_allowed_and_the_rest_is_reported() {
    let mut network = network(5);
    let mut given = BTreeMap::from([("1.bias".to_owned(), vector::<f64>(6, 9).into_dyn())]);
    given.insert("1.lokr_w3".to_owned(), array![1.0].into_dyn());
    let before = bits(&network);
    let unknown = LayerError::UnknownName { layer: "Sequential", name: "1.lokr_w3".to_owned() };
    assert_eq!(load_parameters(&mut network, &given, Loading::Complete).unwrap_err(), unknown);
    assert_eq!(bits(&network), before);
    let report = load_parameters(&mut network, &given, Loading::Partial).unwrap();
    assert_eq!(
        (report.loaded, report.missing, report.unknown),
        (
            vec!["1.bias".to_owned()],
            NAMES[..6].iter().map(|&name| name.to_owned()).collect(),
            vec!["1.lokr_w3".to_owned()],
        )
    );
    assert_eq!(named_parameters(&network).unwrap()["1.bias"], given["1.bias"]);
    assert_eq!(bits(&network)[..before.len() - 6], before[..before.len() - 6]);

    given.remove("1.lokr_w3");
    let missing = LayerError::MissingName { layer: "Sequential", name: "0.lokr_w1".to_owned() };
    assert_eq!(load_parameters(&mut network, &given, Loading::Complete).unwrap_err(), missing);
}

/// A load that finds nothing is no success.
#[test]
fn nothing_loaded_is_an_error() {
    let mut network = network(5);
    let error = load_parameters(&mut network, &BTreeMap::new(), Loading::Partial).unwrap_err();
    assert!(matches!(error, LayerError::MissingName { .. }), "{error}");
    let error = set_parameter(&mut network, "lokr_w1", &array![[1.0]].into_dyn()).unwrap_err();
    assert_eq!(error.to_string(), "Sequential: there is no parameter named lokr_w1");
}

#[test]
fn values_that_do_not_fit_change_nothing() {
    let mut network = network(5);
    let before = bits(&network);
    let mut given = named_parameters(&network).unwrap();
    given.values_mut().for_each(|values| values.fill(7.0));
    given.insert("1.weight".to_owned(), ArrayD::zeros(vec![12, 6]));
    let error = load_parameters(&mut network, &given, Loading::Complete).unwrap_err();
    assert_eq!(
        error,
        LayerError::NamedShape {
            layer: "Sequential",
            name: "1.weight".to_owned(),
            expected: vec![6, 12],
            found: vec![12, 6],
        }
    );
    given.insert("1.weight".to_owned(), ArrayD::from_elem(vec![6, 12], f64::NAN));
    for loading in [Loading::Complete, Loading::Partial] {
        let error = load_parameters(&mut network, &given, loading).unwrap_err();
        let name = "1.weight".to_owned();
        assert_eq!(error, LayerError::NamedNonFinite { layer: "Sequential", name, count: 72, total: 72 });
    }
    assert_eq!(bits(&network), before);
}

#[test]
fn one_parameter_by_its_name() {
    let mut layer = dense(&matrix::<f64>(3, 2, 1), &vector(3, 2), Activation::Identity);
    set_parameter(&mut layer, "bias", &array![1.0, 2.0, 3.0].into_dyn()).unwrap();
    assert_eq!(layer.predict(&ndarray::Array2::zeros((1, 2))).unwrap(), array![[1.0, 2.0, 3.0]]);
}

/// Two layers of one name cannot be, so this takes a layer that gives one name twice.
#[test]
fn names_that_are_not_unique_are_refused() {
    let error = named_parameters(&Twins(Square::new(3))).unwrap_err();
    assert_eq!(error, LayerError::RepeatedName { layer: "Twins", name: "offset".to_owned() });
}
