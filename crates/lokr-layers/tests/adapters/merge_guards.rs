//! Merges that would go wrong are found out, and leave everything as it was.

use lokr_core::{Kron, Scalar};
use lokr_layers::{Activation, Dense, Layer, LayerError, LinearLayer, LoKrAdapter};
use ndarray::{Array1, Array2, array};

use crate::support::*;

#[test]
fn an_update_is_merged_once_and_unmerged_once() {
    let w = matrix::<f64>(12, 18, 1);
    let mut adapter = adapter(dense(&w, &vector(12, 2), Activation::Gelu), 3, 4);
    let mut layer = adapter.base_layer().clone();
    let before = bits(&layer);
    assert_eq!(adapter.unmerge_from(&mut layer).unwrap_err(), LayerError::NotMerged { layer: "Dense" });
    assert_eq!(bits(&layer), before);

    adapter.merge_into(&mut layer).unwrap();
    let merged = bits(&layer);
    for mut layer in [layer.clone(), adapter.merge().unwrap()] {
        assert_eq!(adapter.merge_into(&mut layer).unwrap_err(), LayerError::AlreadyMerged { layer: "Dense" });
        assert_eq!(bits(&layer), merged);
    }
    // A changed update is another one.
    adapter.set_scaling(0.25).unwrap();
    assert_eq!(adapter.unmerge_from(&mut layer).unwrap_err(), LayerError::NotMerged { layer: "Dense" });
    assert_eq!(bits(&layer), merged);
    adapter.set_scaling(0.5).unwrap();
    let boxed: Box<dyn Layer<f64>> = Box::new(layer);
    let (_, update) = adapter.into_parts();
    let adapter = LoKrAdapter::from_update(boxed.clone(), update).unwrap();
    let mut layer = boxed;
    adapter.unmerge_from(&mut layer).unwrap();
    assert_close(&layer.as_linear().unwrap().weight(), &w, 1, "unmerged");
    assert_eq!(adapter.unmerge_from(&mut layer).unwrap_err(), LayerError::NotMerged { layer: "Dense" });
}

#[test]
fn two_updates_in_one_weight_are_told_apart() {
    let base = dense(&matrix::<f64>(12, 18, 1), &vector(12, 2), Activation::Gelu);
    let (first, second) = (adapter(base.clone(), 3, 4), adapter(base.clone(), 3, 5));
    let mut layer = base;
    first.merge_into(&mut layer).unwrap();
    second.merge_into(&mut layer).unwrap();
    first.unmerge_from(&mut layer).unwrap();
    assert!(matches!(first.unmerge_from(&mut layer), Err(LayerError::NotMerged { .. })));
    assert!(matches!(second.merge_into(&mut layer), Err(LayerError::AlreadyMerged { .. })));
    second.unmerge_from(&mut layer).unwrap();
    assert_close(&layer.weight(), &matrix(12, 18, 1), 1, "both off");
}

/// Nobody knows then what is in the weight.
#[test]
fn another_weight_holds_no_update() {
    let adapter = adapter(dense(&matrix::<f64>(12, 18, 1), &vector(12, 2), Activation::Gelu), 3, 4);
    let writes: [fn(&mut Dense<f64>); 3] = [
        |layer| layer.set_weights(&matrix(18, 12, 7)).unwrap(),
        |layer| layer.weight_mut().fill(0.5),
        |layer| layer.set_parameters(&vector(12 * 18 + 12, 3)).unwrap(),
    ];
    for write in writes {
        let mut layer = adapter.merge().unwrap();
        write(&mut layer);
        assert!(matches!(adapter.unmerge_from(&mut layer), Err(LayerError::NotMerged { .. })));
        adapter.merge_into(&mut layer).unwrap();
    }
}

fn out_of_range<T: Scalar>(large: f64) {
    let number = T::from_f64_lossy;
    let base = Dense::from_arrays(Array2::<T>::ones((2, 2)), Array1::zeros(2), Activation::Identity).unwrap();
    let factor = Array2::from_elem((2, 1), number(large));
    let adapter = LoKrAdapter::from_delta(base.clone(), Kron::new(&factor, factor.t()).unwrap(), T::one()).unwrap();
    let mut layer = base.clone();
    let before = bits(&layer);
    let error = adapter.merge_into(&mut layer).unwrap_err();
    let argument = "the merged weight";
    assert_eq!(error, LayerError::NonFinite { layer: "LoKrAdapter", argument, count: 4, total: 4 });
    assert_eq!(adapter.merge().unwrap_err(), error);
    assert_eq!(adapter.merged().err(), Some(error));
    assert_eq!(bits(&layer), before);

    // In range where the scaling brings them back, or the weight meets them half way.
    let mut adapter = adapter;
    adapter.set_scaling(number(1.0 / large)).unwrap();
    let merged = adapter.merge().unwrap();
    assert!(merged.weight().iter().all(|w| (*w / number(large) - T::one()).abs() < number(1e-6)), "{merged:?}");
    assert!(adapter.delta_weight().iter().all(|w| w.is_finite()));

    let max = Array2::from_elem((1, 1), T::max_value() / number(2.0));
    let half = Dense::from_arrays(max.clone(), Array1::zeros(1), Activation::Identity).unwrap();
    let one = array![[T::one()]];
    for (scaling, fits) in [(0.5, true), (1.5, false), (-1.5, true)] {
        let adapter = LoKrAdapter::from_delta(half.clone(), Kron::new(&max, &one).unwrap(), number(scaling)).unwrap();
        assert_eq!(adapter.merge().is_ok(), fits, "{scaling}");
    }
}

#[test]
fn a_merge_that_leaves_the_number_range_is_refused() {
    out_of_range::<f32>(1e30);
    out_of_range::<f64>(1e200);
}

/// Parameters cannot be set to NaN, but a step that is too long can make them so.
#[test]
fn factors_spoilt_by_training_are_not_merged() {
    let mut adapter = adapter(dense(&matrix::<f64>(6, 4, 1), &vector(6, 2), Activation::Identity), 2, 3);
    adapter.visit_mut(&mut |name, mut values, _| {
        if name == "lokr_w2" {
            values.fill(f64::NAN);
        }
    });
    let expected = LayerError::NamedNonFinite { layer: "LoKrAdapter", name: "lokr_w2".to_owned(), count: 6, total: 6 };
    assert_eq!(adapter.merge().unwrap_err(), expected);
    assert_eq!(adapter.merged().err(), Some(expected.clone()));
    let mut layer = adapter.base_layer().clone();
    let before = bits(&layer);
    assert_eq!(adapter.merge_into(&mut layer).unwrap_err(), expected);
    assert_eq!(bits(&layer), before);
}
