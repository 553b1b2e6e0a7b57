//! Updates in the weight of their own base, and out of it again.

use lokr_layers::{Activation, Adapter, DoraAxis, Layer, LayerError, LoKrAdapter, LoKrInit, LoKrSettings, Restore};

use crate::support::*;

fn adapters() -> Vec<LoKrAdapter<f64, lokr_layers::Dense<f64>>> {
    let base = || dense(&matrix::<f64>(12, 18, 1), &vector(12, 2), Activation::Gelu);
    let settings = || LoKrSettings::new().rank(2).alpha(1.5).init(LoKrInit::Random);
    let mut several = settings().adapt(base()).unwrap();
    several.add_update("style", settings().seed(4).update((12, 18)).unwrap()).unwrap();
    several.add_update("off", settings().seed(5).update((12, 18)).unwrap()).unwrap();
    several.set_enabled("off", false).unwrap();
    let of = |axis| {
        let mut adapter = settings().dora(axis).adapt(base()).unwrap();
        adapter.set_multiplier(0.7).unwrap();
        adapter
    };
    vec![settings().adapt(base()).unwrap(), several, of(DoraAxis::Output), of(DoraAxis::Input)]
}

#[test]
fn a_merged_adapter_answers_the_same_and_comes_back() {
    let x = matrix::<f64>(5, 18, 3);
    for mut adapter in adapters() {
        let (base, own) = (bits(adapter.base_layer()), bits(&adapter));
        let (expected, merged) = (adapter.predict(&x).unwrap(), adapter.merge().unwrap());
        for restore in [Restore::Exact, Restore::Rounded] {
            adapter.merge_in_place(restore).unwrap();
            assert!(adapter.is_merged());
            assert_eq!(bits(adapter.base_layer()), bits(&merged));
            assert_close(&adapter.predict(&x).unwrap(), &expected, 18, "merged");
            assert_close(&adapter.compile(3).unwrap().forward(&x).unwrap(), &expected, 18, "merged, compiled");
            assert_eq!(bits(&adapter.merge().unwrap()), bits(&merged));
            assert_eq!(adapter.merged().unwrap().predict(&x).unwrap(), merged.predict(&x).unwrap());
            adapter.unmerge_in_place().unwrap();
            match restore {
                Restore::Exact => assert_eq!(bits(adapter.base_layer()), base),
                Restore::Rounded => {
                    assert_close(&adapter.base_layer().weights().t(), &matrix(12, 18, 1), 18, "rounded");
                }
            }
            assert_eq!(bits(&adapter), own);
            assert_close(&adapter.predict(&x).unwrap(), &expected, 18, "unmerged");
        }
    }
}

#[test]
fn merging_twice_and_unmerging_what_was_not_are_errors() {
    for mut adapter in adapters() {
        let not = LayerError::NotMerged { layer: "LoKrAdapter" };
        let already = LayerError::AlreadyMerged { layer: "LoKrAdapter" };
        assert_eq!(adapter.unmerge_in_place(), Err(not.clone()));
        adapter.merge_in_place(Restore::Exact).unwrap();
        let base = bits(adapter.base_layer());
        assert_eq!(adapter.merge_in_place(Restore::Rounded), Err(already.clone()));
        assert_eq!(bits(adapter.base_layer()), base);
        adapter.unmerge_in_place().unwrap();
        assert_eq!(adapter.unmerge_in_place(), Err(not));
    }
}

#[test]
fn what_is_in_the_weight_cannot_be_changed_or_trained() {
    let mut adapter = adapters().remove(1);
    adapter.merge_in_place(Restore::Exact).unwrap();
    let refused = LayerError::AlreadyMerged { layer: "LoKrAdapter" };
    let other = || LoKrSettings::new().update((12, 18)).unwrap();
    assert_eq!(adapter.set_scaling(0.1), Err(refused.clone()));
    assert_eq!(adapter.set_multiplier(0.1), Err(refused.clone()));
    assert_eq!(adapter.set_update_multiplier("style", 0.1), Err(refused.clone()));
    assert_eq!(adapter.set_enabled("style", false), Err(refused.clone()));
    assert_eq!(adapter.add_update("x", other()), Err(refused.clone()));
    assert_eq!(adapter.remove_update("style").err(), Some(refused.clone()));
    assert_eq!(adapter.replace_update("style", other()).err(), Some(refused.clone()));
    assert_eq!(adapter.set_matrix_a(matrix(3, 3, 1)), Err(refused.clone()));
    assert_eq!(adapter.forward(&matrix(5, 18, 3)), Err(refused));
    assert_eq!(adapter.parameter_count(), 0);
}

/// Nobody knows then what is in the weight; with a copy it comes back all the same.
#[test]
fn a_weight_that_was_written_to_is_not_unmerged_by_subtracting() {
    let mut adapter = adapters().remove(0);
    let before = bits(adapter.base_layer());
    adapter.merge_in_place(Restore::Rounded).unwrap();
    adapter.as_linear_mut().unwrap().weight_mut()[[0, 0]] += 1.0;
    let merged = bits(adapter.base_layer());
    assert_eq!(adapter.unmerge_in_place(), Err(LayerError::NotMerged { layer: "Dense" }));
    assert!(adapter.is_merged());
    assert_eq!(bits(adapter.base_layer()), merged);

    let mut adapter = adapters().remove(0);
    adapter.merge_in_place(Restore::Exact).unwrap();
    adapter.as_linear_mut().unwrap().weight_mut()[[0, 0]] += 1.0;
    adapter.unmerge_in_place().unwrap();
    assert_eq!(bits(adapter.base_layer()), before);
}

#[test]
fn what_cannot_be_merged_is_left_as_it_is() {
    let mut square = adapter(Square::new(6), 2, 3);
    assert_eq!(square.merge_in_place(Restore::Exact), Err(LayerError::NotMergeable { layer: "Square" }));
    assert!(!square.is_merged());
    let mut large = LoKrAdapter::from_delta(
        dense(&matrix::<f64>(2, 2, 1), &vector(2, 2), Activation::Identity),
        lokr_core::Kron::new(ndarray::array![[1e200]], ndarray::Array2::from_elem((2, 2), 1e200)).unwrap(),
        1.0,
    )
    .unwrap();
    let before = bits(large.base_layer());
    assert!(matches!(large.merge_in_place(Restore::Exact), Err(LayerError::NonFinite { count: 4, .. })));
    assert!(!large.is_merged());
    assert_eq!(bits(large.base_layer()), before);
}
