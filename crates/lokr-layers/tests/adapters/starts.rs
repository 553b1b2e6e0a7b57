//! How an adapter starts: as a change that is known already, or as a part of the weight.

use lokr_core::{KronError, Scalar};
use lokr_layers::{Activation, DeltaPlacement, Layer, LayerError, LoKrAdapter, LoKrInit, LoKrSettings};
use ndarray::Array2;

use crate::support::*;

fn norm(matrix: &Array2<f64>) -> f64 {
    matrix.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn a_known_change<T: Scalar>() {
    let base = || dense(&matrix::<T>(30, 42, 1), &vector(30, 2), Activation::Tanh);
    // A change that is a product of this form is found again.
    let product = dense_kron(&matrix::<T>(5, 6, 3), &matrix(6, 7, 4));
    let settings = LoKrSettings::new().rank(100).alpha(T::from_f64_lossy(30.0));
    let adapter = settings.clone().nearest_to(product.clone()).adapt(base()).unwrap();
    assert_close(&adapter.delta_weight(), &product, 1000, T::NAME);
    assert_eq!(adapter.scaling(), T::from_f64_lossy(30.0) / T::from_usize_lossy(100));
    // So is one that fits two of them.
    let two = &product + &dense_kron(&matrix::<T>(5, 6, 5), &matrix(6, 7, 6));
    let adapter = settings.terms(2).nearest_to(two.clone()).adapt(base()).unwrap();
    assert_close(&adapter.update().weight().unwrap(), &two, 4000, T::NAME);
    assert_eq!(adapter.update().terms().len(), 2);
}

#[test]
fn a_known_change_is_started_from() {
    a_known_change::<f32>();
    a_known_change::<f64>();
}

#[test]
fn the_nearest_product_is_nearer_than_any_drawn_one_and_low_rank_where_it_is_asked_for() {
    let (base, delta) = (dense(&matrix::<f64>(30, 42, 1), &vector(30, 2), Activation::Tanh), matrix::<f64>(30, 42, 9));
    let error = |rank: usize, both: bool, terms: usize| {
        let settings = LoKrSettings::new().rank(rank).decompose_both(both).terms(terms).nearest_to(delta.clone());
        let adapter = settings.adapt(base.clone()).unwrap();
        assert_eq!(adapter.matrix_b_halves().is_some(), rank < 4);
        assert_eq!(adapter.matrix_a_halves().is_some(), both && rank < 3);
        norm(&(adapter.update().weight().unwrap() - &delta))
    };
    let (full, low, both) = (error(100, false, 1), error(2, false, 1), error(2, true, 1));
    assert!(full < low && low < both && both < norm(&delta), "{full} {low} {both} {}", norm(&delta));
    assert!(error(100, false, 5) < full);
}

#[test]
fn the_principal_part_is_taken_out_of_the_weight() {
    for (rank, terms) in [(100, 1), (2, 1), (100, 3)] {
        let (w, x) = (matrix::<f64>(30, 42, 1), matrix::<f64>(5, 42, 3));
        for activation in [Activation::Identity, Activation::Gelu] {
            let base = fully_connected(&w, &vector(30, 2), activation);
            let settings = LoKrSettings::new().rank(rank).alpha(1.5).terms(terms).init(LoKrInit::Principal);
            let adapter = settings.adapt(base.clone()).unwrap();
            assert_close(&adapter.predict(&x).unwrap(), &base.predict(&x).unwrap(), 42, "start");
            let rest = adapter.base_layer().weights().to_owned();
            assert!(norm(&rest) < norm(&w));
            assert_close(&(&rest + &adapter.update().weight().unwrap()), &w, 1, "the two parts");
            assert_close(&adapter.merge().unwrap().weights(), &w, 1, "merged");
        }
    }
}

#[test]
fn a_start_that_cannot_be_is_refused() {
    let base = || dense(&matrix::<f64>(30, 42, 1), &vector(30, 2), Activation::Tanh);
    let principal = || LoKrSettings::<f64>::new().init(LoKrInit::Principal);
    let refused = |result: Result<LoKrAdapter<f64, _>, LayerError>, name: &str| {
        let error = result.unwrap_err();
        assert!(matches!(error, LayerError::InvalidSetting { setting, .. } if setting == name), "{error}");
    };
    refused(principal().alpha(0.0).adapt(base()), "alpha");
    refused(principal().placement(DeltaPlacement::AfterActivation).adapt(base()), "placement");
    refused(principal().terms(0).adapt(base()), "number of terms");
    assert!(matches!(principal().adapt(Square::new(6)), Err(LayerError::InvalidSetting { setting: "init", .. })));
    assert!(matches!(principal().update((6, 4)), Err(LayerError::InvalidSetting { setting: "init", .. })));

    let nearest = |delta: Array2<f64>| LoKrSettings::new().nearest_to(delta).adapt(base()).unwrap_err();
    assert!(matches!(nearest(matrix(42, 30, 1)), LayerError::Kron(KronError::Shape { .. })));
    assert!(matches!(nearest(Array2::from_elem((30, 42), f64::NAN)), LayerError::NonFinite { count: 1260, .. }));
    let many = LoKrSettings::new().terms(31).nearest_to(matrix(30, 42, 1)).adapt(base()).unwrap_err();
    assert!(matches!(many, LayerError::Kron(KronError::TermCount { .. })), "{many}");
}

/// LyCORIS's `use_scalar`: nothing but the scalar is zero.
#[test]
fn a_scalar_starts_at_zero_and_everything_else_does_not() {
    let base = dense(&matrix::<f64>(30, 42, 1), &vector(30, 2), Activation::Tanh);
    let adapter = LoKrAdapter::builder(base.clone()).rank(2).init(LoKrInit::Lycoris).learned_scalar(true).build();
    let mut adapter = adapter.unwrap();
    assert_eq!(adapter.update().scalar(), Some(0.0));
    assert!(adapter.delta().parts().all(|part| part.iter().all(|&v| v != 0.0)));
    let x = matrix(3, 42, 3);
    assert_eq!(adapter.predict(&x).unwrap(), base.predict(&x).unwrap());
    adapter.forward(&x).unwrap();
    adapter.backward(&matrix(3, 30, 4)).unwrap();
    adapter.update_parameters(0.1).unwrap();
    assert_ne!(adapter.update().scalar(), Some(0.0));
    assert_ne!(adapter.predict(&x).unwrap(), base.predict(&x).unwrap());
    let stored = &adapter.update().stored_terms().unwrap()[0];
    assert_close(&(stored.to_dense() * adapter.scaling()), &adapter.delta_weight(), 4, "stored");
}
