//! Several updates on one layer, by name.

use lokr_layers::{
    Activation, Adapter, Dense, Layer, LayerError, LoKrAdapter, LoKrInit, LoKrSettings, LoKrUpdate, named_parameters,
};
use ndarray::Array2;

use crate::support::*;

type Adapted = LoKrAdapter<f64, Dense<f64>>;

fn update(seed: u64) -> LoKrUpdate<f64> {
    LoKrSettings::new().rank(2).alpha(1.5).init(LoKrInit::Random).seed(seed).update((12, 18)).unwrap()
}

fn base() -> Dense<f64> {
    dense(&matrix::<f64>(12, 18, 1), &vector(12, 2), Activation::Gelu)
}

fn expected(deltas: &[(f64, &Array2<f64>)], x: &Array2<f64>) -> Array2<f64> {
    let weight = deltas.iter().fold(matrix(12, 18, 1), |sum, (strength, delta)| sum + *delta * *strength);
    dense(&weight, &vector(12, 2), Activation::Gelu).predict(x).unwrap()
}

#[test]
fn updates_are_added_weighed_switched_swapped_and_removed() {
    let x = matrix::<f64>(5, 18, 3);
    let [first, second, third] = [1, 2, 3].map(|seed| update(seed).weight().unwrap());
    let mut adapter = LoKrAdapter::from_update(base(), update(1)).unwrap();
    let check = |adapter: &mut Adapted, deltas: &[(f64, &Array2<f64>)], what: &str| {
        let expected = expected(deltas, &x);
        assert_close(&adapter.predict(&x).unwrap(), &expected, 18, what);
        assert_close(&adapter.forward(&x).unwrap(), &expected, 18, what);
        assert_close(&adapter.merge().unwrap().predict(&x).unwrap(), &expected, 18, what);
        assert_close(&adapter.merged().unwrap().predict(&x).unwrap(), &expected, 18, what);
        assert_close(&adapter.compile(2).unwrap().forward(&x).unwrap(), &expected, 18, what);
    };
    adapter.add_update("style", update(2)).unwrap();
    check(&mut adapter, &[(1.0, &first), (1.0, &second)], "added");
    adapter.set_update_multiplier("style", -0.7).unwrap();
    check(&mut adapter, &[(1.0, &first), (-0.7, &second)], "weighed");
    adapter.set_enabled("default", false).unwrap();
    check(&mut adapter, &[(-0.7, &second)], "switched off");
    let old = adapter.replace_update("style", update(3)).unwrap();
    assert_eq!(old.multiplier(), -0.7);
    check(&mut adapter, &[(1.0, &third)], "swapped");
    adapter.set_enabled("default", true).unwrap();
    let removed = adapter.remove_update("style").unwrap();
    assert_close(&removed.weight().unwrap(), &third, 1, "removed");
    check(&mut adapter, &[(1.0, &first)], "removed");
    assert_eq!(Adapter::updates(&adapter).len(), 1);
}

#[test]
fn values_of_added_updates_have_their_names_in_front() {
    let mut adapter = LoKrAdapter::from_update(base(), update(1)).unwrap();
    adapter.add_update("style", update(2)).unwrap();
    let names = |adapter: &Adapted| named_parameters(adapter).unwrap().into_keys().collect::<Vec<_>>();
    let own = ["lokr_w1", "lokr_w2_a", "lokr_w2_b"];
    let all = own.iter().map(|name| name.to_string()).chain(own.iter().map(|name| format!("style.{name}")));
    assert_eq!(names(&adapter), all.collect::<Vec<_>>());
    adapter.set_enabled("style", false).unwrap();
    assert_eq!(names(&adapter), own);
    assert_eq!((adapter.is_enabled("default"), adapter.is_enabled("style")), (Ok(true), Ok(false)));
    let outer = LoKrAdapter::builder(adapter).freeze_base(false).build().unwrap();
    assert!(names_of(&outer).contains(&"base.lokr_w1".to_owned()));
}

fn names_of(layer: &dyn Layer<f64>) -> Vec<String> {
    named_parameters(layer).unwrap().into_keys().collect()
}

#[test]
fn wrong_names_and_sizes_are_errors_and_change_nothing() {
    let mut adapter = LoKrAdapter::from_update(base(), update(1)).unwrap();
    adapter.add_update("style", update(2)).unwrap();
    let before = bits(&adapter);
    let unknown = |name: &str| LayerError::UnknownName { layer: "LoKrAdapter", name: name.to_owned() };
    assert_eq!(adapter.named_update("x").err(), Some(unknown("x")));
    assert_eq!(adapter.set_enabled("x", false), Err(unknown("x")));
    assert_eq!(adapter.is_enabled("x"), Err(unknown("x")));
    assert_eq!(adapter.set_update_multiplier("x", 1.0), Err(unknown("x")));
    assert_eq!(adapter.remove_update("x").err(), Some(unknown("x")));
    assert_eq!(adapter.replace_update("x", update(3)).err(), Some(unknown("x")));
    let taken = |name: &str| LayerError::DuplicateName { layer: "LoKrAdapter", name: name.to_owned() };
    assert_eq!(adapter.add_update("style", update(3)), Err(taken("style")));
    assert_eq!(adapter.add_update("default", update(3)), Err(taken("default")));
    for name in ["", "base", "a.b"] {
        assert!(matches!(adapter.add_update(name, update(3)), Err(LayerError::InvalidName { .. })), "{name:?}");
    }
    let other = || LoKrSettings::new().update((18, 12)).unwrap();
    assert!(matches!(adapter.add_update("x", other()), Err(LayerError::Shape { argument: "an update", .. })));
    assert!(matches!(adapter.replace_update("style", other()), Err(LayerError::Shape { .. })));
    assert!(matches!(adapter.remove_update("default"), Err(LayerError::InvalidSetting { .. })));
    assert!(adapter.set_update_multiplier("style", f64::NAN).is_err());
    assert_eq!(bits(&adapter), before);
    assert_eq!(adapter.named_update("style").unwrap().multiplier(), 1.0);
}

#[test]
fn only_what_is_enabled_trains() {
    let mut adapter = LoKrAdapter::from_update(base(), update(1)).unwrap();
    adapter.add_update("style", update(2)).unwrap();
    adapter.set_enabled("default", false).unwrap();
    let (x, dy) = (matrix::<f64>(5, 18, 3), matrix::<f64>(5, 12, 4));
    let before = adapter.named_update("default").unwrap().weight().unwrap();
    adapter.forward(&x).unwrap();
    adapter.backward(&dy).unwrap();
    adapter.update_parameters(0.1).unwrap();
    assert_eq!(adapter.named_update("default").unwrap().weight().unwrap(), before);
    assert_ne!(adapter.named_update("style").unwrap().weight().unwrap(), update(2).weight().unwrap());
}
